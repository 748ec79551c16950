"""The keys of a flow's file: what each may hold. The model of the file, so that its JSON Schema is made from it."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from holdfast.contracts.base import Json
from holdfast.contracts.flow import MAX_STEPS, Coordination
from holdfast.contracts.question import OnTimeout
from holdfast.filekeys import Keys, Name, Pattern, Shape, Word, YesNo
from holdfast.schedulekeys import ScheduleKeys

Operator = Literal["==", "!=", ">", ">=", "<", "<="]


class AskKeys(Keys):
    """A question to people."""

    text: Word
    options: list[str] = []
    default: Json = None
    deadline_seconds: float | None = Field(default=None, gt=0)
    on_timeout: OnTimeout = "fail"
    form: dict[str, Json] | None = Field(default=None, description="JSON Schema of the answer")


class StepRetryKeys(Keys):
    """How often a step that failed begins again."""

    max_retries: int = Field(default=0, ge=0, le=100)
    delay_seconds: float = Field(default=1.0, ge=0, le=86400)
    backoff: float = Field(default=2.0, ge=1, le=100)


Ask = Annotated[
    Annotated[Word, Tag("<text>")] | Annotated[AskKeys, Tag("<mapping>")],
    Discriminator(lambda value: "<mapping>" if isinstance(value, dict) else "<text>"),
]


class StepKeys(Keys):
    """One step: exactly one of agent, skill, program, program_file, flow, ask says what it does."""

    name: Name | None = Field(default=None, description="default: that of its agent, skill or flow")
    agent: Word | None = None
    skill: Word | None = None
    program: str | None = Field(default=None, min_length=1, max_length=256 * 1024, description="its text")
    program_file: Word | None = Field(default=None, description="a Python file, relative to this one")
    flow: Word | None = None
    ask: Ask | None = None
    input: Json = Field(default=None, description="JSON with ${…}; not given: what came before is passed on")
    depends_on: list[Word] = []
    condition: str = Field(default="", description="CEL; false: the step is skipped")
    retry: StepRetryKeys = StepRetryKeys()
    timeout_seconds: float | None = Field(default=None, gt=0)
    on_failure: Word = Field(default="fail", description="fail, continue, or compensate:<step>")


class FieldCheck(Keys):
    """Converged when a field of the last step's output compares so with a value."""

    field: Word
    op: Operator = "=="
    value: Json


class TriggerKeys(Keys):
    """What starts the flow by itself."""

    events: list[Pattern] = Field(default=[], description="topics: `slack.command.*`, `task.#`")
    schedule: ScheduleKeys | None = Field(default=None, description="asks it by the clock")


Check = Annotated[
    Annotated[Word, Tag("<name>")] | Annotated[FieldCheck, Tag("<mapping>")],
    Discriminator(lambda value: "<mapping>" if isinstance(value, dict) else "<name>"),
]


class FlowKeys(Keys):
    """A flow's file, `flows/<name>.yaml`. See docs/flows.md."""

    name: Name
    description: str = ""
    enabled: YesNo = True
    coordination_type: Coordination = "sequential"
    max_iterations: int = Field(default=3, ge=1, le=1000, description="of an iterative_refinement")
    convergence_check: Check | None = Field(
        default=None, description="assessment_approved (default), quality_threshold, or {field, op, value}"
    )
    quality_threshold: float | None = Field(default=None, description="of that check; 0.8")
    convergence: Word | None = Field(default=None, description="CEL, instead of convergence_check")
    input_schema: dict[str, Json] | None = None
    steps: list[StepKeys] = Field(min_length=1, max_length=MAX_STEPS)
    on_failure: Word = Field(default="fail", description="fail, continue, or compensate:<step>")
    max_parallel: int = Field(default=20, ge=1, le=200)
    timeout_seconds: float | None = Field(default=None, gt=0, description="of the whole flow, waits included")
    triggers: TriggerKeys = TriggerKeys()
    tags: list[Word] = []


SHAPE = Shape(
    FlowKeys,
    {
        "steps": StepKeys,
        "steps.ask": AskKeys,
        "steps.retry": StepRetryKeys,
        "convergence_check": FieldCheck,
        "triggers": TriggerKeys,
        "triggers.schedule": ScheduleKeys,
    },
    {
        "": {"coordination": "coordination_type"},
        "steps": {"agent_type": "agent", "tool": "skill", "workflow": "flow"},
        "steps.ask": {"question": "text"},
    },
)

WORK = ("agent", "skill", "program", "program_file", "flow", "ask")
"""The keys of a step of which there is exactly one."""


def schema() -> dict[str, Any]:
    """The JSON Schema of a flow's file, other names of keys included: for editors."""
    return SHAPE.schema("FlowFile")
