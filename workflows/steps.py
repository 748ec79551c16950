"""The one step graph: the master's plan, a collaborative plan and a flow's file are all just its input.

A step begins when all that it depends on is over: as a child task, or as a question. What it is to be given, and
whether its condition holds, a local activity says (`work.prepare`): nothing is read here.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal

from temporalio import workflow

from holdfast.contracts.base import Failure, Value
from holdfast.contracts.flow import (
    COMPENSATE,
    FLOW_WORKFLOW,
    OVER,
    PREPARE,
    Around,
    Prepared,
    PrepareStep,
    StepRun,
    StepSpec,
)
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.program import PROGRAM_WORKFLOW, ProgramResult
from holdfast.contracts.question import Question
from holdfast.contracts.work import TASK_WORKFLOW
from workflows import saving
from workflows.children import Failed
from workflows.effects import TASK_TIMEOUT
from workflows.endings import is_cancelled, settled
from workflows.questions import Unanswered, answer_of
from workflows.work import Work

STEP_FAILED = "StepFailed"
_SHOWN = 500
_MANY = 20
"""Outputs that a step is handed in one history event; a step with more of them before it gets those that it names."""

Part = Callable[[StepSpec, int, int], str]
Before = Callable[[StepSpec], Coroutine[Any, Any, None] | None]
"""What a step waits for people for before it begins, if anything; it fails if that raises `Failed`."""


class Broken(Failed):
    """A step failed, and so the graph does."""

    def __init__(self, step: StepSpec, failed: Failed, and_so: str = "") -> None:
        text = f"step {step.name!r} ({step.kind} {step.who}".rstrip() + f") failed: {failed.failure.message}{and_so}"
        details = {"step": step.name, "type": failed.failure.type}
        super().__init__(Failure(type=STEP_FAILED, message=text, details=details))
        self.step, self.why = step, failed


def part_of(step: StepSpec, iteration: int, attempt: int) -> str:
    """The last part of the id of a step's child: `review`, in round 2 `review.2`, then tried again `review.2.a2`."""
    round_ = f".{iteration}" if iteration > 1 else ""
    return f"{step.name}{round_}" + (f".a{attempt}" if attempt > 1 else "")


