"""A task's conversation with its model: where it stands, and what it took."""

import asyncio
from collections.abc import Iterable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from holdfast.contracts.base import Sha256
from holdfast.contracts.model import LlmCall, LlmStep, Spent
from workflows.budget import Refused
from workflows.children import Failed
from workflows.effects import failure, is_overdue
from workflows.endings import is_cancelled
from workflows.mending import ask_model, noted
from workflows.work import Work


class Talk:
    """`head` is the last turn, `llm` what people see of each request, `spent` what all took."""

    def __init__(
        self, work: Work, head: Sha256 | None = None, llm: Iterable[LlmCall] = (), spent: Spent | None = None
    ) -> None:
        self._work = work
        self.head = head
        self.llm: list[LlmCall] = list(llm)
        self.spent = spent or Spent()

    async def ask(self, name: str, request: Any, gives: type[Any], step: LlmStep, summary: str) -> Any:
        """The reply of one LLM activity; its `head` is the conversation's new one.

        Raises:
            Failed: there is none, and there will not be.
        """
        began = workflow.now().timestamp()
        try:
            reply = await ask_model(name, request, gives, summary, self._work.left(), self._work.purse)
        except Refused as exc:
            raise Failed(exc.failure) from exc
        except ActivityError as exc:
            if is_cancelled_exception(exc):
                raise
            if is_cancelled():
                raise asyncio.CancelledError from exc
            raise Failed(self._work.overdue() if is_overdue(exc) else failure(exc.cause)) from exc
        self.head = reply.head
        self.llm.append(noted(step, summary, began, reply))
        for usage in reply.usage:
            self.spent = self.spent.plus(usage)
        if is_cancelled():  # The model was faster than the word to stop: nothing more is begun.
            raise asyncio.CancelledError
        return reply

    def say_of_last(self, detail: str) -> None:
        """What people see of the last request, now that its reply is known."""
        self.llm[-1] = self.llm[-1].model_copy(update={"detail": detail})
