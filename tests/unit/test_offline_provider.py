"""The offline provider at its port: what it answers for each purpose, and when it says that it needs a model."""

import json
from decimal import Decimal
from typing import Any

import pytest

from activities.replies import read_plan, read_program
from holdfast.contracts.llm import ANSWERED
from holdfast.contracts.message import Message, ResultPart, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.errors import NoModel
from holdfast.schemas import compiled
from holdfast.source import Source, check
from providers.base import Known, ModelReply, ModelRequest, Purpose
from providers.offline import Offline
from tests.support.offline_skills import skills

REVIEW = "Review examples/inventory for bugs and security problems"
LINE = "model: offline (no language model was used; skills were chosen by word match)"


async def ask(purpose: Purpose, task: str = "", messages: list[Message] | None = None, **known: Any) -> ModelReply:
    schema = known.pop("schema", None)
    about = Known(task=task, **{"skills": skills(), **known})
    request = ModelRequest(purpose, messages or [], ModelSettings(), lambda _: b"", schema=schema, known=about)
    return await Offline().complete(request)


async def test_a_plan_names_skills_and_the_words_that_chose_them() -> None:
    plan = read_plan((await ask("plan", REVIEW)).text, [skill.name for skill in skills()])
    assert (plan.kind, plan.selected_skills) == ("skills", ["code-analysis", "security-scan", "list-files"])
    assert plan.reasoning.startswith(LINE)
    assert "`code-analysis` (bugs)" in plan.reasoning


@pytest.mark.parametrize("purpose", ["plan", "program", "answer"])
@pytest.mark.parametrize("task", ["Write a poem about rain", "What is the capital of France?", ""])
async def test_what_needs_a_model_is_answered_with_how_to_set_one(purpose: Purpose, task: str) -> None:
    text = (await ask(purpose, task)).text
    answer = text if purpose == "answer" else read_plan(text).answer
    assert answer.startswith("model: offline (no language model was used; ")
    assert all(word in answer for word in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "DEFAULT_LLM_PROVIDER=ollama"))
    assert read_program(text) is None


async def test_a_plan_asks_for_what_a_skill_lacks_and_the_answer_goes_into_the_program() -> None:
    plan = read_plan((await ask("plan", "Search the files in src")).text)
    assert (plan.kind, "'pattern'" in plan.question) == ("ask", True)
    source = read_program(
        (
            await ask("program", "Search the files in src", said=("no plan in it, plan again", f"{ANSWERED}TODO", ""))
        ).text
    )
    assert source is not None
    assert "'TODO'" in source


async def test_a_program_comes_in_one_fence_that_it_cannot_close() -> None:
    text = (await ask("program", "Find “```” in src")).text
    source = read_program(text)
    assert source is not None
    assert text.startswith("````python\n")
    assert check(Source(source), ["find-in-files"]) == []


async def test_a_repair_is_more_careful_once_and_then_impossible() -> None:
    first = await ask("repair", REVIEW, why="KeyError: 'x'")
    source = read_program(first.text)
    assert source is not None
    assert "MOST_FILES = 25" in source
    for again in (
        await ask("repair", REVIEW, source=source),
        await ask("repair", REVIEW, [Message(role="assistant", parts=[TextPart(text=first.text)])]),
        await ask("repair", "Write a poem about rain"),
    ):
        assert read_program(again.text) is None
        assert "cannot mend" in again.text


@pytest.mark.parametrize(("result", "text"), [("# Report\n", "# Report\n"), ({"a": [1]}, '{\n  "a": [\n    1\n  ]\n}')])
async def test_a_result_is_phrased_as_it_is(result: Any, text: str) -> None:
    assert (await ask("phrase", result=result)).text == text


TEXT = (
    "Durable execution keeps the state of a program outside of its process. "
    "When the process dies, durable execution goes on in another process. "
    "The cat sleeps. "
    "The state of the program is kept as a history of events. "
    "A history of events is replayed when another process takes over."
)


@pytest.mark.parametrize("style", ["paragraph", "bullets", "headline"])
async def test_a_summary_is_made_of_the_texts_own_sentences_and_fits_the_schema(style: str) -> None:
    (skill,) = skills(None, "summarize")
    text = (await ask("skill", skill=skill, arguments={"text": TEXT, "max_length": 200, "style": style})).text
    found = json.loads(text)
    assert compiled(skill.spec.output_schema).problems(found, "answer") == []
    assert (found["original_length"], found["summary_length"]) == (len(TEXT), len(found["summary"]))
    assert 0 < len(found["summary"]) <= 200
    sentences = found["summary"].removeprefix("- ").split("\n- ") if style == "bullets" else [found["summary"]]
    assert all(each in TEXT or style == "paragraph" for each in sentences)
    assert "cat" not in found["summary"]


@pytest.mark.parametrize(
    ("purpose", "known"),
    [
        ("ask", {}),
        ("answer", {"schema": {"type": "object"}}),
        ("skill", {"skill": "web-search", "arguments": {"query": "x"}}),
        ("skill", {"skill": "summarize", "arguments": {}}),
    ],
)
async def test_where_nobody_would_read_a_refusal_it_is_an_error(purpose: Purpose, known: dict[str, Any]) -> None:
    if "skill" in known:
        known = {**known, "skill": skills(None, known["skill"])[0]}
    with pytest.raises(NoModel, match="DEFAULT_LLM_PROVIDER=ollama"):
        await ask(purpose, **known)


async def test_it_costs_nothing_and_is_streamed_in_one_piece() -> None:
    pieces: list[str] = []

    async def hear(piece: str) -> None:
        pieces.append(piece)

    known = Known(task=REVIEW, skills=skills())
    reply = await Offline().complete(ModelRequest("plan", [], ModelSettings(), lambda _: b"", known=known), hear)
    assert pieces == [reply.text]
    usage = reply.usage
    assert (usage.provider, usage.model, usage.input_tokens, usage.output_tokens) == ("offline", "offline", 0, 0)
    assert usage.cost == Decimal(0)


async def test_a_loop_without_a_model_makes_the_calls_that_the_words_give_and_reports_what_came() -> None:
    asked = await ask("turn", "Read the file README.md")
    [call] = asked.calls
    assert (call.name, call.arguments) == ("read-file", {"path": "README.md"})
    given = ResultPart(id=call.id or "1", skill="read-file", text="# Inventory")
    reported = await ask("turn", "Read the file README.md", [Message(role="user", parts=[given])])
    assert reported.calls == ()
    assert reported.text.startswith(LINE)
    assert "## `read-file` answered\n\n# Inventory" in reported.text


async def test_a_loop_without_a_model_says_so_where_it_can_call_nothing() -> None:
    poem, review = await ask("turn", "Write a poem about rain"), await ask("turn", "Review src for bugs")
    for reply in (poem, review):
        assert reply.calls == ()
        assert reply.text.startswith("model: offline (no language model was used; ")
        assert "ANTHROPIC_API_KEY" in reply.text
    assert "Strategy `loop` needs a language model" in review.text


async def test_a_loop_without_a_model_tells_what_it_left_out() -> None:
    [call] = (await ask("turn", REVIEW)).calls
    assert (call.name, call.arguments) == ("security-scan", {"path": "examples/inventory"})
    given = ResultPart(id="1", skill="security-scan", text="nothing found")
    reported = await ask("turn", REVIEW, [Message(role="user", parts=[given])])
    assert "`code-analysis` was not called: it needs more than this task says." in reported.text
