"""The async client: the sync one with `await`."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx2

from holdfast.client import asks, backlogasks, stream, wire
from holdfast.client.asks import AgentOptions, Ask, Limits, MessageOptions, Row, Rows
from holdfast.client.backlogasks import BudgetOf
from holdfast.client.stream import Event
from holdfast.client.synchronous import LOOK_S, waited_for
from holdfast.contracts.backlog import Item, ItemState, Next, WorkView
from holdfast.contracts.base import Json
from holdfast.contracts.budget import BudgetState
from holdfast.contracts.chat import MessageTaken, Said, SessionLine, SessionShown
from holdfast.contracts.file import File, Uploaded
from holdfast.contracts.journal import JournalExport
from holdfast.contracts.program import Version
from holdfast.contracts.question import Question
from holdfast.contracts.task import Step, Task, TaskRequest
from holdfast.errors import HoldfastError, TooManyTasks

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio; an async context manager. Its promises are those of `Client`."""

    on_busy: wire.Busy | None = None
    """Told of each wait, and its seconds, for a holdfast that has too many tasks in work."""

    def __init__(self, url: str | None = None, api_key: str | None = None, busy_s: float = wire.BUSY_S) -> None:
        self.busy_s = busy_s
        self._door = wire.Door.found(url, api_key)
        self._http = httpx2.AsyncClient(**self._door.options())

    @property
    def url(self) -> str:
        return self._door.url

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        await self.close()

    async def submit(self, text: str, **options: Unpack[AgentOptions]) -> Task:
        """Ask for a task in plain words; it is on its way when this returns."""
        return await self.send(asks.of_agent(text, options))

    async def run(self, text: str, *, wait: bool = True, **options: Unpack[AgentOptions]) -> Task:
        """Ask for a task in plain words, and `wait` for its end."""
        task = await self.submit(text, **options)
        return await self.wait(task.id) if wait else task

    async def send(self, request: TaskRequest) -> Task:
        """Ask for a task of any type."""
        return await self.ask(asks.send(request))

    async def wait(self, task_id: str, seconds: float | None = None) -> Task:
        """The task once it is over, or waits for an answer (state WAITING: see its `questions`), or after `seconds`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        task = await self.task(task_id)
        while not waited_for(task) and (deadline is None or time.monotonic() < deadline):
            left = LOOK_S if deadline is None else max(0.05, min(LOOK_S, deadline - time.monotonic()))
            task = await self.task(task_id, left)
        return task

    async def task(self, task_id: str, wait_s: float = 0) -> Task:
        """The task now, or as soon as it is over or `wait_s` (at most 60) have passed."""
        return await self.ask(asks.task(task_id, wait_s))

    async def tasks(self, limit: int = 50) -> AsyncIterator[Task]:
        """Newest first, page after page, until `limit` are given."""
        path: str | None = ""
        while path is not None and limit > 0:
            found, path = await self.ask(asks.tasks(limit, path))
            for task in found[:limit]:
                yield task
            limit -= len(found)

    async def steps(self, task_id: str) -> list[Step]:
        return await self.ask(asks.steps(task_id))

    async def program(self, task_id: str) -> Version:
        """The program that the task runs, in its newest version."""
        return await self.ask(asks.program(task_id))

    async def journal(self, task_id: str) -> JournalExport:
        return await self.ask(asks.journal(task_id))

    async def result(self, task_id: str, wait_s: float = 0) -> Json:
        """What a task gave; `Conflict` while it is not over."""
        return await self.ask(asks.result(task_id, wait_s))

    async def questions(self, task_id: str) -> list[Question]:
        return await self.ask(asks.questions(task_id))

    async def answer(self, task_id: str, question_id: str, value: Json) -> Question:
        """Answer an open question: one of its options if it has any, else any JSON."""
        return await self.ask(asks.answer(task_id, question_id, value))

    async def reject(self, task_id: str, question_id: str) -> Question:
        """Close an open question without an answer: whoever asked hears that there is none."""
        return await self.ask(asks.reject(task_id, question_id))

    async def budget(self, task_id: str) -> BudgetState:
        """How the budget of a task and all that it starts stands."""
        return await self.ask(asks.budget(task_id))

    async def top_up(self, task_id: str, **add: Unpack[Limits]) -> BudgetState:
        """Add to the budget of a task; what waits for that goes on."""
        return await self.ask(asks.top_up(task_id, asks.added(add)))

    async def cancel(self, task_id: str) -> Task:
        return await self.ask(asks.cancel(task_id))

    async def events(self, task_id: str, after: str = "") -> AsyncIterator[Event]:
        """What happens to a task, as it happens, up to its `done`. `after` is the id of an event: go on behind it.

        A connection that breaks is made again, for two minutes without a word, and nothing but deltas is lost.
        """
        place = stream.Place(task_id, after)
        while True:
            try:
                async with contextlib.aclosing(self._connected(place)) as events:
                    async for event in events:
                        yield event
                        if event.name == "done":
                            return
                error: HoldfastError = place.ended(self._door)
            except HoldfastError as exc:
                error = exc
            await asyncio.sleep(place.broke(error))

    async def _connected(self, place: stream.Place) -> AsyncGenerator[Event]:
        """The events of one connection."""
        try:
            async with self._http.stream(**place.options) as response:
                if not response.is_success:
                    await response.aread()
                    wire.body(response)
                place.opened()
                async for found in stream.source(response):
                    yield place.heard(found)
        except httpx2.HTTPError as exc:
            raise place.lost(self._door, exc) from None

    async def say(self, session_id: str, text: str, **options: Unpack[MessageOptions]) -> MessageTaken:
        """Say something in a conversation, which begins with it if it is new; its `task` is the turn that answers."""
        return await self.ask(asks.say(session_id, text, options))

    async def session(self, session_id: str) -> SessionShown:
        """How a conversation stands: what was said last, what runs, what it asks."""
        return await self.ask(asks.session(session_id))

    async def sessions(self, limit: int = 50) -> AsyncIterator[SessionLine]:
        """Newest first, page after page, until `limit` are given."""
        path: str | None = ""
        while path is not None and limit > 0:
            found, path = await self.ask(asks.sessions(limit, path))
            for one in found[:limit]:
                yield one
            limit -= len(found)

    async def messages(self, session_id: str, limit: int = 50) -> AsyncIterator[Said]:
        """The turns of a conversation, whole, newest first, until `limit` are given."""
        path: str | None = ""
        while path is not None and limit > 0:
            found, path = await self.ask(asks.messages(session_id, limit, path))
            for one in found[:limit]:
                yield one
            limit -= len(found)

    async def close_session(self, session_id: str) -> SessionLine:
        """End a conversation for good: it takes no more messages."""
        return await self.ask(asks.close_session(session_id))

    async def backlog(self, session_id: str, state: ItemState | None = None) -> list[Item]:
        """Follow-up work of a conversation: first what is to be done, in the order of adding, then what is over."""
        return await self.ask(backlogasks.items(session_id, state))

    async def add_to_backlog(self, session_id: str, text: str, key: str | None = None) -> Item:
        """Put follow-up work at the end. With a `key`, it is added once, however often it is sent."""
        return await self.ask(backlogasks.add(session_id, text, key))

    async def take_from_backlog(self, session_id: str, key: str | None = None) -> Next:
        """Take the oldest open item, so that nobody else does. With the same `key` it is the same item."""
        return await self.ask(backlogasks.take(session_id, key))

    async def finish_backlog_item(self, session_id: str, item_id: str, note: str = "") -> Item:
        """Mark an item as done. The first word on it holds."""
        return await self.ask(backlogasks.finish(session_id, item_id, note))

    async def fail_backlog_item(self, session_id: str, item_id: str, note: str = "") -> Item:
        """Mark an item as failed. The first word on it holds."""
        return await self.ask(backlogasks.fail(session_id, item_id, note))

    async def work_backlog(
        self, session_id: str, max_items: int | None = None, budget: BudgetOf | None = None
    ) -> WorkView:
        """Begin to work through open items, each a turn: at most `max_items` (10), within a `budget` of all."""
        return await self.ask(backlogasks.work(session_id, max_items, budget))

    async def backlog_work(self, session_id: str) -> WorkView:
        """The latest order to work: what it did, what that took, and why it `ended` (empty while it works)."""
        return await self.ask(backlogasks.look(session_id))

    async def stop_backlog_work(self, session_id: str) -> WorkView:
        """Work no further item; the one in work is finished."""
        return await self.ask(backlogasks.stop(session_id))

    async def upload(self, path: Path | str, name: str | None = None) -> Uploaded:
        """Send a file, which a task's `files` may name. `name`: what it is called in its program's folder."""
        return await self.ask(asks.upload(Path(path), name))

    async def files(self, task_id: str) -> list[File]:
        """What the task's program left."""
        return await self.ask(asks.files(task_id))

    async def download(self, task_id: str, name: str) -> bytes:
        """A file that the task's program left, as `files` names it."""
        return await self.ask(asks.download(task_id, name))

    async def agents(self) -> Rows:
        return await self.ask(asks.agents())

    async def agent(self, name: str) -> Row:
        return await self.ask(asks.row(f"/agents/{name}"))

    async def flows(self) -> Rows:
        return await self.ask(asks.flows())

    async def flow(self, name: str) -> Row:
        return await self.ask(asks.row(f"/workflows/{name}"))

    async def skills(self, tag: str | None = None) -> Rows:
        return await self.ask(asks.rows("/skills", tag=tag))

    async def skill(self, name: str) -> Row:
        return await self.ask(asks.row(f"/skills/{name}"))

    async def health(self) -> Row:
        return await self.ask(asks.health())

    async def ask(self, what: Ask[T]) -> T:
        """Send it, again if its connection broke and that is safe, or if the API has no room now."""
        tried, patience = 0, wire.Patience(self.busy_s, self.on_busy)
        while True:
            try:
                return what.read(await self._http.request(**what.async_options))
            except TooManyTasks as exc:
                pause = patience.pause(exc)
                if pause is None:
                    raise
            except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
                tried += 1
                pause = wire.pause(exc, tried, what.is_safe)
                if pause is None:
                    raise self._door.lost(exc, str(what)) from None
            await asyncio.sleep(pause)
