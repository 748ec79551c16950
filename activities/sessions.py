"""What a session reads and writes outside of its history: `session.load`, `session.save`, `session.note`."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.alive import beating
from activities.memory import noted
from activities.values import loaded
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Nothing
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.session import (
    SESSION_LOAD,
    SESSION_NOTE,
    SESSION_SAVE,
    SIGNAL_HIBERNATE,
    Loaded,
    LoadRequest,
    Memory,
    Noted,
    NoteRequest,
    SaveRequest,
    SessionRef,
    SessionSettings,
)
from store.sessions import Sessions

TOLD_NAMES = 100
"""Of saved variables: they stand in every request to a model."""

log = structlog.stdlib.get_logger(__name__)


class Remembering:
    """Keeps sessions over hibernation. All of it may be repeated: a row is as the last writer left it, and a link of a
    conversation is named by its content. `default` is the model that is asked where none is named."""

    def __init__(
        self, sessions: Sessions, blobs: BlobStore, client: Client, max_sessions: int, default: ModelSettings
    ) -> None:
        self._sessions, self._blobs, self._client = sessions, blobs, client
        self._max_sessions, self._default = max_sessions, default

    @activity.defn(name=SESSION_LOAD.name)
    async def load(self, request: LoadRequest) -> Loaded:
        """What the session knew when it last hibernated; from now on it is active. Of more active ones than there may
        be, those that were silent for longest are told to hibernate."""
        tenant, session_id = request.session.tenant, request.session.session_id
        structlog.contextvars.bind_contextvars(trace_id=request.session.trace_id)
        async with beating():
            await self._sessions.make(tenant, session_id, request.settings.model_dump(mode="json"))
            row = await self._sessions.get(tenant, session_id)
            await self._sessions.mark(tenant, session_id, "active", seen_at=datetime.now(UTC))
            settings = SessionSettings.model_validate(row.settings) if row.settings else request.settings
            memory = Memory.model_validate(row.memory or {})
            others = [one for one in await self._sessions.surplus(tenant, self._max_sessions) if one != session_id]
            await self._hibernate(request.session, others)
        return Loaded(memory=memory, settings=settings, is_closed=row.state == "closed")

    @activity.defn(name=SESSION_SAVE.name)
    async def save(self, request: SaveRequest) -> Nothing:
        """The row of the session, for lists, and to wake with."""
        memory = request.memory
        async with beating():
            await self._sessions.save(
                request.session.tenant,
                request.session.session_id,
                request.state,
                settings=request.settings.model_dump(mode="json"),
                memory=memory.model_dump(mode="json"),
                turns=memory.turns,
                seen_at=datetime.fromtimestamp(request.seen_at, UTC),
                title=memory.recent[0].said if memory.recent else "",
                user_hash=request.user_hash,
            )
        return Nothing()

    @activity.defn(name=SESSION_NOTE.name)
    async def note(self, request: NoteRequest) -> Noted:
        """The conversation with a turn more, and the names of what its programs saved."""
        async with beating():
            found = await noted(self._blobs, request, self._default)
            variables = await loaded(self._blobs, request.variables)
        return found.model_copy(update={"names": sorted(variables)[:TOLD_NAMES]}) if variables else found

    async def _hibernate(self, session: SessionRef, others: Sequence[str]) -> None:
        for other in others:
            handle = self._client.get_workflow_handle(session.model_copy(update={"session_id": other}).workflow_id)
            try:
                await handle.signal(SIGNAL_HIBERNATE)
            except RPCError as exc:
                if exc.status != RPCStatusCode.NOT_FOUND:
                    raise
                # It was terminated in Temporal: nothing of it runs, and it wakes with what was saved last.
                await self._sessions.mark(session.tenant, other, "idle")
            log.info("session.surplus", session_id=other)
