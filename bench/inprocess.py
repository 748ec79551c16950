"""holdfast without HTTP: tasks are accepted in the driver's process and waited for as a workflow, as `raw` is."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from api import intake
from api.house import House, opened
from bench.ours import Holdfast
from bench.site import Site
from bench.task import Task
from holdfast import log
from holdfast.config import Settings
from holdfast.contracts.program import ProgramResult
from holdfast.contracts.task import TaskRequest
from holdfast.ids import new_trace_id


@dataclass
class AtOnce(Holdfast):
    """The same task by the same code as the API's, over its database: what HTTP adds is the distance to this row."""

    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    opened: House | None = None

    async def start(self, site: Site) -> float:
        boot_s = await super().start(site)
        log.configure("bench", "WARNING", "json")
        settings = Settings.load(self.house.project, home=self.house.home, temporal_address=site.temporal)
        self.opened = await self.stack.enter_async_context(opened(settings))
        return boot_s

    async def ask(self, task: Task) -> None:
        assert self.opened is not None
        request = TaskRequest(type=f"agent:{self.agent_for(task)}", input=task.prompt)
        row, _ = await intake.accept(self.opened, request, "default", new_trace_id())
        self.ids[task.run] = row.id

    async def resume(self, task: Task) -> str:
        handle: Any = (await self._client()).get_workflow_handle(self.workflow_ids(task)[0], result_type=ProgramResult)
        result: ProgramResult = await handle.result()
        value = result.value
        return str(value.inline if value and value.inline is not None else result.stdout)

    async def _client(self) -> Any:
        assert self.opened is not None
        return await self.opened.temporal.client()

    async def stop(self) -> None:
        await self.stack.aclose()
        await asyncio.sleep(0)
        await super().stop()