class Steps:
    """Runs steps, at most `max_parallel` at once. `runs` is how each stands, live, in the order of the steps.

    `on_failure` is the policy of steps whose own is `fail`. `is_full` says that the history is: then no more than one
    step begins, and `run` ends with some still pending, for a next run to go on with (`runs`).
    """

    def __init__(
        self,
        work: Work,
        steps: Iterable[StepSpec],
        around: Around,
        *,
        catalogue: str,
        depth: int,
        models: list[ModelSettings],
        is_budgeted: bool = False,
        said_as: Literal["flow", "plain"] = "flow",
        max_parallel: int = 20,
        iteration: int = 1,
        on_failure: str = "fail",
        part: Part = part_of,
        runs: Iterable[StepRun] = (),
        is_full: Callable[[], bool] = lambda: False,
        above: Sequence[str] = (),
        before: Before = lambda _step: None,
    ) -> None:
        self._work, self._around, self._part, self._is_full = work, around, part, is_full
        self._before = before
        self._steps = {step.name: step for step in steps}
        self._max_parallel, self._iteration, self._on_failure = max_parallel, iteration, on_failure
        self._request: dict[str, Any] = {
            "task": work.task,
            "catalogue": catalogue,
            "models": models,
            "depth": depth,
            "is_budgeted": is_budgeted,
            "said_as": said_as,
            "above": [*above],
        }
        self._undoing = {undo for step in self._steps.values() if (undo := self._undo_of(step))}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._has_begun = False
        self.runs = {step.name: _pending(step, iteration) for step in self._steps.values()}
        self.runs.update({run.name: run for run in runs if run.state in OVER})

    async def run(self) -> dict[str, StepRun]:
        """Until all are over, or none may begin any more.

        Raises:
            Failed: a step failed whose policy is to fail. The others are cancelled, and those not begun stay pending.
        """
        try:
            while self._begin():
                await workflow.wait_condition(lambda: any(task.done() for task in self._tasks.values()))
                self._reap()
        except Broken as broken:
            await self._stop()
            raise await self._undone(broken) from broken.why
        except BaseException:
            await self._stop()
            raise
        if self.is_done:
            self._leave_out()
        return self.runs

    @property
    def is_done(self) -> bool:
        return all(run.state in OVER for name, run in self.runs.items() if name not in self._undoing)

    # --- which, and when ------------------------------------------------------------------------------------------

    def _begin(self) -> bool:
        """Begin what can begin; whether anything is under way."""
        for name, step in self._steps.items():
            if len(self._tasks) >= self._max_parallel or (self._has_begun and self._is_full()):
                break
            if name not in self._undoing and self._is_ready(step):
                self._has_begun = True
                self._tasks[name] = asyncio.create_task(self._one(step))
        return bool(self._tasks)

    def _is_ready(self, step: StepSpec) -> bool:
        is_new = self.runs[step.name].state == "pending" and step.name not in self._tasks
        return is_new and all(self.runs[name].state in OVER for name in step.depends_on)

    def _reap(self) -> None:
        for name in [name for name, task in self._tasks.items() if task.done()]:
            self._tasks.pop(name).result()

    async def _stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._mark_cancelled()

    def _mark_cancelled(self) -> None:
        for name, run in self.runs.items():
            if run.state not in (*OVER, "pending"):
                self._set(name, state="cancelled", ended_at=_now())

    # --- undoing --------------------------------------------------------------------------------------------------

    async def _undone(self, broken: Broken) -> Broken:
        """How the graph fails, once what compensates the step has run, if anything does."""
        undo = self._undo_of(broken.step)
        if not undo or self.runs[undo].state != "pending":
            return broken
        try:
            await self._one(self._steps[undo])
        except Failed as exc:
            return Broken(broken.step, broken.why, f"; and {undo!r}, which compensates it, too: {exc.failure.message}")
        finally:
            self._mark_cancelled()
        return broken

    def _undo_of(self, step: StepSpec) -> str:
        """The name of the step that compensates this one; "": none does."""
        policy = self._policy(step)
        return policy.removeprefix(COMPENSATE) if policy.startswith(COMPENSATE) else ""

    def _leave_out(self) -> None:
        for name in self._undoing:
            if self.runs[name].state == "pending":
                self._set(name, state="skipped", reason="nothing had to be compensated")

    # --- one step -------------------------------------------------------------------------------------------------

    async def _one(self, step: StepSpec) -> None:
        self._set(step.name, state="running", started_at=_now())
        try:
            await self._allowed(step)
            await self._tried(step)
        except Failed as exc:
            self._set(step.name, state="failed", error=exc.failure, ended_at=_now())
            if self._policy(step) == "continue":
                return
            if exc.failure.type == TASK_TIMEOUT and self._work.left() <= 0:
                raise Failed(self._work.overdue()) from exc
            raise Broken(step, exc) from exc

    async def _allowed(self, step: StepSpec) -> None:
        if (word := self._before(step)) is not None:
            self._set(step.name, state="waiting")
            await word
            self._set(step.name, state="running")

    async def _tried(self, step: StepSpec) -> None:
        """The step, as often as its retry allows."""
        delay = step.retry.delay_seconds
        for attempt in range(1, step.retry.max_retries + 2):
            self._set(step.name, attempt=attempt)
            try:
                return await self._attempt(step, attempt)
            except Failed as exc:
                if attempt > step.retry.max_retries or exc.failure.details.get("final") or is_cancelled():
                    raise
                self._set(step.name, error=exc.failure)
            await workflow.sleep(delay)
            await settled()
            delay *= step.retry.backoff
        return None

    async def _attempt(self, step: StepSpec, attempt: int) -> None:
        part = self._part(step, self._iteration, attempt)
        prepared = await self._prepared(step, part)
        if prepared.skipped:
            self._set(step.name, state="skipped", reason=prepared.skipped, ended_at=_now())
        elif prepared.refused is not None:
            final = {**prepared.refused.details, "final": True}
            raise Failed(prepared.refused.model_copy(update={"details": final}))
        elif prepared.question is not None:
            await self._asked(step, prepared.question)
        else:
            self._set(step.name, child=part)
            result = await self._counted(step, part, self._child(part, prepared))
            self._set(step.name, state="done", output=result.value or Value(), error=None, ended_at=_now())

    async def _counted(self, step: StepSpec, part: str, child: Coroutine[Any, Any, ProgramResult]) -> ProgramResult:
        """The child's result. What it took counts, however it ended; one that was cancelled has told it before."""
        result = None
        try:
            result = await child
        except Failed as exc:
            result = exc.result
            raise
        except BaseException:
            told = self._work.children.reports.get(part)
            result = told.result if told else None
            raise
        finally:
            if result is not None:
                run = self.runs[step.name]
                self._set(step.name, spent=run.spent.joined(result.spent), calls=run.calls + result.calls)
        return result

    async def _prepared(self, step: StepSpec, part: str) -> Prepared:
        around = self._seen_by(step)
        left = max(0.001, self._work.left())
        position = list(self._steps).index(step.name)
        request = PrepareStep(
            **self._request, child=part, step=step, around=around, left_seconds=left, position=position
        )
        options: dict[str, Any] = {"result_type": Prepared, "summary": f"prepare {part}"}
        prepared: Prepared = await saving.locally(PREPARE.name, request, **options)
        return prepared

    async def _child(self, part: str, prepared: Prepared) -> ProgramResult:
        for kind, spec in (
            (TASK_WORKFLOW, prepared.task),
            (PROGRAM_WORKFLOW, prepared.program),
            (FLOW_WORKFLOW, prepared.flow),
        ):
            if spec is not None:
                return await self._work.children.run(part, kind, spec, prepared.summary)
        raise AssertionError("nothing was prepared")

    async def _asked(self, step: StepSpec, question: Question) -> None:
        self._set(step.name, state="waiting")
        try:
            closed = await self._work.settle(question)
        finally:
            self._work.questions.withdraw(question.id)
        try:
            answer = answer_of(closed)
        except Unanswered as exc:
            raise Failed(exc.failure.model_copy(update={"details": {"final": True}})) from exc
        self._set(step.name, state="done", output=Value(inline=answer), ended_at=_now())

    def _policy(self, step: StepSpec) -> str:
        return step.on_failure if step.on_failure != "fail" else self._on_failure

    # --- what a step sees -----------------------------------------------------------------------------------------

    def _seen_by(self, step: StepSpec) -> Around:
        """Outputs that it may name, by reference; not all of a long flow: each event would hold them."""
        text = step.model_dump_json(exclude={"name"})
        all_ = [name for name, run in self.runs.items() if run.state in OVER]
        named = [name for name in all_ if name in text]
        seen = all_ if len(all_) <= _MANY else named
        first = next(iter(self.runs.values()))
        return self._around.model_copy(
            update={
                "outputs": {name: output for name in seen if (output := self.runs[name].output) is not None},
                "states": {name: self.runs[name].state for name in seen},
                "errors": {name: error.message[:_SHOWN] for name in seen if (error := self.runs[name].error)},
                "first": first.output if first.name != step.name else self._around.first,
                "previous": self._previous(step),
                "iteration": self._iteration,
            }
        )

    def _previous(self, step: StepSpec) -> Value | None:
        """The output of the one step before it; of a step that was skipped, of the one before that."""
        while len(step.depends_on) == 1:
            step = self._steps[step.depends_on[0]]
            if self.runs[step.name].state != "skipped":
                return self.runs[step.name].output
        return None

    def _set(self, name: str, **change: object) -> None:
        self.runs[name] = self.runs[name].model_copy(update=change)


def _pending(step: StepSpec, iteration: int) -> StepRun:
    return StepRun(name=step.name, kind=step.kind, who=step.who, iteration=iteration, reason=step.reason)


def _now() -> float:
    return workflow.now().timestamp()
