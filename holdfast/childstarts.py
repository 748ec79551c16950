"""From a step to the child that does it: the same checks as for a task that a person sends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.blobs import BlobStore
from holdfast.contracts.base import Json
from holdfast.contracts.flow import StepSpec
from holdfast.contracts.message import Part, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.task import TaskRequest
from holdfast.contracts.work import TaskSpec
from holdfast.said import whole
from holdfast.snapshot import Catalogue
from holdfast.starts import Start, Wanted, start

_TYPES: Mapping[str, str] = {"agent": "agent:", "skill": "skill:", "flow": "workflow:", "program": "program"}


@dataclass(frozen=True)
class Child:
    """A step that begins: what it is given, and what it has of its parent. `models` are asked instead of its own.
    `above`: see `TaskSpec`."""

    step: StepSpec
    given: Json
    task: TaskRef
    models: list[ModelSettings]
    left_seconds: float
    depth: int
    is_budgeted: bool
    max_file_bytes: int
    above: Sequence[str] = ()


def start_child(child: Child, catalogue: Catalogue, sha: str, blobs: BlobStore) -> Start:
    """
    Raises:
        UserError: it cannot be started as it is.
    """
    step = child.step
    fields: dict[str, Any] = {"type": f"{_TYPES[step.kind]}{step.who}", "input": child.given}
    if step.kind == "program":
        fields["program"] = step.program
    if step.strategy is not None:
        fields["strategy"] = step.strategy
    request = TaskRequest(**fields)
    if child.models:
        request = request.model_copy(update={"model": child.models[0]})
    wanted = Wanted(request, child.given, child.task, catalogue, sha, blobs, "", child.max_file_bytes, child.above)
    begins = start(wanted)
    return Start(begins.workflow, _of_parent(begins, child), begins.type, begins.name, begins.summary, begins.source)


def _of_parent(begins: Start, child: Child) -> Any:
    spec = begins.spec
    seconds = min(spec.limits.task_seconds, child.left_seconds)
    shared = {
        "limits": spec.limits.model_copy(update={"task_seconds": max(0.001, seconds)}),
        "depth": child.depth,
        "is_budgeted": child.is_budgeted,
    }
    if isinstance(spec, TaskSpec):
        # What a step is given may be long: nothing of it is cut, as would be beside a person's words.
        say: list[Part] = [TextPart(text=whole(child.given))]
        shared["say"] = say
    return spec.model_copy(update=shared)
