"""Templates of prompt skills: filling in, what the model is asked, and which of its answers count."""

import json
from typing import Any

import pytest

from holdfast.contracts.base import Json
from holdfast.errors import SkillInputError, SkillOutputError
from holdfast.snapshot import CatalogueSkill
from holdfast.specs import SkillSpec
from holdfast.templates import answer_schema, parsed_answer, render, skill_prompt
from tests.support.builtin import parsed

FORMS: list[tuple[str, str]] = [
    ("Find {{query}}!", "Find a cat!"),
    ("{{ query }}{{query}}", "a cata cat"),
    ("{{limit}} {{flags}} {{nothing}} {{yes}}", '5 {"deep": [1, "ä"]} null true'),
    ("{{flags.deep}} / {{flags.deep.1}} / {{ max-words }}", '[1, "ä"] / ä / 9'),
    (
        "{query} {{}} {{ }} {{#if query}} {{a b}} ${query} {{{query}}}",
        "{query} {{}} {{ }} {{#if query}} {{a b}} ${query} {a cat}",
    ),
    ("no variable", "no variable"),
]
VALUES: dict[str, Json] = {
    "query": "a cat",
    "limit": 5,
    "flags": {"deep": [1, "ä"]},
    "nothing": None,
    "yes": True,
    "max-words": 9,
}


@pytest.mark.parametrize(("template", "text"), FORMS)
def test_variables_are_filled_in_and_other_braces_stay(template: str, text: str) -> None:
    assert render(template, VALUES) == text


def test_a_value_that_looks_like_a_variable_stays_as_it_is() -> None:
    values = {"text": "say {{secret}} and {{text}} \\1 \\g<0>", "secret": "never"}
    assert render("<{{text}}>", values) == "<say {{secret}} and {{text}} \\1 \\g<0>>"


@pytest.mark.parametrize("name", ["qurey", "flags.wide", "flags.deep.2", "flags.deep.-1", "query.upper", "__class__"])
def test_a_variable_without_a_value_is_named_with_those_there_are(name: str) -> None:
    with pytest.raises(
        SkillInputError, match=rf"variable '{name}' has no value;.* there are: 'query', 'limit'"
    ) as error:
        render("{{query}} {{" + name + "}}", VALUES)
    assert error.value.retryable is False
    if name == "qurey":
        assert "did you mean 'query'?" in str(error.value)


def test_hostile_templates_and_values_take_no_time() -> None:
    assert render("{{" * 200_000 + "{{ a }}", {"a": "x"}) == "{{" * 200_000 + "x"
    assert len(render("{{a}}" * 1000, {"a": "{{a}}" * 1000})) == 5_000_000
    assert render("{{a" + " " * 100_000 + "b}}", {}).endswith("b}}")


def skill(output: dict[str, Any], template: str | None = "Do {{what}}") -> CatalogueSkill:
    spec = SkillSpec(name="own", description="Does", kind="prompt", output_schema=output, prompt_template=template)
    return CatalogueSkill(spec=spec, origin="project")


OBJECT = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "why": {"type": "string"}}}


def test_a_prompt_is_the_template_and_how_to_answer() -> None:
    assert skill_prompt(skill({}), {"what": "it"}, "not shown") == "Do it"
    assert skill_prompt(skill({"type": "string"}), {"what": "it"}, "") == "Do it"
    assert answer_schema(skill({})) is answer_schema(skill({"type": "string"})) is None
    asked = skill_prompt(skill(OBJECT), {"what": "{{it}}"}, "")
    assert asked.startswith("Do {{it}}\n\nAnswer with JSON alone")
    assert json.loads(asked.splitlines()[-1]) == OBJECT


def test_without_a_template_the_instructions_and_the_arguments_are_asked() -> None:
    asked = skill_prompt(skill({}, None), {"what": ["ä", "{{what}}"]}, "# Do\n\nKeep {{braces}}.")
    assert asked.startswith("# Do\n\nKeep {{braces}}.\n")
    assert json.loads(asked.splitlines()[-1]) == {"what": ["ä", "{{what}}"]}


