"""FlowWorkflow: a declared flow. One round of its step graph, or, to refine something, rounds until it converges."""

from typing import Any

from temporalio import workflow

from holdfast.contracts import program as contracts
from holdfast.contracts.base import Value
from holdfast.contracts.flow import (
    COLLECT,
    FLOW_WORKFLOW,
    JUDGE,
    Around,
    Collect,
    Collected,
    FlowCarried,
    FlowSpec,
    FlowState,
    Judge,
    StepRun,
    StepSpec,
    Verdict,
)
from holdfast.contracts.model import Spent
from holdfast.contracts.program import ProgramResult, Progress
from holdfast.contracts.work import FlowTask
from holdfast.flowgraph import after
from workflows import saving
from workflows.ownflow import own_steps, run_own_flow
from workflows.steps import Steps
from workflows.work import Work

KEPT = 1000
"""Steps of past rounds that are carried on for people to read: the newest."""


# Not in the SDK's sandbox: see TaskWorkflow.
@workflow.defn(name=FLOW_WORKFLOW, sandboxed=False)
class FlowWorkflow(Work):
    @workflow.init
    def __init__(self, spec: FlowTask) -> None:
        was = spec.carried
        super().__init__(
            spec.task,
            spec.type,
            spec.limits,
            reports_end=spec.reports_end,
            reports_to=spec.reports_to,
            budget=spec.budget,
            is_budgeted=spec.is_budgeted,
            started_at=was.started_at if was else None,
            questions=was.questions if was else (),
            ledger=was.budget if was else None,
        )
        self.spec, self.flow = spec, spec.flow
        self.was = was or FlowCarried(started_at=self.began_at)
        self.iteration = self.was.iteration
        self.past = list(self.was.past)
        self.feedback = self.was.feedback
        self.steps = self._graph(self.was.runs)

    # --- the story ------------------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, spec: FlowTask) -> ProgramResult:
        return await self._live(self._story())

    async def _story(self) -> Value:
        self.show("running")
        if self.flow.own_workflow:
            return await run_own_flow(self, self.spec)
        if self.flow.coordination == "iterative_refinement":
            return await self._refined()
        await self._round()
        return await self._collected(Collect(plain={"status": "completed"}, **self._step_outputs()))

    async def _refined(self) -> Value:
        """Rounds, until one converges, or as many as there may be."""
        while True:
            await self._round()
            last = self._last()
            if await self._converged(last):
                return await self._assessed("completed_converged", last)
            if self.iteration >= self.flow.max_iterations:
                return await self._assessed("completed_max_iterations", last)
            self.past = [*self.past, *self.steps.runs.values()][-KEPT:]
            self.feedback = last
            self.iteration += 1
            self.steps = self._graph([])

    async def _round(self) -> None:
        self.show(f"round {self.iteration}" if self.flow.coordination == "iterative_refinement" else "running")
        await self.steps.run()
        if not self.steps.is_done:
            await self._continue_as_new()

    def _graph(self, runs: list[StepRun]) -> Steps:
        return Steps(
            self,
            _linked(self.flow),
            Around(input=self.spec.input, feedback=self.feedback),
            catalogue=self.spec.catalogue,
            depth=self.spec.depth + 1,
            models=self.spec.models,
            is_budgeted=self.spec.is_budgeted,
            max_parallel=self.flow.max_parallel,
            iteration=self.iteration,
            on_failure=self.flow.on_failure,
            runs=runs,
            is_full=self._is_full,
        )

    # --- what comes of it -----------------------------------------------------------------------------------------

    async def _converged(self, last: Value | None) -> bool:
        around = Around(
            input=self.spec.input, previous=last, feedback=self.feedback, iteration=self.iteration, **self._outputs()
        )
        request = Judge(expression=self.flow.convergence, around=around)
        verdict: Verdict = await saving.locally(JUDGE.name, request, result_type=Verdict, summary="has it converged?")
        if verdict.error:
            workflow.logger.info(
                "flow.not_judged", extra={"reason": verdict.error[:200], "trace_id": self.task.trace_id}
            )
        return verdict.is_true

    async def _assessed(self, status: str, last: Value | None) -> Value:
        """P-13's shape."""
        first = next(iter(self.steps.runs.values())).output
        fields = {"final_assessment": last or Value(), "research_findings": first or Value()}
        return await self._collected(Collect(fields=fields, plain={"status": status, "iterations": self.iteration}))

    def _step_outputs(self) -> dict[str, Any]:
        """P-12's shape of a sequence; a mapping by name where there is no order."""
        done = {run.name: run.output or Value() for run in self.steps.runs.values() if run.state == "done"}
        if self.flow.coordination == "sequential":
            return {"lists": {"step_outputs": list(done.values())}, "fields": {"final_output": self._last() or Value()}}
        return {"maps": {"step_outputs": done}}

    def _outputs(self) -> dict[str, Any]:
        runs = self.steps.runs
        outputs = {name: run.output for name, run in runs.items() if run.output is not None}
        return {"outputs": outputs, "states": {name: run.state for name, run in runs.items()}}

    def _last(self) -> Value | None:
        """The output of the last step that was done."""
        outputs = [run.output for run in self.steps.runs.values() if run.state == "done"]
        return outputs[-1] if outputs else None

    async def _collected(self, request: Collect) -> Value:
        collected: Collected = await saving.locally(
            COLLECT.name, request, result_type=Collected, summary="put the outputs together"
        )
        return collected.value

    # --- over runs ------------------------------------------------------------------------------------------------

    def _is_full(self) -> bool:
        info = workflow.info()
        return info.is_continue_as_new_suggested() or (
            info.get_current_history_length() > self.spec.tuning.bound_events
        )

    async def _continue_as_new(self) -> None:
        """No child runs. There is no await between the last look and the act."""
        while True:
            await self.record.written()
            if self.purse.is_open:
                await self.purse.flushed()
            await workflow.wait_condition(workflow.all_handlers_finished)
            if self.purse.is_quiet and not self.children.are_open:
                break
        workflow.continue_as_new(self.spec.model_copy(update={"carried": self._carry()}))

    def _carry(self) -> FlowCarried:
        return FlowCarried(
            iteration=self.iteration,
            runs=list(self.steps.runs.values()),
            past=self.past,
            feedback=self.feedback,
            started_at=self.began_at,
            questions=self.questions.carried(),
            generation=self.was.generation + 1,
            budget=self.purse.carried(),
        )

    # --- what others see ------------------------------------------------------------------------------------------

    @workflow.query(name=contracts.QUERY_PROGRESS)
    def progress(self) -> Progress:
        """What a watcher sees now."""
        return Progress(
            state=self.state,
            phase=self.phase,
            runs=self.was.generation,
            spent=self._spent(),
            calls_done=sum(run.calls for run in self._all()),
            questions=list(self.all_questions().all.values()),
            steps=self._all(),
            flow=self._flow_state(),
            budget=self.purse.state,
        )

    def _result(self, result: ProgramResult) -> ProgramResult:
        change = {
            "spent": self._spent(),
            "calls": sum(run.calls for run in self._all()),
            "runs": self.was.generation,
            "steps": self._all(),
            "flow": self._flow_state(),
            "budget": self.purse.state,
        }
        return result.model_copy(update=change)

    def _all(self) -> list[StepRun]:
        return own_steps(self.children) if self.flow.own_workflow else [*self.past, *self.steps.runs.values()]

    def _spent(self) -> Spent:
        spent = Spent()
        for run in self._all():
            spent = spent.joined(run.spent)
        return spent

    def _flow_state(self) -> FlowState:
        """P-03's `workflow_state`."""
        runs = self.steps.runs
        now = [name for name, run in runs.items() if run.state in ("running", "waiting")]
        return FlowState(
            current_iteration=self.iteration,
            max_iterations=self.flow.max_iterations if self.flow.coordination == "iterative_refinement" else 1,
            current_state=", ".join(now) or self.phase or self.state.lower(),
            state_data={"steps": {name: run.state for name, run in runs.items()}},
        )

    def _details(self) -> list[str]:
        over = sum(run.state in ("done", "skipped") for run in self.steps.runs.values())
        return [f"{over} of {len(self.steps.runs)} steps", *(_line(run) for run in self.steps.runs.values())]


def _line(run: StepRun) -> str:
    return f"- {run.name} ({run.kind} {run.who}".rstrip() + f"): {run.state}"


def _linked(flow: FlowSpec) -> list[StepSpec]:
    """The steps with what they wait for: in a sequence each for the one before, at once for none."""
    before = after(flow)
    return [step.model_copy(update={"depends_on": before[step.name]}) for step in flow.steps]
