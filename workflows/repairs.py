"""REPAIR: what becomes of a program that failed. Its author mends it, or people do, or it stands."""

from collections.abc import Awaitable, Callable

from temporalio import workflow

from holdfast.contracts.base import Failure, Sha256
from holdfast.contracts.budget import BUDGET_EXHAUSTED
from holdfast.contracts.model import LlmCall
from holdfast.contracts.program import NO_SANDBOX, Carried, ProgramEnd, ProgramSpec, TaskState, Version
from holdfast.contracts.question import Question
from workflows.budget import Purse
from workflows.mending import Mender, NotMended
from workflows.questions import Questions, Unanswered, answer_of


class Repairs:
    """`count` repairs were begun so far. `record` writes down how the program stands meanwhile."""

    def __init__(
        self,
        spec: ProgramSpec,
        carried: Carried,
        purse: Purse,
        questions: Questions,
        record: Callable[[TaskState], Awaitable[None]],
    ) -> None:
        self._spec, self._purse, self._questions, self._record = spec, purse, questions, record
        self._mender = Mender(spec.author, carried, purse) if spec.author else None
        self._is_at_work = False
        self.count = carried.repairs

    @property
    def llm(self) -> list[LlmCall]:
        """What the author was asked."""
        return self._mender.llm if self._mender else []

    @property
    def head(self) -> Sha256 | None:
        """The last turn of the conversation with the author."""
        return self._mender.head if self._mender else None

    def final(self, end: ProgramEnd) -> ProgramEnd | None:
        """The end that stands, or None if there may be a next version."""
        if end.error and end.error.type == NO_SANDBOX:
            return end
        if self._purse.is_used_up:
            # No other text of the program mends that.
            return end.model_copy(update={"error": Failure(type=BUDGET_EXHAUSTED, message=why_of(end))})
        is_possible = self._mender is not None or self._spec.on_error == "ask"
        return None if is_possible and self.count < self._spec.limits.max_repairs else end

    async def next_version(self, version: Version, why: str, left_seconds: float) -> Version:
        """
        Raises:
            NotMended: there is none.
        """
        self._is_at_work = True
        try:
            fields = await (self._mender.mend(version, why, left_seconds) if self._mender else self._asked(why))
        finally:
            self._is_at_work = False
        began = {"number": version.number + 1, "began_at": workflow.now().timestamp(), "why": why}
        return Version.model_validate({**fields, **began})

    async def watch(self) -> None:
        """A program that is to be mended, and waits for a top-up, waits as one does that is suspended."""
        while True:
            await workflow.wait_condition(lambda: self._is_at_work and self._purse.waits)
            await self._record("WAITING")
            await workflow.wait_condition(lambda: not self._purse.waits)
            await self._record("RUNNING")

    async def _asked(self, why: str) -> dict[str, object]:
        """Fields of the version that people gave."""
        question_id = f"repair.{self.count}"
        now = workflow.now().timestamp()
        self._questions.ask(Question(id=question_id, kind="repair", text=why, asked_at=now))
        await self._record("WAITING")
        closed = await self._questions.wait(question_id)
        await self._record("RUNNING")
        try:
            answer = answer_of(closed)
        except Unanswered as exc:
            raise NotMended(exc.failure) from exc
        return answer if isinstance(answer, dict) else {"source": str(answer)}


def why_of(end: ProgramEnd) -> str:
    return end.error.message if end.error else "the program failed"
