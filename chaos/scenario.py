"""What a scenario is: one kind of task of the mix, and what must come of it whatever dies."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2

from chaos.model import Reply, named
from holdfast.client import wire
from holdfast.client.asks import Ask
from holdfast.client.asynchronous import AsyncClient
from holdfast.client.wire import NoHoldfast
from holdfast.contracts.base import Json
from holdfast.contracts.program import FINAL, TaskState
from holdfast.contracts.question import Question
from holdfast.contracts.task import Task, TaskRequest
from holdfast.errors import Conflict, HoldfastError, NotFound, OperatorError

T = TypeVar("T")

_LOOK_S = 0.3
_NO_CONTENT = 204
_PATIENCE_S = 120.0


class Hands:
    """What a person does to one task of the mix, over the API, with patience: it may be down for a while.

    `tasks` are all that came of it, the first one first; `workflows` the ids of what holds them together, a session.
    """

    def __init__(self, client: AsyncClient, key: str, chance: random.Random) -> None:
        self._client, self.key, self.chance = client, key, chance
        self.tasks: list[str] = []
        self.workflows: list[str] = []

    @property
    def task_id(self) -> str:
        return self.tasks[0]

    async def send(self, request: TaskRequest) -> None:
        """Ask for a task. With its idempotency key, asking twice does no more than asking once."""
        self.tasks.append((await patient(lambda: self._client.send(request))).id)

    async def ask(self, method: str, path: str, body: Json = None) -> Any:
        """The JSON that the API gives."""
        return await patient(lambda: self._client.ask(Ask(method, path, _json, body=body)))

    async def made(self, path: str, body: Json) -> None:
        """Make something that has a name. What is there already was made by the request whose reply got lost."""
        await patient(lambda: self._settled(self._client.ask(Ask("POST", path, _json, body=body))))

    async def gone(self, path: str) -> None:
        """End it; what is not there any more is ended."""
        await patient(lambda: self._settled(self._client.ask(Ask("DELETE", path, _json))))

    async def task(self, wait_s: float = 0) -> Task:
        return await patient(lambda: self._client.task(self.task_id, wait_s))

    async def over(self, task_id: str) -> Task:
        """A task that came of this one, once it is over; it may not be recorded yet."""
        if task_id not in self.tasks:
            self.tasks.append(task_id)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                if (task := await patient(lambda: self._client.task(task_id, 1))).state in FINAL:
                    return task
            except NotFound:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_LOOK_S)

    async def answer(self, question_id: str, value: Json) -> None:
        """A second answer is refused: then the first one, whose reply got lost, counts."""
        await patient(lambda: self._settled(self._client.answer(self.task_id, question_id, value)))

    async def cancel(self) -> None:
        await patient(lambda: self._settled(self._client.cancel(self.task_id)))

    async def pause(self, low: float, high: float) -> None:
        await asyncio.sleep(self.chance.uniform(low, high))

    async def answer_all(self, value: Callable[[Question], Json]) -> None:
        """Answer whatever is asked, until the task is over."""
        while (task := await self.task(_LOOK_S)).state not in FINAL:
            for question in task.questions:
                if question.state == "open":
                    await self.answer(question.id, value(question))
            await asyncio.sleep(_LOOK_S)

    async def _settled(self, doing: Awaitable[Any]) -> None:
        try:
            await doing
        except (Conflict, NotFound):
            return


def _json(got: httpx2.Response) -> Any:
    return None if got.status_code == _NO_CONTENT else wire.body(got)


async def patient(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of the API, asked again while it, or what it needs, is down or busy.

    Raises:
        HoldfastError: it refuses the request, or is down for two minutes.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await ask()
        except HoldfastError as exc:
            passing = isinstance(exc, OperatorError | NoHoldfast) or exc.details.get("code") in _PASSING
            if not passing or time.monotonic() > deadline:
                raise
        await asyncio.sleep(_LOOK_S)


_PASSING = ("INTERNAL", "RATE_LIMITED", "OVERLOADED", "TOO_MANY_REQUESTS", "UNREACHABLE")
"""What the API says when it is the moment that is wrong, and not the request."""

Drive = Callable[[Hands], Awaitable[None]]
Play = Callable[[Hands], Awaitable[Json]]


async def _nothing(_: Hands) -> None:
    """Most tasks need nobody."""


@dataclass(frozen=True)
class Scenario:
    """One kind of task.

    `calls` is how many calls its program makes, each counted once; None: it may be cut short. `replies` are what the
    model says to each step: so many LLM requests it takes without faults, if `requests` does not say. `drive` is what
    people do meanwhile. `play` stands in place of the one task where that is not all: it gives the output.
    `waits_for_people`: it has questions that are open for a while.
    """

    name: str
    about: str
    output: Json
    calls: int | None
    body: Mapping[str, Any] = field(default_factory=dict)
    state: TaskState = "DONE"
    replies: Mapping[str, Reply] = field(default_factory=dict)
    requests: int = 0
    drive: Drive = _nothing
    waits_for_people: bool = False
    play: Play | None = None

    def request(self, key: str) -> TaskRequest:
        """The task of this key. The same key is the same task, however often it is sent."""
        body = dict(self.body)
        if self.replies:
            body["input"] = f"{named(key)} {body['input']}"
        return TaskRequest.model_validate({**body, "idempotency_key": key})


def program(source: str, **more: Any) -> dict[str, Any]:
    """A task that is a program."""
    return {"type": "program", "program": source, "limits": {"task_seconds": 600}, **more}


def agent(words: str, **more: Any) -> dict[str, Any]:
    """A task in plain words."""
    return {"type": "agent:tester", "input": words, "limits": {"task_seconds": 600}, **more}


def fenced(source: str) -> str:
    """A program as a model gives it."""
    return f"Here it is.\n\n```python\n{source}\n```\n"
