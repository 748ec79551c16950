"""What the API works with, opened once for the process, and who is asking."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Header, Query
from starlette.requests import HTTPConnection

from api.capacity import Capacity
from api.reconcile import Reconciling
from api.temporal import Temporal
from holdfast.blobs import BlobStore
from holdfast.catalogue import Library
from holdfast.config import Settings
from holdfast.contracts.principal import Tenant
from store.admission import Admission
from store.database import Database
from store.publishing import Publisher
from store.records import Records
from store.workers import Workers


@dataclass(frozen=True)
class House:
    """The rooms below the API, and the way to Temporal."""

    settings: Settings
    records: Records
    workers: Workers
    blobs: BlobStore
    library: Library
    temporal: Temporal
    capacity: Capacity
    admission: Admission
    schedules: Reconciling
    publisher: Publisher
    starting: set[str] = field(default_factory=set)
    """Ids of tasks that a request is starting now."""
    opened_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[House]:
    """A house with its database open and migrated. Temporal need not be there.

    Raises:
        SettingsInvalid, StoreUnavailable: the database cannot be opened.
    """
    database = await Database.open(settings)
    blobs = BlobStore(settings.blobs)
    temporal = Temporal(settings)
    library = Library.of(settings, blobs)
    try:
        records = Records(database)
        capacity = Capacity(records.in_work, settings.max_tasks, settings.max_tenant_tasks)
        admission = Admission(settings, records, library, blobs)
        schedules, workers = Reconciling(library, temporal), Workers(database)
        publisher = Publisher(database, blobs, library, temporal.client, settings.keep_events)
        async with schedules.watching():
            yield House(settings, records, workers, blobs, library, temporal, capacity, admission, schedules, publisher)
    finally:
        await temporal.close()
        await database.close()


def _house(connection: HTTPConnection) -> House:
    return cast(House, connection.app.state.house)


async def _tenant(
    header: Annotated[Tenant | None, Header(alias="X-Tenant-Id")] = None,
    tenant_id: Annotated[Tenant | None, Query(description="whose tasks; the same as X-Tenant-Id")] = None,
) -> str:
    return tenant_id or header or "default"


_PART = "[A-Za-z0-9_.:-]{1,100}"
_Path = Annotated[
    str | None,
    Query(
        pattern=f"^{_PART}(/{_PART}){{0,11}}$",
        description="a task that this one started, by the end of its id: `review.2`, or deeper: `draft/program/…`",
    ),
]


async def _task_id(task_id: UUID, path: _Path = None) -> str:
    return f"{task_id}/{path}" if path else str(task_id)


OurTaskId = Annotated[str, Depends(_task_id)]
"""The id of the task in the path, or of one that it started: `?path=`."""
OurHouse = Annotated[House, Depends(_house)]
OurTenant = Annotated[str, Depends(_tenant)]
"""The one key there is acts for every tenant, so the tenant is what the caller says; a task of another is not found."""
