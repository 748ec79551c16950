"""Delegation: a master shares a task out among its subagents.

    PLAN -> (ASK -> PLAN)* -> its steps, each a child -> (those that failed: PLAN -> steps, once) -> MERGE

The master's own steps are children too, with its own skills; they never delegate.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from temporalio import workflow

from holdfast.approvals import on_behalf
from holdfast.contracts.base import Failure, Json, Value
from holdfast.contracts.flow import Around, FlowState, StepRun, StepSpec
from holdfast.contracts.llm import (
    LLM_DELEGATE,
    LLM_MERGE,
    Answer,
    Contribution,
    Delegated,
    DelegationPlan,
    DelegationRequest,
    MergeRequest,
)
from holdfast.contracts.message import Part, TextPart
from holdfast.contracts.model import Spent
from holdfast.contracts.program import ProgramResult, Progress
from holdfast.contracts.work import TaskSpec
from holdfast.names import canonical_name
from workflows.children import Failed
from workflows.clarifying import UNASKED, told
from workflows.gate import Gate
from workflows.steps import Steps
from workflows.talk import Talk
from workflows.work import Work

MAX_ASKED = 5
"""Questions that a plan may ask, and replies that are no plan: each, before the task is given up."""
SELF = "self"
_SHOWN = 160
_WORDS = {"done": "completed", "running": "in_progress", "waiting": "in_progress"}
"""The older system's words for how a step stands, where they are others."""


