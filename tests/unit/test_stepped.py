"""What histories say of the tasks that a task starts."""

from temporalio.api.enums.v1 import EventType

from holdfast.contracts.base import Failure
from holdfast.contracts.flow import PREPARE, Prepared, PrepareStep, StepSpec
from holdfast.contracts.llm import LLM_TURN, Brief, LoopTurn, TurnRequest
from holdfast.contracts.message import TextPart
from holdfast.contracts.milestone import Milestone, StepMade, UsageTaken
from holdfast.contracts.model import Usage
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.work import TASK_WORKFLOW, TaskSpec
from tests.support.histories import CONVERTER, Script, milestones

SHA = "a" * 64
TASK = TaskRef(task_id="01a1fd2e-81e3-7384-bd82-d539375062ad", trace_id="0123456789abcdef" * 2)
BRIEF = Brief(task=TASK, catalogue=SHA)


class Parent(Script):
    """The history of a task that starts others."""

    async def start(self, part: str, kind: str) -> None:
        event = self._add(EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
        attributes = event.start_child_workflow_execution_initiated_event_attributes
        attributes.workflow_id = f"{TASK.workflow_id}/{part}"
        spec = TaskSpec(brief=BRIEF, type=kind, say=[TextPart(text="x")])
        attributes.input.payloads.extend(await CONVERTER.encode([spec]))

    def over(self, part: str) -> None:
        attributes = self._add(
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED
        ).child_workflow_execution_completed_event_attributes
        attributes.workflow_execution.workflow_id = f"{TASK.workflow_id}/{part}"

    def failed(self, part: str, why: str) -> None:
        attributes = self._add(
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED
        ).child_workflow_execution_failed_event_attributes
        attributes.workflow_execution.workflow_id = f"{TASK.workflow_id}/{part}"
        attributes.failure.message = "Child Workflow execution failed"
        attributes.failure.cause.message = why

    async def prepared(self, part: str, answer: Prepared) -> None:
        request = PrepareStep(
            task=TASK, child=part, catalogue=SHA, step=StepSpec(name="x", kind="agent"), left_seconds=9
        )
        await self.done(PREPARE.name, request, answer)


def steps(told: list[Milestone]) -> list[tuple[object, ...]]:
    return [
        (one.name, one.iteration, one.kind, one.who, one.state, one.child) for one in told if isinstance(one, StepMade)
    ]


async def test_each_child_is_told_when_it_begins_and_when_it_is_over() -> None:
    script = Parent()
    await script.begin("FlowWorkflow")
    await script.start("draft", "agent:research")
    await script.start("check.2.a3", "tool:calculator")
    script.over("draft")
    script.failed("check.2.a3", "it divides by zero")
    told = await milestones(script.events)
    assert steps(told) == [
        ("draft", 1, "agent", "research", "started", "draft"),
        ("check", 2, "skill", "calculator", "started", "check.2.a3"),
        ("draft", 1, "agent", "research", "done", "draft"),
        ("check", 2, "skill", "calculator", "failed", "check.2.a3"),
    ]
    done, failed = [one for one in told if isinstance(one, StepMade)][2:]
    assert (done.ms, done.error) == (200, None)
    assert failed.error == "it divides by zero"


async def test_a_step_without_a_child_says_why() -> None:
    script = Parent()
    await script.begin("FlowWorkflow")
    await script.prepared("detail", Prepared(skipped="its condition is false: input.x"))
    await script.prepared("none.2", Prepared(refused=Failure(type="AGENT_NOT_FOUND", message="no agent")))
    await script.prepared("draft", Prepared(summary="draft", task={}))
    told = [one for one in await milestones(script.events) if isinstance(one, StepMade)]
    assert [(one.name, one.iteration, one.state, one.reason, one.error) for one in told] == [
        ("detail", 1, "skipped", "its condition is false: input.x", None),
        ("none", 2, "failed", "", "no agent"),
    ]


async def test_the_program_of_a_task_is_no_step_and_an_agent_that_it_calls_is_one() -> None:
    script = Parent()
    await script.begin(TASK_WORKFLOW)
    await script.start("program", "agent:x")
    script.over("program")
    call = f"program/{'0a' * 12}.1"
    await script.start(call, "agent:helper")
    script.over(call)
    assert [(name, who, state) for name, _, _, who, state, _ in steps(await milestones(script.events))] == [
        ("helper", "helper", "started"),
        ("helper", "helper", "done"),
    ]


async def test_a_turn_of_a_loop_says_what_it_took() -> None:
    usage = Usage(provider="p", model="m", input_tokens=3, output_tokens=4)
    script = Parent()
    await script.begin(TASK_WORKFLOW)
    await script.done(LLM_TURN.name, TurnRequest(brief=BRIEF, say=[]), LoopTurn(kind="calls", head=SHA, usage=[usage]))
    told = await milestones(script.events)
    assert [(one.step, one.input_tokens) for one in told if isinstance(one, UsageTaken)] == [("turn", 3)]
