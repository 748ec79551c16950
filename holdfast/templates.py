"""Prompt templates of skills: `{{name}}` filled in, what the model is asked, and the answer in what it said."""

import json
import re
from collections.abc import Mapping
from typing import Any

from holdfast.contracts.base import Json
from holdfast.errors import SkillInputError, SkillOutputError, shown
from holdfast.names import listed, suggestion
from holdfast.snapshot import CatalogueSkill

_VARIABLE = re.compile(r"\{\{\s*([\w-]+(?:\.[\w-]+)*)\s*\}\}")
_BEGINS_JSON = ("{", "[", "```", "data:")
_OURS = "x-holdfast"


def render(template: str, values: Mapping[str, Json]) -> str:
    """The template with each `{{name}}` replaced: text as it is, anything else as JSON.

    `{{user.name}}` and `{{items.0}}` reach into a value. What a value holds is never filled in again, and other braces
    stay as they stand.

    Raises:
        SkillInputError: a variable has no value; names it, and those there are.
    """
    return _VARIABLE.sub(lambda found: _text(_value(found[1], values)), template)


def _value(name: str, values: Mapping[str, Json]) -> Json:
    found: Json = values
    for step in name.split("."):
        match found:
            case Mapping() if step in found:
                found = found[step]
            case list() if step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            case _:
                raise SkillInputError(
                    f"the prompt template's variable {name!r} has no value;{suggestion(name, values)} there are: "
                    f"{listed(values)}. Give it as an argument, or a default in input_schema"
                )
    return found


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def skill_prompt(skill: CatalogueSkill, arguments: Mapping[str, Json], instructions: str) -> str:
    """What the model is asked for a call of a prompt skill; `arguments` are those that `check_input` gave.

    That is its `prompt_template`, filled in; without one its instructions and the arguments. With an `output_schema`,
    how to answer follows.

    Raises:
        SkillInputError: the template names a variable that is no argument.
    """
    if skill.spec.prompt_template is not None:
        asked = render(skill.spec.prompt_template, arguments).rstrip()
    else:
        asked = f"{instructions}\n\nThe arguments of this call, as JSON:\n{json.dumps(arguments, ensure_ascii=False)}"
    schema = answer_schema(skill)
    return asked if schema is None else asked + _how_to_answer(schema)


def answer_schema(skill: CatalogueSkill) -> dict[str, Any] | None:
    """What the JSON that the model answers with must fit; None if it answers with plain text.

    That is the `output_schema`, without what is counted here.
    """
    schema = skill.spec.output_schema
    return None if not schema or schema.get("type") == "string" else _asked_schema(schema)


def _how_to_answer(schema: dict[str, Any]) -> str:
    text = json.dumps(schema, ensure_ascii=False)
    return f"\n\nAnswer with JSON alone, with no word before or after it. It must fit this JSON Schema:\n{text}"


def parsed_answer(skill: CatalogueSkill, text: str, arguments: Mapping[str, Json]) -> Json:
    """The skill's answer in what the model said, checked against its `output_schema`.

    JSON stands alone, in a fence, or behind `data:`. Without a schema, or with one of type string, the text is the
    answer; where the schema wants nothing but one text, plain text is taken for it. Properties with `x-holdfast:
    {length_of: name}` are counted here: the characters of that property of the answer, else of that argument.

    Raises:
        SkillOutputError: it is no such answer. The model may be asked again.
    """
    value: Json = text.strip()
    if answer_schema(skill) is not None:
        value = _counted(_found(skill, text), _lengths(skill.spec.output_schema), arguments)
    skill.check_output(value)
    return value


def _found(skill: CatalogueSkill, text: str) -> Json:
    schema = skill.spec.output_schema
    only = _only_text(_asked_schema(schema))
    for candidate in _json_texts(text.strip()):
        try:
            value = json.loads(candidate, parse_constant=_refused)
        except (ValueError, RecursionError):
            continue
        return value if only is None or isinstance(value, dict) else {only: value}
    if "type" not in schema:
        return text.strip()
    if only is not None and text.strip() and not text.lstrip().startswith(_BEGINS_JSON):
        return {only: text.strip()}
    raise SkillOutputError(
        f"skill {skill.name!r}: the model answered {shown(text)}; JSON that fits its output_schema is expected"
    )


def _json_texts(text: str) -> list[str]:
    """Where JSON may stand: alone, in fences, or as the data of server-sent events."""
    lines = text.split("\n")
    data = [line[5:].strip() for line in lines if line.startswith("data:")]
    events = ["\n".join(line for line in data if line != "[DONE]")] if data else []
    return [text, *_fenced(lines), *events]


def _fenced(lines: list[str]) -> list[str]:
    fences = [number for number, line in enumerate(lines) if line.lstrip().startswith("```")]
    return ["\n".join(lines[begin + 1 : end]) for begin, end in zip(fences[::2], fences[1::2], strict=False)]


def _refused(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")


def _asked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as the model gets it: without what is counted here."""
    computed = _lengths(schema)
    if not computed:
        return schema
    parts = {name: part for name, part in schema["properties"].items() if name not in computed}
    required = [name for name in schema.get("required", []) if name not in computed]
    return {**schema, "properties": parts, "required": required}


def _only_text(schema: dict[str, Any]) -> str | None:
    """The name of the property, if an object of one text is all that is wanted."""
    parts = schema.get("properties")
    if not isinstance(parts, dict) or len(parts) != 1:
        return None
    ((name, part),) = parts.items()
    return str(name) if isinstance(part, dict) and part.get("type") == "string" else None


def _lengths(schema: dict[str, Any]) -> dict[str, str]:
    """Properties that are counted here -> whose length they are."""
    parts = schema.get("properties")
    rules = {name: part.get(_OURS) for name, part in parts.items() if isinstance(part, dict)} if parts else {}
    return {
        name: str(rule["length_of"]) for name, rule in rules.items() if isinstance(rule, dict) and "length_of" in rule
    }


def _counted(answer: Json, lengths: Mapping[str, str], arguments: Mapping[str, Json]) -> Json:
    if not lengths or not isinstance(answer, dict):
        return answer
    return {**answer, **{name: _length(of, answer, arguments) for name, of in lengths.items()}}


def _length(of: str, answer: dict[str, Json], arguments: Mapping[str, Json]) -> int:
    text = answer[of] if of in answer else arguments.get(of)
    if not isinstance(text, str):
        raise SkillOutputError(
            f"output_schema: length_of names {of!r}, found {shown(text)}; a text among the answer "
            f"({listed(answer)}) or the arguments ({listed(arguments)}) is expected"
        )
    return len(text)
