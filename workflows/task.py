"""TaskWorkflow: from what a person said to an answer.

    direct:  ANSWER
    ptc:     PLAN -> (ASK -> PLAN)* -> PROGRAM -> run it (ProgramWorkflow) -> (PHRASE)
    class:   run the project's own Python (ProgramWorkflow)
    loop:    TURN -> calls -> TURN … (`Loop`)
    delegate: PLAN -> its steps, each a child -> MERGE (`Delegation`)

It decides which way a task goes; `Work` is what it has in common with other tasks. The program, its calls and its
repairs belong to the child `<workflow id>/program`.
"""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from holdfast.contracts import program as contracts
from holdfast.contracts.base import Failure, Value
from holdfast.contracts.journal import JournalView
from holdfast.contracts.llm import (
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
from holdfast.contracts.principal import PROGRAM
from holdfast.contracts.program import Author, NestMessage, NestReply, ProgramResult, ProgramSpec, Progress, TaskState
from holdfast.contracts.work import TASK_WORKFLOW, TaskSpec
from workflows.children import Failed
from workflows.clarifying import UNASKED, told
from workflows.delegation import Delegation
from workflows.loop import Loop
from workflows.ownagent import own_program
from workflows.talk import Talk
from workflows.work import Work

MAX_ASKED = 5
"""Questions that a plan may ask, and replies that are no plan: each, before the task is given up."""


# Not in the SDK's sandbox: it costs 19 ms of a direct task and 32 of a program. Replays in CI run in it.
@workflow.defn(name=TASK_WORKFLOW, sandboxed=False)
class TaskWorkflow(Work):
    @workflow.init
    def __init__(self, spec: TaskSpec) -> None:
        was = spec.carried
        super().__init__(
            spec.brief.task,
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
        self.spec = spec
        self.phase = "planning" if spec.strategy == "ptc" else "answering"
        self.talk = Talk(self, was.head, was.llm, was.spent) if was else Talk(self)
        self.loop = Loop(self, spec, self.talk) if spec.strategy == "loop" else None
        self.delegation = Delegation(self, spec, self.talk) if spec.strategy == "delegate" else None
        self.chosen: list[str] = []
        self.has_program = False
        self.result = ProgramResult(state="RUNNING")

    # --- the story ------------------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, spec: TaskSpec) -> ProgramResult:
        return await self._live(self._story())

    async def _story(self) -> Value:
        if self.spec.strategy == "direct":
            return await self._answer()
        if self.loop is not None:
            return await self.loop.run()
        if self.delegation is not None:
            return await self.delegation.run()
        if self.spec.strategy == "class":
            return await self._run(own_program(self.spec, self.left()), f"agent {self.spec.brief.agent} in Python")
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
                said = await self.ask_next(plan.question, plan.options)
                plan = await self._plan([TextPart(text=said)])
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
            said = await self.ask_next(draft.question, draft.options)
            draft = await self._draft(skills, say=[TextPart(text=said)], fused=True)
        text = f"it still asks after {MAX_ASKED} answers; the last question: {draft.question}"
        raise Failed(Failure(type="PlanInvalid", message=text))

    # --- the steps ------------------------------------------------------------------------------------------------

    async def _plan(self, say: list[Part]) -> Plan:
        self.show("planning")
        request = PlanRequest(brief=self.spec.brief, head=self.talk.head, say=say)
        plan: Plan = await self.talk.ask(LLM_PLAN.name, request, Plan, "plan", "plan: choose skills")
        chosen = ", ".join(plan.selected_skills) if plan.kind == "skills" else plan.kind
        self.talk.say_of_last(f"plan: {chosen}")
        return plan

    async def _draft(self, skills: list[str], say: list[Part] | None = None, fused: bool = False) -> Draft:
        self.show("generating")
        request = DraftRequest(brief=self.spec.brief, head=self.talk.head, skills=skills, say=say or [], fused=fused)
        if self.spec.variables is not None:
            request = request.model_copy(update={"in_session": True})
        summary = f"write a program with {', '.join(skills)}"[:120]
        draft: Draft = await self.talk.ask(LLM_PROGRAM.name, request, Draft, "program", summary)
        self.chosen = skills
        return draft

    async def _answer(self) -> Value:
        self.show("answering")
        request = AnswerRequest(
            brief=self.spec.brief, head=self.talk.head, say=self.spec.say, output_schema=self.spec.output_schema
        )
        answer: Answer = await self.talk.ask(LLM_ANSWER.name, request, Answer, "answer", "answer")
        return answer.value

    async def _phrase(self, value: Value) -> Value:
        self.show("phrasing")
        request = AnswerRequest(
            brief=self.spec.brief, head=self.talk.head, result=value, output_schema=self.spec.output_schema
        )
        answer: Answer = await self.talk.ask(LLM_ANSWER.name, request, Answer, "answer", "phrase the result")
        return answer.value

    async def ask_next(self, text: str, options: list[str]) -> str:
        """What the model hears of the plan's next question."""
        rules = self.spec.clarification
        if not rules.allowed:
            return UNASKED
        return told(await self.ask(f"plan.{len(self.questions.all) + 1}", text, options, rules))

    async def _run_program(self, draft: Draft) -> Value:
        """The value of the finished program. Its repairs are its own workflow's business."""
        return await self._run(self._program_spec(draft), f"program of {len(draft.source.splitlines())} lines")

    async def _run(self, spec: ProgramSpec, summary: str) -> Value:
        self.show("running")
        self.has_program = True
        try:
            self.result = await self.children.run(PROGRAM, contracts.PROGRAM_WORKFLOW, spec, summary)
        except Failed as exc:
            self.result = exc.result or self.result
            raise
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
            author=Author(brief=spec.brief, head=self.talk.head, skills=self.chosen),
            adapter=spec.adapter,
            limits=spec.limits.model_copy(update={"task_seconds": max(0.001, self.left())}),
            tuning=spec.tuning,
            depth=spec.depth,
            is_budgeted=spec.is_budgeted,
            clarification=spec.clarification,
            variables=spec.variables,
            above=spec.above,
        ).pinned()

    # --- what others see ------------------------------------------------------------------------------------------

    @workflow.update(name=contracts.UPDATE_NEST)
    async def nest(self, message: NestMessage) -> NestReply:
        """What the code of skills asks that a loop called."""
        assert self.loop is not None
        return await self.loop.nest(message)

    @nest.validator
    def _check_nest(self, message: NestMessage) -> None:
        if self.loop is None:
            raise ApplicationError("stale: this task calls no skills itself", type="Stale")
        self.loop.nesting.check(message)

    @workflow.query(name=contracts.QUERY_JOURNAL)
    def journal_view(self) -> JournalView:
        """What a loop called. The calls of a program are told by its own workflow."""
        return self.loop.view() if self.loop else JournalView()

    def _standing(self) -> TaskState:
        """Of a loop whose calls are open, what these wait for."""
        if self.loop is None or not self.loop.is_calling:
            return super()._standing()
        return "WAITING" if self.loop.journal.waits_for_people() else "RUNNING"

    @workflow.query(name=contracts.QUERY_PROGRESS)
    def progress(self) -> Progress:
        """What a watcher sees now. Calls and repairs are told by the program's workflow."""
        program = self.children.reports.get(PROGRAM)
        own = Progress(
            state=self.state,
            phase=self.phase,
            program_id=self.children.workflow_id(PROGRAM) if self.has_program else None,
            spent=self.talk.spent,
            llm=self.talk.llm,
            version=program.version if program else 1,
            questions=list(self.all_questions().all.values()),
            budget=self.purse.state,
        )
        told = self.loop or self.delegation
        return told.progress(own) if told else own

    def _result(self, result: ProgramResult) -> ProgramResult:
        """Of a turn, with where its conversation ends: the session's goes on from there."""
        did = self._did(result)
        return did.model_copy(update={"head": self.talk.head}) if self.is_turn and self.talk.head else did

    def _did(self, result: ProgramResult) -> ProgramResult:
        """With what the loop or the program did; of a cancelled program, what it told."""
        if told := self.loop or self.delegation:
            return told.result(result)
        report = self.children.reports.get(PROGRAM)
        did = (report.result if report and report.result else None) or self.result
        own = {"state": result.state, "value": result.value, "error": result.error}
        llm, spent = [*self.talk.llm, *did.llm], self.talk.spent.joined(did.spent)
        return did.model_copy(update={**own, "llm": llm, "spent": spent})

    def _details(self) -> list[str]:
        return [f"{self.talk.spent.llm_calls} LLM calls", *(self.delegation.details() if self.delegation else [])]
