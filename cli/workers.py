"""`workers`: whether those of this host work, and versions of a cluster's workers in a rolling deploy."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from temporalio.client import Client

from cli import screen
from cli.up import leave
from holdfast.config import Settings
from holdfast.errors import HoldfastError, NotFound
from holdfast.temporal import versions as floor
from holdfast.temporal.connect import connect
from store.database import Database
from store.workers import WorkerRow, Workers

_RECENT = timedelta(seconds=30)

Work = Callable[[Client], Awaitable[None]]


def versions(settings: Settings, as_json: bool) -> None:
    """Never returns, like the others here: see `up.leave`."""

    async def work(client: Client) -> None:
        found = await floor.versions(client, settings.deployment)
        if as_json:
            screen.result([asdict(one) for one in found])
        elif found:
            screen.rows([(one.build_id, "current" if one.is_current else "", f"{one.open} open") for one in found])
        else:
            screen.say(f"no version of {settings.deployment!r}: no worker was started with HOLDFAST_BUILD_ID")

    leave(asyncio.run(_done(settings, work)))


def promote(settings: Settings, version: str) -> None:
    async def work(client: Client) -> None:
        await floor.promote(client, settings.deployment, version)
        screen.say(f"new tasks go to {version}; those of before stay where they began")

    leave(asyncio.run(_done(settings, work)))


def drain(settings: Settings, version: str) -> None:
    async def work(client: Client) -> None:
        await floor.drained(client, settings.deployment, version, lambda count: screen.say(f"{count} open"))
        screen.say(f"no task runs on {version} any more: stop its workers")

    leave(asyncio.run(_done(settings, work)))


def check(settings: Settings) -> None:
    """Fail unless Temporal answers, and a worker on this host wrote its row within the last 30 seconds."""

    async def work(_client: Client) -> None:
        host = f"{socket.gethostname()}:"
        seen = [row for row in await _recent(settings) if row.id.startswith(host)]
        if not seen:
            raise NotFound(f"no worker on {host[:-1]!r} was seen within {_RECENT.seconds} s")
        for row in seen:
            screen.ok("worker", f"{row.id}, serves {', '.join(row.queues)}")

    leave(asyncio.run(_done(settings, work)))


async def _recent(settings: Settings) -> Sequence[WorkerRow]:
    database = await Database.open(settings)
    try:
        return await Workers(database).list(datetime.now(UTC) - _RECENT)
    finally:
        await database.close()


async def _done(settings: Settings, work: Work) -> int:
    """The exit code of `work` on a connection."""
    try:
        await work(await connect(settings))
    except HoldfastError as exc:
        screen.fail(exc)
        return screen.exit_code(exc)
    return 0
