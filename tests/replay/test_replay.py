"""Saved histories against today's workflow: a change that a running task would not survive fails here."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import NondeterminismError

from holdfast.temporal.connect import converter
from holdfast.temporal.sandbox import PASSED_THROUGH
from tests.replay.changed import ChangedWorkflow
from workflows.ours import OURS
from workflows.program import ProgramWorkflow

FOLDER = Path(__file__).parent
HISTORIES = sorted(path.stem for path in FOLDER.glob("*.json"))


def replayer(program: type = ProgramWorkflow) -> Replayer:
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return Replayer(
        workflows=[program, *(one for one in OURS if one is not ProgramWorkflow)],
        data_converter=converter(),
        # In the SDK's sandbox, which workers leave out for speed: it finds clocks, randomness and I/O.
        unsandboxed_workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
    )


def history(name: str) -> WorkflowHistory:
    return WorkflowHistory.from_json("default/replayed", (FOLDER / f"{name}.json").read_text())


def test_every_way_through_the_workflow_is_recorded() -> None:
    assert {
        "plain",
        "question",
        "repair",
        "gave-up",
        "error",
        "cancelled",
        "timed-out",
        "continued",
        "continued-2",
        "task-direct",
        "task-plan-asks",
        "task-program",
        "task-program-child",
        "task-question",
        "task-cancelled",
        "task-error",
        "skill-alone",
        "hybrid",
        "flow-graph",
        "flow-rounds",
        "flow-rounds-2",
        "flow-broken",
        "loop",
        "loop-2",
        "loop-stopped",
        "loop-cancelled",
        "loop-hybrid",
        "delegate",
        "delegate-approval",
        "called-agent",
        "called-agent-2",
        "approvals",
        "session",
        "session-2",
        "session-turn",
        "backlog",
        "scheduled",
        "scheduled-failed",
        "scheduled-refused",
        "scheduled-cancelled",
        "scheduled-turn",
        "event",
    } <= set(HISTORIES)


@pytest.mark.parametrize("name", HISTORIES)
async def test_saved_history_replays(name: str) -> None:
    result = await replayer().replay_workflow(history(name))
    assert result.replay_failure is None


async def test_a_changed_workflow_fails_the_replay() -> None:
    """Today's workflow, but with one timer more at its start."""
    with pytest.raises(NondeterminismError):
        await replayer(ChangedWorkflow).replay_workflow(history("plain"))
