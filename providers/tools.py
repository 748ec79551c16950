"""Tools on their way to a model, and the calls that it makes of them: what all wire formats have in common."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from holdfast.contracts.base import Json
from holdfast.contracts.message import CallPart, Message, ResultPart
from providers.base import Called, ModelRequest, Tool
from providers.rows import Row

_IN_WORDS = """You can call tools. To call some, end your reply with a line for each, and nothing behind them:
<tool name="its name">{"argument": "value"}</tool>
The arguments are one JSON object. What they gave comes with the next message. Reply without such a line when you are \
done. Tools, each with the JSON Schema of its arguments:
"""
_NAME = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 64
_TOOLS = re.compile(r"\btool|function.?call", re.IGNORECASE)
_NO_SUCH = re.compile(r"support|enable|capab|allow", re.IGNORECASE)


def are_native(request: ModelRequest, row: Row) -> bool:
    """Whether the request's tools go out in the way of the wire format."""
    if not request.tools or request.in_words or row.tools == "prompt":
        return False
    return not row.tools_except or not re.search(row.tools_except, request.settings.model or "")


def in_words(tools: Iterable[Tool]) -> str:
    """The tools as a part of the system text."""
    lines = [f"- {tool.name}: {tool.description} {json.dumps(tool.schema, ensure_ascii=False)}" for tool in tools]
    return _IN_WORDS + "\n".join(lines)


def paired(messages: Iterable[Message]) -> frozenset[str]:
    """Ids of calls that are answered. A call without an answer, or an answer without its call, no provider takes."""
    parts = [part for message in messages for part in message.parts]
    called = {part.id for part in parts if isinstance(part, CallPart)}
    return frozenset(called & {part.id for part in parts if isinstance(part, ResultPart)})


def told(part: CallPart | ResultPart) -> str:
    """A call or an answer as text."""
    if isinstance(part, CallPart):
        return f'<tool name="{part.skill}">{json.dumps(part.arguments, ensure_ascii=False)}</tool>'
    return f"[{part.skill} {'failed' if part.is_error else 'answered'}]\n{part.text}"


def wire_name(name: str) -> str:
    """A name that each provider takes, of one that a model may have made up."""
    return _NAME.sub("_", name)[:_LONGEST] or "unknown"


def refuses_tools(problem: str) -> bool:
    """Whether a refusal is about tools as such: `this model does not support tools`, and how others say it."""
    return (
        re.search(r"\btool|function.?call", problem, re.IGNORECASE) is not None and _NO_SUCH.search(problem) is not None
    )


@dataclass
class Growing:
    """A call that comes in pieces."""

    id: str = ""
    name: str = ""
    text: str = ""

    def whole(self) -> Called:
        return called(self.id, self.name, self.text)


def called(one: str | None, name: str | None, arguments: Any) -> Called:
    """A call. No text at all is a call without arguments."""
    found = _object(arguments or "{}") if isinstance(arguments, str | None) else arguments
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Called(one or "", name or "", found if isinstance(found, dict) else written)


def _object(text: str) -> Json:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
