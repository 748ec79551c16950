"""The most that a request can take of a model, known before it is made.

A token stands for one byte of text at least, so that the bytes of all that is said bound the tokens; the output is
bounded by `max_tokens`, which is really sent.
"""

import json
from dataclasses import dataclass
from decimal import Decimal

from holdfast.contracts.base import Json
from holdfast.contracts.message import CallPart, ResultPart
from holdfast.contracts.model import ModelSettings
from providers.base import ModelRequest
from providers.endpoint import Endpoint
from providers.faults import Asked
from providers.prices import Tokens, cost
from providers.rows import OFFLINE
from providers.turns import Image, Piece, talk

MAX_TOKENS = 4096
"""Of a reply, where no settings say how long one may be."""
_IMAGE, _IMAGE_OF_MINI = 5_000, 50_000
"""Tokens of the largest image: OpenAI's `mini` models count one many times over."""
_AROUND, _AROUND_TURN, _AROUND_TOOL = 500, 20, 50
"""What providers add by themselves: to a request, to each turn, and to each tool or call in it."""


@dataclass(frozen=True)
class Bound:
    """`settings` are those with which it holds; `usd` None: the price is not known. `name` is `provider:model`."""

    name: str
    settings: ModelSettings
    tokens: int
    usd: Decimal | None


def bound(asked: ModelSettings, request: ModelRequest, where: Endpoint) -> Bound:
    """Of this request to this model; `request.settings` are the resolved ones, `asked` those of who asks.

    Raises:
        ModelRefused: a part can be shown to no model.
    """
    output = request.settings.max_tokens or MAX_TOKENS
    settings = asked.model_copy(update={"max_tokens": output})
    name = f"{where.provider}:{request.settings.model}"
    if where.row.wire == OFFLINE:
        return Bound(name, settings, 0, Decimal(0))
    tokens = _input(request, where)
    return Bound(name, settings, tokens + output, _price(Asked(where, request.settings.model or ""), tokens, output))


def _input(request: ModelRequest, where: Endpoint) -> int:
    spoken = talk(request, where.row)
    image = _IMAGE_OF_MINI if "mini" in (request.settings.model or "") else _IMAGE
    said = sum(_AROUND_TURN + sum(_size(piece, image) for piece in turn.pieces) for turn in spoken.turns)
    tools = sum(_AROUND_TOOL + _bytes([tool.name, tool.description, tool.schema]) for tool in request.tools)
    return _AROUND + len(spoken.system.encode()) + said + tools + (_bytes(request.schema) if spoken.form else 0)


def _size(piece: Piece, image: int) -> int:
    match piece:
        case Image():
            return image
        case CallPart() | ResultPart():
            return _AROUND_TOOL + _bytes(piece.model_dump(mode="json"))
        case _:
            return len(piece.encode()) + 2


def _bytes(value: Json) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _price(asked: Asked, tokens: int, output: int) -> Decimal | None:
    """The dearer of both: as it is, or with all of the input put into a cache."""
    written = [0, tokens] if asked.endpoint.row.caching else [0]
    costs = [cost(asked, Tokens(tokens, output, written=put)) for put in written]
    return max((one for one in costs if one is not None), default=None)