class Delegation:
    """One task of a master. `runs` is how its steps stand, in the order of the plan."""

    def __init__(self, work: Work, spec: TaskSpec, talk: Talk) -> None:
        self.work, self.spec, self.talk = work, spec, talk
        self.master = canonical_name(spec.brief.agent)
        self._planned: dict[str, Delegated] = {}
        self._names: list[str] = []
        self._over: dict[str, StepRun] = {}
        self._given_up: set[str] = set()
        self._steps: Steps | None = None
        self._plan_id = ""
        self._shown: list[str] = []
        self._gate = Gate(spec, work.questions)

    # --- the story ------------------------------------------------------------------------------------------------

    async def run(self) -> Value:
        """The answer, made of what the steps gave.

        Raises:
            Failed: no step gave anything, or the model cannot be asked.
        """
        plan = await self._decide(self.spec.say)
        if plan.kind == "answer":
            return plan.answer or Value(inline="")
        self._plan_id = plan.head[:12]
        await self._take(plan.steps)
        extra: list[Contribution] = []
        if failed := self._failed():
            plan = await self._decide([TextPart(text=_anew(failed, self._planned, self._names))])
            if plan.kind == "steps":
                self._given_up |= {run.name for run in failed}
                await self._take(plan.steps)
            elif plan.answer is not None and (plan.answer.ref or plan.answer.inline):
                extra = [Contribution(who=self.master, task="instead of what failed", value=plan.answer)]
        return await self._merged([*map(self._contribution, self._told()), *extra])

    async def _decide(self, say: list[Part]) -> DelegationPlan:
        """A plan with steps, or an answer. As often as something must be asked first, or the reply is no plan."""
        for _ in range(MAX_ASKED + 1):
            plan = await self._plan(say)
            if plan.kind in ("steps", "answer"):
                return plan
            said = await self._asked(plan) if plan.kind == "ask" else plan.problems
            say = [TextPart(text=said)]
        text = plan.problems or f"the plan still asks after {MAX_ASKED} answers; the last question: {plan.question}"
        raise Failed(Failure(type="PlanInvalid", message=text))

    async def _asked(self, plan: DelegationPlan) -> str:
        rules = self.spec.clarification
        if not rules.allowed:
            return UNASKED
        return told(await self.work.ask(f"plan.{len(self.work.questions.all) + 1}", plan.question, plan.options, rules))

    async def _plan(self, say: list[Part]) -> DelegationPlan:
        self.work.show("planning")
        spec = self.spec
        request = DelegationRequest(
            brief=spec.brief, head=self.talk.head, say=say, max_steps=spec.max_plan_steps, before=len(self._names)
        )
        summary = "plan: who does what"
        plan: DelegationPlan = await self.talk.ask(LLM_DELEGATE.name, request, DelegationPlan, "plan", summary)
        self.talk.say_of_last(f"plan: {self._described(plan)}")
        return plan

    def _described(self, plan: DelegationPlan) -> str:
        who = ", ".join(step.delegate_to or self.master for step in plan.steps) or plan.kind
        return f"{who} ({plan.reasoning})" if plan.reasoning else who

    async def _take(self, planned: list[Delegated]) -> None:
        """Run the steps of a plan. One that fails costs only itself, and those that need it."""
        first = len(self._names)
        for step in planned:
            name = _free(step.delegate_to or SELF, self._planned)
            self._planned[name] = step
            self._names.append(name)
        new = self._names[first:]
        self.work.show(f"delegating to {', '.join(new)}"[:_SHOWN])
        self._steps = self._begun([self._step(name) for name in new])
        showing = asyncio.create_task(self._show())
        try:
            await self._steps.run()
        finally:
            showing.cancel()
            self._over, self._steps = self._steps.runs, None

    async def _show(self) -> None:
        """Keep what the Temporal UI shows as current details up to date."""
        while True:
            await workflow.wait_condition(lambda: [run.state for run in self.runs] != self._shown)
            self._shown = [run.state for run in self.runs]
            self.work.show(self.work.phase)

    def _begun(self, steps: list[StepSpec]) -> Steps:
        spec = self.spec
        return Steps(
            self.work,
            steps,
            Around(input=spec.inputs),
            catalogue=spec.brief.catalogue,
            depth=spec.depth + 1,
            models=spec.brief.models,
            is_budgeted=spec.is_budgeted,
            said_as="plain",
            part=lambda step, _iteration, _attempt: f"{self.master}-{step.name}",
            runs=self._over.values(),
            above=on_behalf(spec.above, spec.brief.agent),
            before=self._word,
        )

    def _word(self, step: StepSpec) -> Coroutine[Any, Any, None] | None:
        """A person's word, where rules say that the step's agent needs one, and the step will not be left out."""
        assert self._steps is not None
        is_left_out = any(self._steps.runs[one].state != "done" for one in step.depends_on)
        return None if is_left_out else self._gate.word(step, self._planned[step.name].task)

    def _step(self, name: str) -> StepSpec:
        planned = self._planned[name]
        before = [self._names[number - 1] for number in planned.after]
        new = [one for one in before if one not in self._over]
        given: dict[str, Json] = {"task": planned.task.replace("${", "$${"), "request": "${input}"}
        told = [one for one in before if one in new or self._over[one].output is not None]
        if told:
            given["results"] = {one: f"${{steps.{one}.output}}" for one in told}
        return StepSpec(
            name=name,
            kind="agent",
            who=planned.delegate_to or self.master,
            input=given,
            depends_on=new,
            condition=" && ".join(f"steps['{one}'].state == 'done'" for one in new),
            strategy=None if planned.delegate_to else "ptc",
            on_failure="continue",
            reason=planned.reason,
        )

    async def _merged(self, parts: list[Contribution]) -> Value:
        given = [part for part in parts if part.error is None]
        if not given:
            why = "; ".join(f"{part.who}: {part.error.message}" for part in parts if part.error)
            raise Failed(Failure(type="DelegationFailed", message=f"every step of the plan failed: {why}"))
        if len(parts) == 1 and self.spec.output_schema is None:
            return given[0].value or Value()
        self.work.show("merging")
        request = MergeRequest(
            brief=self.spec.brief, head=self.talk.head, parts=parts, output_schema=self.spec.output_schema
        )
        summary = f"merge what {len(parts)} steps gave"
        answer: Answer = await self.talk.ask(LLM_MERGE.name, request, Answer, "merge", summary)
        return answer.value

    # --- how it stands --------------------------------------------------------------------------------------------

    def progress(self, own: Progress) -> Progress:
        """How the task stands, with its steps."""
        spent = own.spent.joined(self.spent)
        update = {"steps": self.runs, "flow": self.state, "spent": spent, "calls_done": self.calls}
        return own.model_copy(update=update)

    def result(self, own: ProgramResult) -> ProgramResult:
        """How the task ended, with its steps."""
        update = {"steps": self.runs, "flow": self.state, "calls": self.calls, "llm": self.talk.llm}
        return own.model_copy(update={**update, "spent": self.talk.spent.joined(self.spent)})

    @property
    def runs(self) -> list[StepRun]:
        found = self._steps.runs if self._steps else self._over
        return [found[name] for name in self._names if name in found]

    @property
    def spent(self) -> Spent:
        """What the steps took, and all below them."""
        spent = Spent()
        for run in self.runs:
            spent = spent.joined(run.spent)
        return spent

    @property
    def calls(self) -> int:
        return sum(run.calls for run in self.runs)

    @property
    def state(self) -> FlowState | None:
        """The plan as R tells it, for `workflow_state` of the task; None before there is one."""
        if not self._plan_id:
            return None
        status = "completed" if all(run.state == "done" for run in self._told()) else "partial"
        data: dict[str, Json] = {
            "plan_id": self._plan_id,
            "status": status if not self._steps else "in_progress",
            "participating_agents": [*dict.fromkeys(run.who for run in self.runs)],
            "step_results": [self._result_of(run) for run in self.runs],
        }
        return FlowState(current_state=self.work.phase or status, state_data=data)

    def details(self) -> list[str]:
        """Lines for the Temporal UI."""
        return [f"- {run.name}: {run.state} {_cut(self._planned[run.name].task)}" for run in self.runs]

    def _result_of(self, run: StepRun) -> dict[str, Json]:
        row: dict[str, Json] = {"step": run.name, "agent": run.who, "status": _WORDS.get(run.state, run.state)}
        row |= {"task": self._planned[run.name].task, "task_id": f"{self.work.task.task_id}/{run.child}"}
        return row | ({"error": run.error.message} if run.error else {})

    def _failed(self) -> list[StepRun]:
        return [run for run in self.runs if run.state != "done"]

    def _told(self) -> list[StepRun]:
        """The steps that count: without those that were planned anew."""
        return [run for run in self.runs if run.name not in self._given_up]

    def _contribution(self, run: StepRun) -> Contribution:
        error = None if run.state == "done" else run.error or Failure(type="StepSkipped", message=_why(run))
        return Contribution(who=run.who, task=self._planned[run.name].task, value=run.output, error=error)


def _free(name: str, taken: dict[str, Delegated]) -> str:
    """`code-reviewer`, then `code-reviewer-2`."""
    number = 1
    while (free := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return free


def _anew(failed: list[StepRun], planned: dict[str, Delegated], names: list[str]) -> str:
    rows = "\n".join(f"- step {names.index(run.name) + 1} ({run.who}): {_why(run)}" for run in failed)
    return (
        f"These steps failed; all others are done:\n{rows}\n\nPlan what these were to do anew, in another way or by "
        f"another agent, and nothing else: steps are now counted from {len(names) + 1}, and `after` may name those "
        'that are done. Or reply with {"answer": "…"}, if it can go on without them.'
    )


def _why(run: StepRun) -> str:
    return run.error.message if run.error else "what it needs failed" if run.state == "skipped" else run.state


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
