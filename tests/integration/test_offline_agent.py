"""A task in plain words with no model anywhere: sentence, plan, program, report; and an honest answer where there is none."""

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from holdfast.contracts.question import AnswerMessage
from tests.support.agents import begin, task_spec
from tests.support.builtin import SHOP
from tests.support.stack import Stack, progress, until

LINE = "model: offline (no language model was used; skills were chosen by word match)"
PLACE = "offline ö/inventory"


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Path:
    """A copy of the example in the workspace."""
    folder = stack.home / "workspaces" / "default" / "default" / PLACE
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


async def done(stack: Stack, client: Client, task: str) -> tuple[Any, Any]:
    result = await (await begin(client, task_spec(stack, task, []))).result()
    assert result.state == "DONE", result.error
    assert (result.spent.model, result.spent.cost, result.spent.input_tokens) == ("offline:offline", Decimal(0), 0)
    return stack.value(result), result


async def test_a_sentence_becomes_a_report_in_two_requests(stack: Stack, client: Client, shop: Path) -> None:
    report, result = await done(stack, client, f"Review '{PLACE}' for bugs and security problems")
    assert report.startswith(LINE)
    assert f"**Secret Keyword** in `{PLACE}/shop/suppliers.py:8`" in report
    assert (result.spent.llm_calls, result.repairs) == (2, 0)
    assert 15 <= result.calls <= 30


async def test_what_needs_a_model_is_answered_in_one_request(stack: Stack, client: Client) -> None:
    answer, result = await done(stack, client, "Write a poem about rain")
    assert answer.startswith("model: offline (no language model was used; ")
    assert "export ANTHROPIC_API_KEY" in answer
    assert (result.spent.llm_calls, result.calls) == (1, 0)


async def test_a_file_is_summarised_by_its_own_sentences(stack: Stack, client: Client, shop: Path) -> None:
    report, _ = await done(stack, client, f"Summarise '{PLACE}/README.md' in 150 characters")
    (summary,) = [line for line in report.splitlines() if line.startswith("- summary: ")]
    kept = summary.removeprefix("- summary: ")
    assert 0 < len(kept) <= 150
    text = " ".join((shop / "README.md").read_text().split())
    assert all(sentence.rstrip(".") in text for sentence in kept.split(". "))


async def test_what_is_missing_is_asked_and_the_answer_is_used(stack: Stack, client: Client, shop: Path) -> None:
    handle = await begin(client, task_spec(stack, f"Search the files in '{PLACE}/shop'", []))
    asked = await until(lambda: open_questions(handle))
    await handle.execute_update("answer", AnswerMessage(question_id=asked[0].id, value="float("))
    report = stack.value(await handle.result())
    assert "`float(`: 2 lines in 2 of 10 files" in report


async def open_questions(handle: Any) -> Any:
    return (await progress(handle)).questions
