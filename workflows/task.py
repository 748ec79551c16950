"""TaskWorkflow: from what a person said to an answer.

    direct:  ANSWER
    ptc:     PLAN -> (ASK -> PLAN)* -> PROGRAM -> run it (ProgramWorkflow) -> (PHRASE)

It decides which way a task goes, and owns its record. The program, its calls and its repairs belong to the child
`<workflow id>/program`; what that asks of people is answered here and handed on.
"""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    is_cancelled_exception,
)

from holdfast.contracts import program as contracts
from holdfast.contracts.base import Failure, Sha256, Value
from holdfast.contracts.llm import (
    ANSWERED,
    LLM_ANSWER,
    LLM_PLAN,
    LLM_PROGRAM,
    Answer,
    AnswerRequest,
    Draft,
    DraftRequest,
    Plan,
    PlanRequest,
)
from holdfast.contracts.message import Part, TextPart
from holdfast.contracts.model import LlmCall, LlmStep, Spent
from holdfast.contracts.program import Author, ProgramResult, ProgramSpec, Progress, TaskState
from holdfast.contracts.question import AnswerMessage, Question
from holdfast.contracts.work import (
    SIGNAL_REPORT,
    TASK_WORKFLOW,
    ProgramReport,
    TaskSpec,
    program_workflow_id,
)
from workflows import policies
from workflows.effects import TASK_TIMEOUT, failure, is_overdue
from workflows.endings import settled, through
from workflows.mending import ask_model, noted
from workflows.questions import Questions
from workflows.saving import Record

MAX_ASKED = 5
"""Questions that a plan may ask, and replies that are no plan: each, before the task is given up."""


class Failed(Exception):
    """The task cannot go on."""

    def __init__(self, cause: Failure) -> None:
        super().__init__(cause.message)
        self.failure = cause


