"""Tasks of agents, started as the API starts them, over a stub model."""

from typing import Any

from temporalio.client import Client, WorkflowHandle

from holdfast.blobs import BlobStore
from holdfast.catalogue import load
from holdfast.contracts.base import Value
from holdfast.contracts.llm import Brief
from holdfast.contracts.message import TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import QUEUE_AGENTS, Limits, ProgramResult, Tuning
from holdfast.contracts.work import TASK_WORKFLOW, TaskSpec
from holdfast.ids import new_task_id, new_trace_id
from tests.support.stack import ROOT, Stack
from tests.support.stub_llm import StubLlm
from workflows import policies

Handle = WorkflowHandle[Any, ProgramResult]


def models(stub: StubLlm, provider: str = "openai-compatible", **fields: Any) -> list[ModelSettings]:
    """The stub as a list of one model."""
    base = f"{stub.url}/v1" if provider == "openai-compatible" else stub.url
    return [ModelSettings(**{"provider": provider, "model": "stub", "api_base": base, **fields})]


def task_spec(stack: Stack, text: str, asked: list[ModelSettings], **fields: Any) -> TaskSpec:
    """A task in plain words; `limits` and `tuning` may be dicts, `skills` names (default: all of the project)."""
    blobs = BlobStore(stack.settings.blobs)
    catalogue = load(stack.project, ROOT / "skills" / "builtin").catalogue
    granted = catalogue.granted(fields.pop("skills", None))
    brief = Brief(
        task=TaskRef(task_id=new_task_id(), trace_id=new_trace_id()),
        catalogue=catalogue.save(blobs),
        agent="assistant",
        models=asked,
        skills=[facts.name for facts in granted],
        max_retries=fields.pop("max_retries", 2),
    )
    return TaskSpec(
        brief=brief,
        type="agent:assistant",
        say=[TextPart(text=text)],
        inputs=Value(inline=text),
        skills=granted,
        limits=Limits(**fields.pop("limits", {})),
        tuning=Tuning(**fields.pop("tuning", {})),
        **fields,
    ).pinned()


async def begin(client: Client, spec: TaskSpec) -> Handle:
    return await client.start_workflow(
        TASK_WORKFLOW,
        spec,
        id=spec.brief.task.workflow_id,
        task_queue=QUEUE_AGENTS,
        task_timeout=policies.TASK_TIMEOUT,
        result_type=ProgramResult,
    )
