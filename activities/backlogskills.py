"""The engine skills `queue-add`, `queue-next`, `queue-done` and `queue-fail`: the backlog of the session whose turn
calls them."""

from typing import Literal

from activities.engine import Engine
from holdfast.contracts.base import Json
from holdfast.contracts.skill import SkillCall
from holdfast.errors import NotFound, SkillRefused, UserError
from store.backlog import Backlog
from store.records import Records

ID_CHARACTERS = 16
"""Of the hex digits of a call's key: short enough to be written down by a model."""


class BacklogSkills:
    """Each call may be made again: it adds, takes or marks once."""

    def __init__(self, records: Records, backlog: Backlog) -> None:
        self._records, self._backlog = records, backlog

    def engines(self) -> dict[str, Engine]:
        """By the names of the skills."""
        return {"queue-add": self.add, "queue-next": self.next, "queue-done": self.done, "queue-fail": self.fail}

    async def add(self, call: SkillCall, arguments: dict[str, Json]) -> Json:
        """Put an item at the end."""
        tenant, session_id = await self._session(call)
        try:
            row = await self._backlog.add(tenant, session_id, call.key[:ID_CHARACTERS], arguments["text"])
        except UserError as exc:
            raise SkillRefused(str(exc)) from exc
        return {"id": row.id, "open": await self._backlog.count(tenant, session_id, "open")}

    async def next(self, call: SkillCall, arguments: dict[str, Json]) -> Json:
        """Take the oldest open item; null if none is."""
        tenant, session_id = await self._session(call)
        row = await self._backlog.take(tenant, session_id, f"{call.task.task_id}:{call.call_id}")
        item = None if row is None else {"id": row.id, "text": row.text}
        return {"item": item, "open": await self._backlog.count(tenant, session_id, "open")}

    async def done(self, call: SkillCall, arguments: dict[str, Json]) -> Json:
        return await self._close(call, arguments, "done")

    async def fail(self, call: SkillCall, arguments: dict[str, Json]) -> Json:
        return await self._close(call, arguments, "failed")

    async def _close(self, call: SkillCall, arguments: dict[str, Json], state: Literal["done", "failed"]) -> Json:
        tenant, session_id = await self._session(call)
        try:
            row = await self._backlog.close(tenant, session_id, arguments["id"], state, arguments["note"])
        except UserError as exc:
            raise SkillRefused(str(exc)) from exc
        return {"id": row.id, "state": row.state, "open": await self._backlog.count(tenant, session_id, "open")}

    async def _session(self, call: SkillCall) -> tuple[str, str]:
        """The tenant and the session of the task that a person asked for, at the root of the one that calls.

        Raises:
            SkillRefused: it is in none.
        """
        tenant, root = call.task.principal.tenant, call.task.task_id.partition("/")[0]
        try:
            session_id = (await self._records.get(tenant, root)).session_id
        except NotFound:
            session_id = None
        if session_id is None:
            raise SkillRefused(
                f"{call.skill} works on the backlog of a conversation, and task {root!r} is in none; "
                "it is for tasks with a `session_id`"
            )
        return tenant, session_id