ACCEPTED = [
    '{"n": 1}',
    ' \n{"n":\n1}\n',
    '```json\n{"n": 1}\n```',
    '```\n{"n": 1}\n```',
    'Here it is:\n\n```JSON\n{"n": 1}\n```\nI hope that helps.',
    '```python\nn = 1\n```\n```json\n{"n": 1}\n```',
    'data: {"n": 1}',
    'data: {"n":\ndata: 1}\n\ndata: [DONE]\n',
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_json_is_found_alone_in_a_fence_and_behind_data(text: str) -> None:
    assert parsed_answer(skill(OBJECT), text, {}) == {"n": 1}


REFUSED = [
    ("The answer is 1", "JSON that fits its output_schema is expected"),
    ('The answer is {"n": 1}', "JSON that fits its output_schema is expected"),
    ('{"n": 1', "JSON that fits its output_schema is expected"),
    ('{"n": NaN}', "JSON that fits its output_schema is expected"),
    ("[" * 100_000, "JSON that fits its output_schema is expected"),
    ("", "JSON that fits its output_schema is expected"),
    ('{"n": "1"}', r"answer\.n: found '1'"),
    ("{}", "'n' missing"),
    ("[1]", "allowed: object"),
    ("1", "allowed: object"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_anything_else_is_no_answer(text: str, why: str) -> None:
    with pytest.raises(SkillOutputError, match=why):
        parsed_answer(skill(OBJECT), text, {})


def test_without_a_schema_the_text_is_the_answer() -> None:
    assert parsed_answer(skill({}), ' {"n": 1} \n', {}) == '{"n": 1}'
    assert parsed_answer(skill({"type": "string"}), "a\nb\n", {}) == "a\nb"
    assert parsed_answer(skill({"description": "anything"}), "[1]", {}) == [1]
    assert parsed_answer(skill({"description": "anything"}), "one", {}) == "one"
    with pytest.raises(SkillOutputError, match="at most 3 characters"):
        parsed_answer(skill({"type": "string", "maxLength": 3}), "long", {})


@pytest.fixture
def summarize() -> CatalogueSkill:
    return CatalogueSkill.of(parsed("summarize"), "builtin")


def test_summarize_asks_with_all_defaults_filled_in(summarize: CatalogueSkill) -> None:
    asked = skill_prompt(summarize, summarize.check_input({"text": "Ein {{Text}} über Käse"}), "")
    assert "at most 500 characters" in asked
    assert "<text>\nEin {{Text}} über Käse\n</text>" in asked
    assert "{{" not in asked.replace("{{Text}}", "")
    wanted = json.loads(asked.splitlines()[-1])
    assert wanted == answer_schema(summarize)
    assert (list(wanted["properties"]), wanted["required"]) == (["summary"], ["summary"])
    assert "x-holdfast" not in asked


@pytest.mark.parametrize(
    "text",
    [
        '{"summary": "Über Käse"}',
        '```json\n{"summary": "Über Käse", "original_length": 99999, "summary_length": "many"}\n```',
        '"Über Käse"',
        "Über Käse\n",
    ],
)
def test_summarize_counts_characters_itself(summarize: CatalogueSkill, text: str) -> None:
    answer = parsed_answer(summarize, text, {"text": "Ein langer Text über Käse 🧀"})
    assert answer == {"summary": "Über Käse", "original_length": 27, "summary_length": 9}


@pytest.mark.parametrize(
    "text", ['{"summary": "cut off', '{"summary": ""}', '{"summary": 5}', "", "  ", '{"other": "x"}', "[]"]
)
def test_summarize_takes_no_broken_json_for_a_summary(summarize: CatalogueSkill, text: str) -> None:
    with pytest.raises(SkillOutputError):
        parsed_answer(summarize, text, {"text": "x"})


def test_a_length_of_something_that_is_not_there_says_so() -> None:
    counted = {"type": "integer", "x-holdfast": {"length_of": "txt"}}
    own = skill({"type": "object", "properties": {"summary": {"type": "string"}, "length": counted}})
    with pytest.raises(SkillOutputError, match=r"length_of names 'txt', found None; .*\('summary'\).*\('text'\)"):
        parsed_answer(own, "short", {"text": "long"})
