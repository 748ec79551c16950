"""A request's messages, in the form that all wire formats share: a system text, and turns of user and assistant."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from holdfast.contracts.message import BlobPart, CallPart, Message, Part, ResultPart
from holdfast.errors import ModelRefused
from providers import tools
from providers.base import ModelRequest, Tool
from providers.rows import Row, Structured

IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_FORM = "Reply with one JSON value and nothing else: no prose, no code fence. It must fit this JSON Schema:\n"


@dataclass(frozen=True)
class Image:
    media_type: str
    data: bytes


Piece = str | Image | CallPart | ResultPart
"""Calls and results are there only if the wire format is to say them: else they are text."""


@dataclass
class Turn:
    role: Literal["user", "assistant"]
    pieces: list[Piece]


@dataclass(frozen=True)
class Talk:
    """`form` is how the JSON Schema is to be asked for on the wire; None: not at all, or in the system text already.
    `tools` are those that the wire format is to tell."""

    system: str
    turns: list[Turn]
    form: Structured | None
    tools: tuple[Tool, ...] = ()


def talk(request: ModelRequest, row: Row) -> Talk:
    """Turns alternate: neighbours of one role are joined, as Bedrock wants it. Skills' answers are the user's.

    Raises:
        ModelRefused: a part is neither text nor an image.
    """
    said = [message for message in request.messages if message.role == "system"]
    native = tools.are_native(request, row)
    pairs = tools.paired(request.messages) if native else frozenset[str]()
    system = [request.system, *(_text(part) for message in said for part in _pieces(message, request, pairs))]
    if request.tools and not native:
        system.append(tools.in_words(request.tools))
    form = _form(request, row)
    if form in ("json_object", "prompt"):
        system.append(_FORM + json.dumps(request.schema, ensure_ascii=False, sort_keys=True))
    return Talk(
        "\n\n".join(text for text in system if text.strip()),
        _turns(request, pairs),
        None if form == "prompt" else form,
        request.tools if native else (),
    )


def _form(request: ModelRequest, row: Row) -> Structured | None:
    if request.schema is None:
        return None
    known = not row.structured_except or not re.search(row.structured_except, request.settings.model or "")
    if row.structured == "json_schema" and not (known and _is_closed(request.schema)):
        return "prompt"
    return row.structured


def _is_closed(schema: Any) -> bool:
    """Whether a schema survives the providers' strict forms: every object names its properties, all else its type."""
    if not isinstance(schema, dict) or not all(_is_closed(one) for one in schema.get("$defs", {}).values()):
        return False
    if {"$ref", "enum", "const"} & set(schema):
        return True
    if variants := next((schema[key] for key in ("anyOf", "oneOf", "allOf") if key in schema), None):
        return all(_is_closed(variant) for variant in variants)
    match schema.get("type"):
        case "object":
            named = schema.get("properties") or {}
            open_end = schema.get("additionalProperties") not in (None, False)
            return bool(named) and not open_end and all(_is_closed(one) for one in named.values())
        case "array":
            return _is_closed(schema.get("items"))
        case found:
            return isinstance(found, str)


def _turns(request: ModelRequest, pairs: frozenset[str]) -> list[Turn]:
    turns: list[Turn] = []
    for message in request.messages:
        pieces = _pieces(message, request, pairs)
        if message.role == "system" or not pieces:
            continue
        role: Literal["user", "assistant"] = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1].role == role:
            turns[-1].pieces += pieces
        else:
            turns.append(Turn(role, pieces))
    return turns


def _pieces(message: Message, request: ModelRequest, pairs: frozenset[str]) -> list[Piece]:
    found = (_piece(part, request, pairs) for part in message.parts)
    return [piece for piece in found if not isinstance(piece, str) or piece.strip()]


def _piece(part: Part, request: ModelRequest, pairs: frozenset[str]) -> Piece:
    if isinstance(part, CallPart | ResultPart):
        return part if part.id in pairs else tools.told(part)
    if not isinstance(part, BlobPart):
        return part.text
    data = request.read(part.ref)
    return Image(part.media_type, data) if part.media_type in IMAGES else _file(part, data)


def _file(part: BlobPart, data: bytes) -> str:
    name = part.name or "without a name"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        kinds = ", ".join(IMAGES)
        raise ModelRefused(
            f"file {name!r} ({part.media_type}, {part.size_bytes} bytes) cannot be shown to a model: it is neither "
            f"text in UTF-8 nor one of {kinds}. Convert it first"
        )
    return f"File {name!r} ({part.media_type}):\n{text}"


def _text(piece: Piece) -> str:
    return piece if isinstance(piece, str) else ""