# Not in the SDK's sandbox: it costs 19 ms of a direct task and 32 of a program. Replays in CI run in it.
@workflow.defn(name=TASK_WORKFLOW, sandboxed=False)
class TaskWorkflow:
    @workflow.init
    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.task = spec.brief.task
        self.began_at = workflow.now().timestamp()
        self.state: TaskState = "RUNNING"
        self.phase = "planning" if spec.strategy == "ptc" else "answering"
        self.head: Sha256 | None = None
        self.llm: list[LlmCall] = []
        self.spent = Spent()
        self.questions = Questions()
        self.report = ProgramReport(state="RUNNING")
        self.handed_on: set[str] = set()
        self.chosen: list[str] = []
        self.program: workflow.ChildWorkflowHandle[Any, ProgramResult] | None = None
        self.result = ProgramResult(state="RUNNING")
        self.expired = False
        self.record = Record(self.task, spec.type, self.began_at)

    # --- the story ------------------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, spec: TaskSpec) -> ProgramResult:
        story = asyncio.create_task(self._story())
        watches = [asyncio.create_task(one) for one in (self._deadline(story), self._follow_program())]
        try:
            value = await story
        except Failed as exc:
            # The program and the model's activity have the task's deadline, and may be the first to notice it.
            state: TaskState = "TIMED_OUT" if exc.failure.type == TASK_TIMEOUT else "ERROR"
            return await through(self._close(state, error=exc.failure))
        except (asyncio.CancelledError, FailureError) as exc:
            if not is_cancelled_exception(exc):
                return await through(self._close("ERROR", error=failure(exc)))
            self.questions.withdraw_all()
            if self.expired:
                return await through(self._close("TIMED_OUT", error=self._overdue()))
            await through(self._close("CANCELLED"))
            raise asyncio.CancelledError from exc
        finally:
            for watch in watches:
                watch.cancel()
        return await through(self._close("DONE", value=value))

    async def _story(self) -> Value:
        if self.spec.strategy == "direct":
            return await self._answer()
        fused = self.spec.planning == "fused"
        draft = await (self._decide_at_once() if fused else self._decide())
        if isinstance(draft, Value):
            return draft
        value = await self._run_program(draft)
        return await self._phrase(value) if self.spec.phrase else value

    async def _decide(self) -> Draft | Value:
        """PLAN, as often as something must be asked first; then PROGRAM."""
        plan = await self._plan(self.spec.say)
        for number in range(MAX_ASKED + 1):
            if plan.kind == "answer":
                return plan.answer or Value(inline="")
            if plan.kind == "skills":
                return await self._draft(plan.selected_skills)
            if number == MAX_ASKED:
                break
            if plan.kind == "ask":
                said = await self._ask(plan.question, plan.options)
                plan = await self._plan([TextPart(text=f"{ANSWERED}{said}")])
            else:
                plan = await self._plan([TextPart(text=plan.problems)])
        text = plan.problems or f"the plan still asks after {MAX_ASKED} answers; the last question: {plan.question}"
        raise Failed(Failure(type="PlanInvalid", message=text))

    async def _decide_at_once(self) -> Draft | Value:
        """PLAN and PROGRAM in one: the first reply is a program, an answer, or a question."""
        skills = self.spec.brief.skills
        draft = await self._draft(skills, say=self.spec.say, fused=True)
        for number in range(MAX_ASKED + 1):
            if draft.kind == "program":
                return draft
            if draft.kind == "answer":
                return draft.answer or Value(inline="")
            if number == MAX_ASKED:
                break
            said = await self._ask(draft.question, draft.options)
            draft = await self._draft(skills, say=[TextPart(text=f"{ANSWERED}{said}")], fused=True)
        text = f"it still asks after {MAX_ASKED} answers; the last question: {draft.question}"
        raise Failed(Failure(type="PlanInvalid", message=text))

    # --- the steps ------------------------------------------------------------------------------------------------

    async def _plan(self, say: list[Part]) -> Plan:
        self._show("planning")
        request = PlanRequest(brief=self.spec.brief, head=self.head, say=say)
        plan: Plan = await self._model(LLM_PLAN.name, request, Plan, "plan", "plan: choose skills")
        chosen = ", ".join(plan.selected_skills) if plan.kind == "skills" else plan.kind
        self.llm[-1] = self.llm[-1].model_copy(update={"detail": f"plan: {chosen}"})
        return plan

    async def _draft(self, skills: list[str], say: list[Part] | None = None, fused: bool = False) -> Draft:
        self._show("generating")
        request = DraftRequest(brief=self.spec.brief, head=self.head, skills=skills, say=say or [], fused=fused)
        summary = f"write a program with {', '.join(skills)}"[:120]
        draft: Draft = await self._model(LLM_PROGRAM.name, request, Draft, "program", summary)
        self.chosen = skills
        return draft

    async def _answer(self) -> Value:
        self._show("answering")
        request = AnswerRequest(
            brief=self.spec.brief, head=self.head, say=self.spec.say, output_schema=self.spec.output_schema
        )
        answer: Answer = await self._model(LLM_ANSWER.name, request, Answer, "answer", "answer")
        return answer.value

    async def _phrase(self, value: Value) -> Value:
        self._show("phrasing")
        request = AnswerRequest(
            brief=self.spec.brief, head=self.head, result=value, output_schema=self.spec.output_schema
        )
        answer: Answer = await self._model(LLM_ANSWER.name, request, Answer, "answer", "phrase the result")
        return answer.value

    async def _ask(self, text: str, options: list[str]) -> Any:
        now = workflow.now().timestamp()
        question = Question(id=f"plan.{len(self.questions.all) + 1}", text=text, options=options, asked_at=now)
        self.questions.ask(question)
        self._record("WAITING")
        answer = (await self.questions.wait(question.id)).answer
        self._record("RUNNING")
        return answer

    async def _run_program(self, draft: Draft) -> Value:
        """The value of the finished program. Its repairs are its own workflow's business."""
        self._show("running")
        self.program = await workflow.start_child_workflow(
            contracts.PROGRAM_WORKFLOW,
            self._program_spec(draft),
            id=program_workflow_id(self.task.workflow_id),
            task_queue=contracts.QUEUE_AGENTS,
            task_timeout=policies.TASK_TIMEOUT,
            result_type=ProgramResult,
            static_summary=f"program of {len(draft.source.splitlines())} lines",
        )
        try:
            self.result = await self.program
        except ChildWorkflowError as exc:
            if is_cancelled_exception(exc):
                raise
            self.result = _failed(exc)
            error = self.result.error or Failure(type="ProgramFailed", message="the program failed")
            raise Failed(error) from exc
        return self.result.value or Value()

    def _program_spec(self, draft: Draft) -> ProgramSpec:
        spec = self.spec
        return ProgramSpec(
            task=self.task,
            type=spec.type,
            source=draft.source,
            first_line=draft.first_line,
            problems=draft.problems,
            inputs=spec.inputs.inline,
            inputs_ref=spec.inputs.ref,
            files_ref=spec.brief.files_ref,
            catalogue=spec.brief.catalogue,
            skills=spec.skills,
            models=spec.brief.models,
            author=Author(brief=spec.brief, head=self.head, skills=self.chosen),
            adapter=spec.adapter,
            limits=spec.limits.model_copy(update={"task_seconds": max(0.001, self._left())}),
            tuning=spec.tuning,
        ).pinned()

    async def _model(self, name: str, request: Any, gives: type[Any], step: LlmStep, summary: str) -> Any:
        began = workflow.now().timestamp()
        try:
            reply = await ask_model(name, request, gives, summary, self._left())
        except ActivityError as exc:
            if is_cancelled_exception(exc):
                raise
            if self._is_cancelled():
                raise asyncio.CancelledError from exc
            raise Failed(self._overdue() if is_overdue(exc) else failure(exc.cause)) from exc
        self.head = reply.head
        self.llm.append(noted(step, summary, began, reply))
        for usage in reply.usage:
            self.spent = self.spent.plus(usage)
        return reply

    # --- what others say ------------------------------------------------------------------------------------------

    @workflow.signal(name=SIGNAL_REPORT)
    def program_report(self, report: ProgramReport) -> None:
        """How the program stands, and what it asks; of a cancelled one, what it did."""
        self.report = report
        self.result = report.result or self.result

    @workflow.update(name=contracts.UPDATE_ANSWER)
    async def answer(self, message: AnswerMessage) -> None:
        """Answer an open question, of the plan or of the program. A second answer is refused."""
        await self._take(message)

    @answer.validator
    def _check_answer(self, message: AnswerMessage) -> None:
        self._check(message)

    @workflow.signal(name=contracts.SIGNAL_ANSWER)
    async def answer_question(self, message: AnswerMessage) -> None:
        """The same by signal. What cannot be taken is logged: a signal has no reply."""
        try:
            self._check(message)
            await self._take(message)
        except ApplicationError as exc:
            workflow.logger.warning(
                "question.answer_refused", extra={"reason": exc.message, "trace_id": self.task.trace_id}
            )

    async def _take(self, message: AnswerMessage) -> None:
        if message.question_id in self.questions.all:
            self.questions.answer(message)
        else:
            await self._hand_on(message)

    def _check(self, message: AnswerMessage) -> None:
        self._all_questions().check(message)
        if message.question_id in self.handed_on:
            text = f"question {message.question_id!r} has just been answered; the first answer wins"
            raise ApplicationError(text, type="CONFLICT", non_retryable=True)

    @workflow.query(name=contracts.QUERY_PROGRESS)
    def progress(self) -> Progress:
        """What a watcher sees now. Calls and repairs are told by the program's workflow."""
        return Progress(
            state=self.state,
            phase=self.phase,
            program_id=self.program.id if self.program else None,
            spent=self.spent,
            llm=self.llm,
            version=self.report.version,
            questions=list(self._all_questions().all.values()),
        )

    async def _hand_on(self, message: AnswerMessage) -> None:
        """Give an answer to the program, and see that it was taken."""
        self.handed_on.add(message.question_id)
        try:
            handle = workflow.get_external_workflow_handle(program_workflow_id(self.task.workflow_id))
            await handle.signal(contracts.SIGNAL_ANSWER, message)
            await workflow.wait_condition(
                lambda: self.state in contracts.FINAL or not self._all_questions().is_open(message.question_id)
            )
        finally:
            self.handed_on.discard(message.question_id)
        closed = self._all_questions().all.get(message.question_id)
        if closed and closed.state != "answered":
            text = f"question {closed.id!r} is {closed.state} already"
            raise ApplicationError(text, type="CONFLICT", non_retryable=True)

    def _all_questions(self) -> Questions:
        return Questions([*self.questions.all.values(), *self.report.questions])

    # --- parts ----------------------------------------------------------------------------------------------------

    async def _deadline(self, story: "asyncio.Task[Value]") -> None:
        """The end of the task's time. On the way there, what runs for a second is recorded as running."""
        await workflow.sleep(min(policies.UNRECORDED.total_seconds(), self._left()))
        await settled()
        if not self.record.is_begun:
            self._record("RUNNING")
        await workflow.sleep(self._left())
        self.expired = True
        story.cancel()

    async def _follow_program(self) -> None:
        """Record when the program begins to wait for people, and when it goes on."""
        while True:
            await workflow.wait_condition(
                lambda: self.phase == "running" and self.report.state not in (self.state, *contracts.FINAL)
            )
            self._record(self.report.state)

    def _is_cancelled(self) -> bool:
        """Whether what runs here was cancelled: an activity may fail, or be lost, before it hears of that."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    def _left(self) -> float:
        """Seconds until the task's deadline."""
        return max(0.0, self.began_at + self.spec.limits.task_seconds - workflow.now().timestamp())

    def _overdue(self) -> Failure:
        text = f"the task ran longer than its limit of {self.spec.limits.task_seconds:g} s (limits.task_seconds)"
        return Failure(type=TASK_TIMEOUT, message=text, details={"kind": "timeout"})

    async def _close(self, state: TaskState, value: Value | None = None, error: Failure | None = None) -> ProgramResult:
        """END: the record is final. A task that failed fails its workflow: it is never shown as a success."""
        self.phase = ""
        llm, spent = [*self.llm, *self.result.llm], self.spent.joined(self.result.spent)
        change = {"state": state, "value": value, "error": error, "llm": llm, "spent": spent}
        result = self.result.model_copy(update=change)
        self._record(state, result)
        await self.record.written()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if error is None:
            return result
        raise ApplicationError(error.message, result.model_dump(mode="json"), type=error.type, non_retryable=True)

    def _record(self, state: TaskState, result: ProgramResult | None = None) -> None:
        """Write the state down, after what was written before. The work does not wait for it."""
        self.state = state
        self._show(self.phase)
        questions = [*self.questions.open, *(one for one in self.report.questions if one.state == "open")]
        self.record.write(state, questions, result)

    def _show(self, phase: str) -> None:
        """What the Temporal UI shows as current details."""
        self.phase = phase
        lines = [f"**{self.state}** {phase}: {self.spent.llm_calls} LLM calls"]
        lines += [f"- question `{one.id}`: {one.text[:200]}" for one in self._all_questions().open]
        workflow.set_current_details("\n".join(lines))


def _failed(exc: ChildWorkflowError) -> ProgramResult:
    """How a program ended that did not end well, as its workflow told."""
    cause = exc.cause
    if isinstance(cause, ApplicationError) and cause.details and isinstance(cause.details[0], dict):
        return ProgramResult.model_validate(cause.details[0])
    return ProgramResult(state="ERROR", error=failure(cause))
