"""What workflows say of themselves while they run, and, if a worker is there, when they are over."""

import contextlib
from typing import Any

from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from api.house import House
from api.temporal import answering
from api.waiting import waiting
from holdfast.contracts.program import QUERY_PROGRESS, ProgramResult, Progress
from holdfast.contracts.work import program_workflow_id
from holdfast.errors import NoTemporal
from holdfast.ids import workflow_id
from store.records import TaskRow

QUERY_SECONDS = 2.0


class NotBegun(NoTemporal):
    """There is no such workflow: a task whose own workflow did not answer may have no program."""


Handle = WorkflowHandle[Any, ProgramResult]


async def handle_of(house: House, row: TaskRow) -> Handle:
    """
    Raises:
        NoTemporal: the server cannot be reached.
    """
    return await _handle(house, workflow_id(row.tenant, row.id))


async def stopped(handle: Handle) -> bool:
    """Whether there was a workflow that runs, to be told to stop."""
    try:
        async with answering():
            await handle.cancel()
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def program_of(house: House, row: TaskRow) -> Handle:
    """The workflow that runs the task's program and keeps its journal: of an agent's task, a child of the task's.

    Raises:
        NoTemporal: the server cannot be reached.
    """
    own = workflow_id(row.tenant, row.id)
    return await _handle(house, program_workflow_id(own) if is_agents(row) else own)


def is_agents(row: TaskRow) -> bool:
    return row.type.startswith("agent:")


def is_flow(row: TaskRow) -> bool:
    return row.type.startswith("workflow:")


async def _handle(house: House, name: str) -> Handle:
    client = await house.temporal.client()
    return client.get_workflow_handle(name, result_type=ProgramResult)


async def query(handle: Handle, name: str, gives: type[Any]) -> Any:
    """
    Raises:
        NotBegun: there is no such workflow.
        NoTemporal: neither the server nor a worker answered in time.
    """
    try:
        async with answering(QUERY_SECONDS):
            return await handle.query(name, result_type=gives)
    except (WorkflowQueryFailedError, RPCError) as exc:
        is_there = not isinstance(exc, RPCError) or exc.status != RPCStatusCode.NOT_FOUND
        raise (NoTemporal if is_there else NotBegun)(
            f"no worker can tell how this task stands ({str(exc)[:200]}); is one running?"
        ) from exc


async def whole(house: House, own: Progress) -> Progress:
    """An agent's task with its program: the state and the questions are the task's, the calls are the program's.

    Raises:
        NoTemporal: neither the server nor a worker answered in time.
    """
    if own.program_id is None:
        return own
    program: Progress = await query(await _handle(house, own.program_id), QUERY_PROGRESS, Progress)
    shared = {
        "state": own.state,
        "phase": (program.phase or own.phase) if own.phase == "running" else own.phase,
        "program_id": own.program_id,
        "questions": own.questions,
        "spent": own.spent.joined(program.spent),
        "llm": [*own.llm, *program.llm],
        "budget": own.budget,
        "steps": [*own.steps, *program.steps],
        "flow": own.flow,
    }
    return program.model_copy(update=shared)


async def program_waits(house: House, own: Progress) -> list[str]:
    """What the program of an agent's task waits for because it failed; empty if nobody can say."""
    if own.program_id is not None:
        with contextlib.suppress(NoTemporal, RPCError):
            handle = await _handle(house, own.program_id)
            async with answering(QUERY_SECONDS):
                return waiting(await handle.describe())
    return []
