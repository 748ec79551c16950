"""Mending a program by the model that wrote it."""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from holdfast.contracts.base import Failure
from holdfast.contracts.llm import LLM_PROGRAM, Draft, DraftRequest
from holdfast.contracts.model import LlmCall
from holdfast.contracts.program import Author, Carried, Version
from workflows import policies
from workflows.budget import Purse, Refused
from workflows.effects import TASK_TIMEOUT, failure, is_overdue
from workflows.endings import is_cancelled
from workflows.spending import paid


class NotMended(Exception):
    """The model could not be asked, or did not write a program."""

    def __init__(self, cause: Failure) -> None:
        super().__init__(cause.message)
        self.failure = cause


class Mender:
    """The conversation with the author of a program: `head` is its last turn, `llm` what was asked so far."""

    def __init__(self, author: Author, carried: Carried, purse: Purse) -> None:
        self.author, self._purse = author, purse
        self.head = carried.head or author.head
        self.llm = list(carried.llm)

    async def mend(self, version: Version, why: str, left_seconds: float) -> dict[str, object]:
        """Fields of the next version. One that cannot run either carries its `problems`.

        Raises:
            NotMended: there is no next version.
        """
        number = version.number + 1
        request = DraftRequest(
            brief=self.author.brief, head=self.head, skills=self.author.skills, why=why, version=number
        )
        began = workflow.now().timestamp()
        try:
            summary = f"mend: version {number}"
            draft: Draft = await ask_model(LLM_PROGRAM.name, request, Draft, summary, left_seconds, self._purse)
        except Refused as exc:
            raise NotMended(exc.failure) from exc
        except ActivityError as exc:
            if is_cancelled_exception(exc):
                raise
            cause = failure(exc.cause)
            raise NotMended(cause.model_copy(update={"type": TASK_TIMEOUT}) if is_overdue(exc) else cause) from exc
        self.head = draft.head
        self.llm.append(noted("program", f"version {number}", began, draft))
        if is_cancelled():
            raise asyncio.CancelledError
        return {"source": draft.source, "first_line": draft.first_line, "problems": draft.problems}


async def ask_model(name: str, request: Any, gives: type[Any], summary: str, left_seconds: float, purse: Purse) -> Any:
    """One LLM activity, within the budget if there is one. Its summary is what the Temporal UI shows.

    Raises:
        Refused: the budget has no room for it, and never will.
    """
    if purse.is_open:
        return await paid(purse, name, request, gives, summary, left_seconds=left_seconds)
    return await workflow.execute_activity(
        name, request, result_type=gives, summary=summary, **policies.llm(left_seconds)
    )


def noted(step: Any, detail: str, began: float, reply: Any) -> LlmCall:
    """What people see of an LLM call that has ended now."""
    return LlmCall(
        step=step,
        detail=detail,
        started_at=began,
        ended_at=workflow.now().timestamp(),
        prompt=reply.prompt,
        usage=reply.usage,
    )
