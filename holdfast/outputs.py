"""What steps hand to each other: outputs as JSON, `${…}` in inputs, and what the older platform passed on by itself."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.contracts.base import Json
from holdfast.errors import InvalidRequest, shown
from holdfast.names import listed, suggestion

_HOLE = re.compile(r"\$\{([^{}]*)\}")
_ESCAPED = re.compile(rf"\$(\$\{{)|{_HOLE.pattern}")
_STEP = re.compile(r"([A-Za-z_][\w-]*)|\[(\d+)\]")


def as_json(value: Json) -> Json:
    """An output as data: a model's text that holds one JSON object, fenced or behind `data:`, is that object (P-53)."""
    if not isinstance(value, str):
        return value
    text = value.strip().removeprefix("data:").strip()
    for found in (text, *re.findall(r"```(?:json)?\s*\n(.*?)```", text, re.DOTALL), *_braced(text)):
        try:
            read = json.loads(found)
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict):
            return read
    return value


def _braced(text: str) -> Iterator[str]:
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        yield text[start : end + 1]


def filled(template: Json, names: Mapping[str, Json]) -> Json:
    """JSON with each `${path}` replaced. A text that is only one `${path}` becomes what is there, of any type; `$${` is
    `${`, and nothing else.

    Raises:
        InvalidRequest: nothing is at a path; says what there is.
    """
    match template:
        case str():
            return _text(template, names)
        case dict():
            return {key: filled(value, names) for key, value in template.items()}
        case list():
            return [filled(value, names) for value in template]
        case _:
            return template


def _text(template: str, names: Mapping[str, Json]) -> Json:
    whole = _HOLE.fullmatch(template.strip())
    if whole:
        return _found(whole[1], names)
    return _ESCAPED.sub(lambda match: match[1] or _written(_found(match[2], names)), template)


def _written(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _found(path: str, names: Mapping[str, Json]) -> Json:
    value: Any = names
    for name in _path(path):
        before, value = value, _member(value, name)
        if value is _NOTHING:
            there = [str(key) for key in before] if isinstance(before, Mapping) else []
            hint = f";{suggestion(str(name), there)} there is: {listed(there)}" if there else f" in {shown(before)}"
            raise InvalidRequest(f"${{{path}}}: nothing is at {str(name)!r}{hint}")
    return value


def _path(path: str) -> list[str | int]:
    steps, at = list[str | int](), 0
    path = path.strip()
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise InvalidRequest(
                f"${{{path}}}: is no path; allowed is a form such as steps.draft.output or input.rows[0]"
            )
        steps.append(match[1] or int(match[2]))
        at = match.end()
        at += at < len(path) and path[at] == "."
    if not steps:
        raise InvalidRequest("${}: is no path; allowed is a form such as input.topic")
    return steps


_NOTHING = object()


def _member(value: Json, name: str | int) -> Any:
    if isinstance(name, int):
        return value[name] if isinstance(value, list) and name < len(value) else _NOTHING
    return value.get(name, _NOTHING) if isinstance(value, Mapping) else _NOTHING


def passed_on(names: Mapping[str, Json], is_first: bool) -> Json:
    """What a step without an `input` is given: the flow's input; behind the first step a mapping of that with what came
    before (P-12, P-13), and with the topic, which the older platform lost (P-54)."""
    given, rest = names["input"], dict[str, Json]()
    if names["previous_output"] is not None and not is_first:
        rest["previous_output"] = names["previous_output"]
    if names["research_findings"] is not None and not is_first:
        rest["research_findings"] = names["research_findings"]
    if names["previous_feedback"] is not None:
        rest["previous_feedback"] = names["previous_feedback"]
    if not rest:
        return given
    own = given if isinstance(given, dict) else {"original_input": given}
    topic = {} if is_first else {"original_topic": own.get("topic", given)}
    return {**own, **topic, **rest}
