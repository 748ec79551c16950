"""The sync client."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx2

from holdfast.client import asks, backlogasks, stream, wire
from holdfast.client.asks import AgentOptions, Ask, Limits, MessageOptions, Row, Rows
from holdfast.client.backlogasks import BudgetOf
from holdfast.client.stream import Event
from holdfast.contracts.backlog import Item, ItemState, Next, WorkView
from holdfast.contracts.base import Json
from holdfast.contracts.budget import BudgetState
from holdfast.contracts.chat import MessageTaken, Said, SessionLine, SessionShown
from holdfast.contracts.file import File, Uploaded
from holdfast.contracts.journal import JournalExport
from holdfast.contracts.program import FINAL, Version
from holdfast.contracts.question import Question
from holdfast.contracts.task import Step, Task, TaskRequest
from holdfast.errors import HoldfastError, TooManyTasks

T = TypeVar("T")

LOOK_S = 2.0
"""So long the API holds a look at a task that somebody waits for: a question is seen no later."""


class Client:
    """A connection to one holdfast; a context manager, and safe to share between threads.

    Without `url` and `api_key` it goes where the settings of the current folder lead: HOLDFAST_URL and API_KEY in the
    environment or `.env`, `holdfast.yaml`, else http://127.0.0.1:8000 without a key. Every method raises
    `HoldfastError` only, of the class that the API raised; `NoHoldfast` if no answer came. A holdfast that has too many
    tasks in work is asked again when it says so, for `busy_s` seconds in all; then `TooManyTasks` is raised.
    """

    on_busy: wire.Busy | None = None
    """Told of each wait, and its seconds, for a holdfast that has too many tasks in work."""

    def __init__(self, url: str | None = None, api_key: str | None = None, busy_s: float = wire.BUSY_S) -> None:
        self.busy_s = busy_s
        self._door = wire.Door.found(url, api_key)
        self._http = httpx2.Client(**self._door.options())

    @property
    def url(self) -> str:
        return self._door.url

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, text: str, **options: Unpack[AgentOptions]) -> Task:
        """Ask for a task in plain words; it is on its way when this returns."""
        return self.send(asks.of_agent(text, options))

    def run(self, text: str, *, wait: bool = True, **options: Unpack[AgentOptions]) -> Task:
        """Ask for a task in plain words, and `wait` for its end."""
        task = self.submit(text, **options)
        return self.wait(task.id) if wait else task

    def send(self, request: TaskRequest) -> Task:
        """Ask for a task of any type."""
        return self.ask(asks.send(request))

    def wait(self, task_id: str, seconds: float | None = None) -> Task:
        """The task once it is over, or waits for an answer (state WAITING: see its `questions`), or after `seconds`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        task = self.task(task_id)
        while not waited_for(task) and (deadline is None or time.monotonic() < deadline):
            left = LOOK_S if deadline is None else max(0.05, min(LOOK_S, deadline - time.monotonic()))
            task = self.task(task_id, left)
        return task

    def task(self, task_id: str, wait_s: float = 0) -> Task:
        """The task now, or as soon as it is over or `wait_s` (at most 60) have passed."""
        return self.ask(asks.task(task_id, wait_s))

    def tasks(self, limit: int = 50) -> Iterator[Task]:
        """Newest first, page after page, until `limit` are given."""
        path: str | None = ""
        while path is not None and limit > 0:
            found, path = self.ask(asks.tasks(limit, path))
            yield from found[:limit]
            limit -= len(found)

    def steps(self, task_id: str) -> list[Step]:
        return self.ask(asks.steps(task_id))

    def program(self, task_id: str) -> Version:
        """The program that the task runs, in its newest version."""
        return self.ask(asks.program(task_id))

    def journal(self, task_id: str) -> JournalExport:
        return self.ask(asks.journal(task_id))

    def result(self, task_id: str, wait_s: float = 0) -> Json:
        """What a task gave; `Conflict` while it is not over."""
        return self.ask(asks.result(task_id, wait_s))

    def questions(self, task_id: str) -> list[Question]:
        return self.ask(asks.questions(task_id))

    def answer(self, task_id: str, question_id: str, value: Json) -> Question:
        """Answer an open question: one of its options if it has any, else any JSON."""
        return self.ask(asks.answer(task_id, question_id, value))

    def reject(self, task_id: str, question_id: str) -> Question:
        """Close an open question without an answer: whoever asked hears that there is none."""
        return self.ask(asks.reject(task_id, question_id))

    def budget(self, task_id: str) -> BudgetState:
        """How the budget of a task and all that it starts stands."""
        return self.ask(asks.budget(task_id))

    def top_up(self, task_id: str, **add: Unpack[Limits]) -> BudgetState:
        """Add to the budget of a task; what waits for that goes on."""
        return self.ask(asks.top_up(task_id, asks.added(add)))

    def cancel(self, task_id: str) -> Task:
        return self.ask(asks.cancel(task_id))

    def events(self, task_id: str, after: str = "") -> Iterator[Event]:
        """What happens to a task, as it happens, up to its `done`. `after` is the id of an event: go on behind it.

        A connection that breaks is made again, for two minutes without a word, and nothing but deltas is lost.
        """
        place = stream.Place(task_id, after)
        while True:
            try:
                for event in self._connected(place):
                    yield event
                    if event.name == "done":
                        return
                error: HoldfastError = place.ended(self._door)
            except HoldfastError as exc:
                error = exc
            time.sleep(place.broke(error))

    def _connected(self, place: stream.Place) -> Iterator[Event]:
        """The events of one connection."""
        try:
            with self._http.stream(**place.options) as response:
                if not response.is_success:
                    response.read()
                    wire.body(response)
                place.opened()
                yield from map(place.heard, stream.source(response))
        except httpx2.HTTPError as exc:
            raise place.lost(self._door, exc) from None

    def say(self, session_id: str, text: str, **options: Unpack[MessageOptions]) -> MessageTaken:
        """Say something in a conversation, which begins with it if it is new; its `task` is the turn that answers."""
        return self.ask(asks.say(session_id, text, options))

    def session(self, session_id: str) -> SessionShown:
        """How a conversation stands: what was said last, what runs, what it asks."""
        return self.ask(asks.session(session_id))

    def sessions(self, limit: int = 50) -> Iterator[SessionLine]:
        """Newest first, page after page, until `limit` are given."""
        path: str | None = ""
        while path is not None and limit > 0:
            found, path = self.ask(asks.sessions(limit, path))
            yield from found[:limit]
            limit -= len(found)

    def messages(self, session_id: str, limit: int = 50) -> Iterator[Said]:
        """The turns of a conversation, whole, newest first, until `limit` are given."""
        path: str | None = ""
        while path is not None and limit > 0:
            found, path = self.ask(asks.messages(session_id, limit, path))
            yield from found[:limit]
            limit -= len(found)

    def close_session(self, session_id: str) -> SessionLine:
        """End a conversation for good: it takes no more messages."""
        return self.ask(asks.close_session(session_id))

    def backlog(self, session_id: str, state: ItemState | None = None) -> list[Item]:
        """Follow-up work of a conversation: first what is to be done, in the order of adding, then what is over."""
        return self.ask(backlogasks.items(session_id, state))

    def add_to_backlog(self, session_id: str, text: str, key: str | None = None) -> Item:
        """Put follow-up work at the end. With a `key`, it is added once, however often it is sent."""
        return self.ask(backlogasks.add(session_id, text, key))

    def take_from_backlog(self, session_id: str, key: str | None = None) -> Next:
        """Take the oldest open item, so that nobody else does. With the same `key` it is the same item."""
        return self.ask(backlogasks.take(session_id, key))

    def finish_backlog_item(self, session_id: str, item_id: str, note: str = "") -> Item:
        """Mark an item as done. The first word on it holds."""
        return self.ask(backlogasks.finish(session_id, item_id, note))

    def fail_backlog_item(self, session_id: str, item_id: str, note: str = "") -> Item:
        """Mark an item as failed. The first word on it holds."""
        return self.ask(backlogasks.fail(session_id, item_id, note))

    def work_backlog(self, session_id: str, max_items: int | None = None, budget: BudgetOf | None = None) -> WorkView:
        """Begin to work through open items, each a turn: at most `max_items` (10), within a `budget` of all."""
        return self.ask(backlogasks.work(session_id, max_items, budget))

    def backlog_work(self, session_id: str) -> WorkView:
        """The latest order to work: what it did, what that took, and why it `ended` (empty while it works)."""
        return self.ask(backlogasks.look(session_id))

    def stop_backlog_work(self, session_id: str) -> WorkView:
        """Work no further item; the one in work is finished."""
        return self.ask(backlogasks.stop(session_id))

    def upload(self, path: Path | str, name: str | None = None) -> Uploaded:
        """Send a file, which a task's `files` may name. `name`: what it is called in its program's folder."""
        return self.ask(asks.upload(Path(path), name))

    def files(self, task_id: str) -> list[File]:
        """What the task's program left."""
        return self.ask(asks.files(task_id))

    def download(self, task_id: str, name: str) -> bytes:
        """A file that the task's program left, as `files` names it."""
        return self.ask(asks.download(task_id, name))

    def agents(self) -> Rows:
        return self.ask(asks.agents())

    def agent(self, name: str) -> Row:
        return self.ask(asks.row(f"/agents/{name}"))

    def flows(self) -> Rows:
        return self.ask(asks.flows())

    def flow(self, name: str) -> Row:
        return self.ask(asks.row(f"/workflows/{name}"))

    def skills(self, tag: str | None = None) -> Rows:
        return self.ask(asks.rows("/skills", tag=tag))

    def skill(self, name: str) -> Row:
        return self.ask(asks.row(f"/skills/{name}"))

    def health(self) -> Row:
        return self.ask(asks.health())

    def ask(self, what: Ask[T]) -> T:
        """Send it, again if its connection broke and that is safe, or if the API has no room now."""
        tried, patience = 0, wire.Patience(self.busy_s, self.on_busy)
        while True:
            try:
                return what.read(self._http.request(**what.options))
            except TooManyTasks as exc:
                pause = patience.pause(exc)
                if pause is None:
                    raise
            except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
                tried += 1
                pause = wire.pause(exc, tried, what.is_safe)
                if pause is None:
                    raise self._door.lost(exc, str(what)) from None
            time.sleep(pause)


def waited_for(task: Task) -> bool:
    """Whether there is something to do for who waits."""
    asks_something = any(question.state == "open" for question in task.questions)
    return task.state in FINAL or (task.state == "WAITING" and asks_something)


def run_agent(text: str, **options: Unpack[AgentOptions]) -> Task:
    """Run a task in plain words where the current folder's settings lead, and wait for its end: see `Client.run`."""
    with Client() as client:
        return client.run(text, **options)
