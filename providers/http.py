"""What the SDKs over httpx2 have in common: time limits, our header, and what a lost connection means."""

import httpx2

from holdfast.contracts.model import TASK_HEADER
from holdfast.errors import OperatorError
from providers.base import ModelRequest
from providers.faults import Asked

CONNECT_S = 5.0


def limits(request: ModelRequest) -> httpx2.Timeout:
    """`timeout_seconds` bounds each silence: before the reply, and between the pieces of a stream."""
    wanted = request.settings.timeout_seconds
    return httpx2.Timeout(wanted, connect=min(CONNECT_S, wanted))


def headers(request: ModelRequest) -> dict[str, str]:
    return {TASK_HEADER: request.trace_id} if request.trace_id else {}


def lost(asked: Asked, cause: BaseException, timeout_s: float, *, within_reply: bool = False) -> OperatorError:
    """The error for a connection that gave way; a server that accepts it and stays silent has failed."""
    if isinstance(cause, httpx2.TimeoutException) and not isinstance(cause, httpx2.ConnectTimeout):
        return asked.silent(timeout_s)
    why = str(cause) or type(cause).__name__
    return asked.failed(f"the connection was lost within its reply: {why}") if within_reply else asked.unreachable(why)
