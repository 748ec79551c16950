"""The API's way to Temporal: opened when first needed, and given up on soon, so that the API itself is never stuck."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from temporalio.client import Client, RPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from holdfast.config import Settings
from holdfast.errors import Conflict, HoldfastError, NoTemporal, NotFound, UserError
from holdfast.temporal.attributes import ensure
from holdfast.temporal.connect import connect

_ANSWER_SECONDS = 5.0
_DOWN = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
)
_BY_CODE: Mapping[str | None, type[HoldfastError]] = {each.code: each for each in (NotFound, Conflict, UserError)}


class Temporal:
    """One client for the process. While the server is away, each use tries anew; those at once try together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening: asyncio.Task[Client] | None = None

    async def client(self) -> Client:
        """
        Raises:
            NoTemporal: the server does not answer. Nothing was sent to it.
        """
        if self._opening is None or (self._opening.done() and _failed(self._opening)):
            self._opening = asyncio.create_task(_opened(self._settings))
        return await asyncio.shield(self._opening)

    async def check(self) -> None:
        """
        Raises:
            NoTemporal: the server does not answer now.
        """
        client = await self.client()
        async with answering(2.0):
            if not await client.service_client.check_health():
                raise NoTemporal("the Temporal server says that it is not serving")

    async def close(self) -> None:
        if self._opening and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait([self._opening])


async def _opened(settings: Settings) -> Client:
    client = await connect(settings)
    async with answering():
        await ensure(client)
    return client


def _failed(opening: asyncio.Task[Client]) -> bool:
    return opening.cancelled() or opening.exception() is not None


@asynccontextmanager
async def answering(seconds: float = _ANSWER_SECONDS) -> AsyncIterator[None]:
    """A talk with Temporal that ends in time. Whether the server did what it was asked is unknown if it raises.

    Raises:
        NoTemporal: no answer within `seconds`, or the connection was lost.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, RPCTimeoutOrCancelledError):
        raise NoTemporal(f"the Temporal server gave no answer within {seconds:g} s; try again") from None
    except RPCError as exc:
        if exc.status not in _DOWN:
            raise
        raise NoTemporal(f"the Temporal server cannot be reached now ({exc.message[:200]}); try again") from exc


def refusal(cause: BaseException | None) -> HoldfastError | None:
    """The error that a workflow's refusal of an update stands for, by the code that it carries as its type."""
    if isinstance(cause, ApplicationError) and (kind := _BY_CODE.get(cause.type)):
        return kind(cause.message)
    return None
