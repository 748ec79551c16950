"""Schedules of the project's files, kept at the Temporal server as the files say; those made by hand are left alone.

Each API does it, when it starts and when its files change. All of it may be repeated, and be done by several at once.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from temporalio.client import Client
from temporalio.service import RPCError

from api.meanwhile import meanwhile
from api.temporal import Temporal, answering
from holdfast import schedules
from holdfast.catalogue import Library, Problem
from holdfast.contracts.base import Contract
from holdfast.contracts.schedule import ScheduleSpec
from holdfast.errors import HoldfastError, NoTemporal, UserError
from holdfast.log import get_logger
from holdfast.temporal import schedules as floor

TENANT = "default"
"""Whose the project's own schedules are."""
_CONNECT_SECONDS = 2.0
"""A reload is for the files first: it is not to hang on a server that is away."""
_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 10.0

log = get_logger(__name__)


class Reconciled(Contract):
    """Names of schedules. `errors` are those that could not be made; `note` says why nothing was done."""

    created: list[str] = []
    changed: list[str] = []
    deleted: list[str] = []
    errors: list[Problem] = []
    note: str = ""


class Reconciling:
    """`problems` are those of the last time."""

    def __init__(self, library: Library, temporal: Temporal) -> None:
        self._library, self._temporal = library, temporal
        self._turn = asyncio.Lock()
        self._sha: str | None = None
        self.problems: list[Problem] = []

    def watching(self) -> contextlib.AbstractAsyncContextManager[None]:
        """As long as it lasts, changes of the files are followed."""
        return meanwhile(self._watch())

    async def reconcile(self) -> Reconciled:
        """Now, whatever was done before. A server that is away is told in `note`, and asked again later."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                client = await self._temporal.client()
            async with self._turn:
                return await self._done(client)
        except TimeoutError:
            note = f"the Temporal server gave no answer within {_CONNECT_SECONDS:g} s"
        except (HoldfastError, RPCError) as exc:
            note = str(exc)
        self._sha = None
        return Reconciled(note=f"{note}. It is tried again by itself", errors=self.problems)

    async def _done(self, client: Client) -> Reconciled:
        catalogue, sha, faults = await asyncio.to_thread(self._library.current)
        done = await self._settled(client, list(schedules.declared(catalogue)), {one.file for one in faults})
        self._sha, self.problems = sha, done.errors
        log.info("schedules.reconciled", created=done.created, changed=done.changed, deleted=done.deleted)
        return done

    async def _watch(self) -> None:
        note = ""
        while True:
            _, sha, _ = await asyncio.to_thread(self._library.current)
            if sha != self._sha:
                before, note = note, (await self.reconcile()).note
                if note and note != before:
                    log.warning("schedules.not_reconciled", reason=note)
            await asyncio.sleep(_AGAIN_SECONDS if note else _LOOK_SECONDS)

    async def _settled(self, client: Client, wanted: list[ScheduleSpec], broken: set[str]) -> Reconciled:
        changes: dict[str, list[str]] = {"created": [], "changed": [], "kept": [], "deleted": []}
        errors: list[Problem] = []
        for spec in wanted:
            try:
                async with answering():
                    changes[await floor.settle(client, spec)].append(spec.name)
            except UserError as exc:
                errors.append(Problem(file=spec.managed_by, message=f"{spec.managed_by}: {exc}"))
        for name in _gone(await _every(client), {spec.name for spec in wanted}, broken):
            with contextlib.suppress(UserError):
                async with answering():
                    await floor.delete(client, TENANT, name)
                changes["deleted"].append(name)
        return Reconciled(
            created=changes["created"], changed=changes["changed"], deleted=changes["deleted"], errors=errors
        )


async def _every(client: Client) -> list[floor.Line]:
    async with answering():
        return await floor.every(client, TENANT)
    raise NoTemporal("the Temporal server gave no list of schedules")


def _gone(found: list[floor.Line], wanted: set[str], broken: set[str]) -> Iterator[str]:
    """Those whose file does not say them any more. What a file with an error would say is not known: it stays."""
    for line in found:
        if line.managed_by and line.name not in wanted and line.managed_by not in broken:
            yield line.name
