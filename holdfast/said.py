"""What a person said, found in the input of a task: that is what the model reads."""

import json
from collections.abc import Mapping

from holdfast.contracts.base import Json
from holdfast.errors import InvalidRequest, TooLarge, shown

KEYS = ("prompt", "task", "text", "message", "question", "query", "input")
"""Where the text of a mapping is looked for, in this order."""

MAX_TEXT_BYTES = 128 << 10
MAX_REST_BYTES = 8 << 10
_CUT = "\n… (cut here; the program sees all of it as `inputs`)"


def said(given: Json) -> str:
    """The task in plain words: a text, the text in a mapping with what else is in it, or any JSON as it is.

    Raises:
        InvalidRequest: nothing is said.
        TooLarge: the text is longer than 128 KiB. What stands beside it is cut at 8 KiB.
    """
    text = _text(given).strip()
    if not text:
        allowed = f"text, or a mapping that holds it as one of {', '.join(KEYS)}"
        raise InvalidRequest(f"input: found {shown(given)}; a task of an agent needs {allowed}")
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        raise TooLarge(
            f"the text of the task has {size} bytes; {MAX_TEXT_BYTES} are allowed. Put large data beside it, "
            "into other keys of `input`: the program sees them as `inputs`"
        )
    return text


def whole(given: Json) -> str:
    """All that is given, as text: the words of a mapping first, then what else is in it."""
    key = _key(given)
    if isinstance(given, str):
        return given
    rest = {name: value for name, value in given.items() if name not in (key, "user_email")} if key else given
    if not key:
        return _json(given)
    return f"{given[key]}\n\nInput:\n{_json(rest)}" if rest else str(given[key])


def plain(given: Json) -> str:
    """What was said, without what stands beside it."""
    key = _key(given)
    if isinstance(given, str):
        return given
    return str(given[key]) if key else _json(given)


def brief(given: Json, characters: int = 100) -> str:
    """The beginning of what was said, on one line."""
    text = " ".join(plain(given).split())
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _text(given: Json) -> str:
    if isinstance(given, str):
        return given
    key = _key(given)
    if key is None:
        return _cut(_json(given)) if given not in (None, {}, []) else ""
    rest = {name: value for name, value in given.items() if name not in (key, "user_email")}
    return f"{given[key]}\n\nInput:\n{_cut(_json(rest))}" if rest else str(given[key])


def _key(given: Json) -> str | None:
    if not isinstance(given, Mapping):
        return None
    return next((key for key in KEYS if isinstance(given.get(key), str) and given[key].strip()), None)


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    data = text.encode()
    return text if len(data) <= MAX_REST_BYTES else data[:MAX_REST_BYTES].decode(errors="ignore") + _CUT
