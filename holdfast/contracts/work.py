"""Tasks of agents: what TaskWorkflow needs to begin, and what its program tells it."""

from holdfast.contracts.agent import Planning, Strategy
from holdfast.contracts.base import Contract, Json, Value
from holdfast.contracts.llm import Brief
from holdfast.contracts.message import Part
from holdfast.contracts.program import Limits, ProgramResult, TaskState, Tuning
from holdfast.contracts.question import Question
from holdfast.contracts.skill import SkillFacts


class TaskSpec(Contract):
    """A task in plain words. `say` is what the person said; `inputs` is what its program sees as `inputs`."""

    brief: Brief
    type: str
    say: list[Part]
    inputs: Value = Value()
    strategy: Strategy = "ptc"
    planning: Planning = "split"
    phrase: bool = False
    output_schema: dict[str, Json] | None = None
    skills: list[SkillFacts] = []
    adapter: str = ""
    limits: Limits = Limits()
    tuning: Tuning = Tuning()

    def pinned(self) -> "TaskSpec":
        """The same with every default written out: a later release's defaults must not reach a running task."""
        return TaskSpec.model_validate(self.model_dump())


class ProgramReport(Contract):
    """Signal `program_report`: how the program of a task stands, sent when its state or what it asks changes.

    `result` comes with a cancelled one alone: a cancelled workflow has no result of its own.
    """

    state: TaskState
    version: int = 1
    questions: list[Question] = []
    result: ProgramResult | None = None


TASK_WORKFLOW = "TaskWorkflow"
SIGNAL_REPORT = "program_report"
PROGRAM = "program"
"""The last part of the id of the workflow of a task's program: `<tenant>/<task id>/program`."""


def program_workflow_id(task_workflow_id: str) -> str:
    return f"{task_workflow_id}/{PROGRAM}"
