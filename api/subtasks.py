"""The tasks that a task started, as people see them: its steps in their order, also those that have not begun."""

from collections.abc import Sequence

from api.view import Seen
from holdfast.contracts.flow import StepRun


def steps(seen: Seen) -> Sequence[StepRun]:
    """How the steps of a task stand."""
    return seen.progress.steps if seen.progress else []
