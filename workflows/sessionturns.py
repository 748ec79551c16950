"""A turn of a conversation: the task that is begun for it, and what people see of it."""

from collections.abc import Iterable

from holdfast.contracts.base import Value
from holdfast.contracts.begin import Begin
from holdfast.contracts.llm import Brief
from holdfast.contracts.message import BlobPart, Part, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.program import ProgramSpec
from holdfast.contracts.session import MAX_SHOWN, Memory, Message, Turn
from holdfast.contracts.work import TaskSpec


def ready(begin: Begin, memory: Memory, reports_to: str) -> Begin:
    """The task with what the session knows: what was said before it, and what programs saved."""
    variables = memory.variables or Value(inline={})
    match begin.spec:
        case TaskSpec() as spec:
            brief = spec.brief.model_copy(update={"before": memory.head, "variables": memory.names})
            change = {"brief": brief, "variables": variables, "reports_to": reports_to}
            return begin.model_copy(update={"agent": spec.model_copy(update=change)})
        case ProgramSpec() as spec:
            change = {"variables": variables, "reports_to": reports_to}
            return begin.model_copy(update={"program": spec.model_copy(update=change)})
        case flow:
            return begin.model_copy(update={"flow": flow.model_copy(update={"reports_to": reports_to})})


def brief_of(begin: Begin, models: list[ModelSettings]) -> Brief:
    """How a model is asked on behalf of a turn's session."""
    if isinstance(begin.spec, TaskSpec):
        return begin.spec.brief
    return Brief(task=begin.task, catalogue=begin.catalogue, models=begin.spec.models or models)


def turn_of(message: Message, number: int) -> Turn:
    """A turn that waits."""
    said = cut(spoken(message.say) or message.begin.summary)
    return Turn(
        number=number, task_id=message.begin.task.task_id, said=said, event=message.event, queued_at=message.sent_at
    )


def spoken(say: Iterable[Part]) -> str:
    """What was said, as text; a file by its name."""
    return "\n".join(filter(None, map(_named, say)))


def cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _named(part: Part) -> str:
    match part:
        case TextPart():
            return part.text
        case BlobPart():
            return f"[{part.name or part.media_type}]"
    return ""
