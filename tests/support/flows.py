"""Flows, started as the API starts them, over the skills of a project."""

from typing import Any

from temporalio.client import Client, WorkflowHandle

from holdfast.blobs import BlobStore
from holdfast.catalogue import load
from holdfast.contracts.base import Json, Value
from holdfast.contracts.flow import FLOW_WORKFLOW, FlowSpec, StepSpec
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import QUEUE_AGENTS, Limits, ProgramResult, Tuning
from holdfast.contracts.work import FlowTask
from holdfast.ids import new_task_id, new_trace_id
from tests.support.stack import ROOT, Stack
from workflows import policies

Handle = WorkflowHandle[Any, ProgramResult]


def echo(name: str, i: Json, ms: int = 0, **fields: Any) -> StepSpec:
    """A step that notes when it begins and ends; its output's `i` is what it was given."""
    return StepSpec(name=name, kind="skill", who="echo", input={"i": i, "ms": ms}, **fields)


def program(name: str, source: str, **fields: Any) -> StepSpec:
    return StepSpec(name=name, kind="program", program=source, **fields)


def flow(*steps: StepSpec, **fields: Any) -> FlowSpec:
    """A graph, unless `coordination` says otherwise."""
    return FlowSpec.model_validate({"name": "tested", "coordination": "dag", **fields, "steps": list(steps)})


def flow_task(stack: Stack, what: FlowSpec, given: Json = None, **fields: Any) -> FlowTask:
    """`limits` and `tuning` may be dicts."""
    sha = load(stack.project, ROOT / "skills" / "builtin").catalogue.save(BlobStore(stack.settings.blobs))
    return FlowTask(
        task=TaskRef(task_id=new_task_id(), trace_id=new_trace_id()),
        type=f"workflow:{what.name}",
        flow=what,
        input=Value(inline=given),
        catalogue=sha,
        limits=Limits(**fields.pop("limits", {})),
        tuning=Tuning(**fields.pop("tuning", {})),
        **fields,
    ).pinned()


async def begin(client: Client, spec: FlowTask) -> Handle:
    return await client.start_workflow(
        FLOW_WORKFLOW,
        spec,
        id=spec.task.workflow_id,
        task_queue=QUEUE_AGENTS,
        task_timeout=policies.TASK_TIMEOUT,
        result_type=ProgramResult,
    )


def noted(stack: Stack, handle: Handle, what: str) -> list[str]:
    """The steps whose skills began, or ended, in that order: the last part of the task that each noted."""
    task = handle.id.partition("/")[2]
    return [line[1].rpartition("/")[2] for line in stack.effects() if line[0] == what and line[1].startswith(task)]
