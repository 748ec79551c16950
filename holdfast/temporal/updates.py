"""What the server does to updates by itself."""

from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError


def is_unprocessed(exc: WorkflowUpdateFailedError) -> bool:
    """Whether the server, not the workflow, gave it up: a worker that lost its cache answered without looking at it.

    The same update, with the same id, may be sent again.
    """
    return isinstance(exc.cause, ApplicationError) and exc.cause.type == "UnprocessedUpdate"
