"""What is given up half-way with an engine that answers late: no connection and no container is left. Needs no docker."""

import asyncio
import contextlib
import gc
import json
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.base import BoxSpec
from sandbox.docker import DockerAdapter
from sandbox.docker_box import DockerBox
from sandbox.docker_engine import Engine, Stream
from tests.support.boxes import GUEST
from tests.support.dockerd import settings

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
SECONDS = 20.0
SPEC = BoxSpec(name="test", guest=GUEST)
ANSWERS: dict[str, Any] = {
    "/version": {"ApiVersion": "1.41", "Version": "20"},
    "/info": {"Runtimes": {"runc": {}}, "DefaultRuntime": "runc"},
    "/create": {"Id": "c1"},
}


class LateEngine:
    """An engine that says nothing to whoever attaches until it is `let`, and never to whoever renames."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []
        self.attached, self.hung_up, self.let, self.told, self.renaming = (asyncio.Event() for _ in range(5))

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["LateEngine"]:
        server = await asyncio.start_unix_server(self._connected, self.path)
        async with server:
            yield self

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = head.decode("ascii").split(" ", 2)
        size = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        await reader.readexactly(int(size.partition(b":")[2]))
        path = target.partition("?")[0]
        self.asked.append(f"{method} {path.rpartition('/')[2]}")
        if path.endswith("/attach"):
            await self._attached(reader, writer)
        elif path.endswith("/rename"):
            self.renaming.set()
            await reader.read()
        else:
            found: Any = next((answer for end, answer in ANSWERS.items() if path.endswith(end)), {})
            body = json.dumps(found).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()

    async def _attached(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attached.set()
        await self.let.wait()
        writer.write(UPGRADED)
        self.told.set()
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        self.hung_up.set()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[LateEngine]:
    async with LateEngine(tmp_path / "docker.sock").serving() as one:
        yield one


@contextlib.contextmanager
def nothing_unclosed() -> Iterator[None]:
    """What is dropped without being closed says so when it is collected."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(one.message) for one in said] == []


async def given_up(task: "asyncio.Task[Any]", *, times: int = 1) -> None:
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(SECONDS):
            await task


async def soon(event: asyncio.Event) -> None:
    async with asyncio.timeout(SECONDS):
        await event.wait()


@pytest.mark.parametrize("answered", [False, True], ids=["unanswered", "answered-unread"])
async def test_a_stream_that_is_given_up_before_it_begins_is_closed(engine: LateEngine, answered: bool) -> None:
    with nothing_unclosed():
        starting = asyncio.create_task(Engine(f"unix://{engine.path}").stream("/containers/c1/attach"))
        await soon(engine.attached)
        if answered:
            engine.let.set()
            await engine.told.wait()
        await given_up(starting)
        del starting
    engine.let.set()
    await soon(engine.hung_up)


async def test_a_start_that_is_given_up_twice_leaves_no_container(engine: LateEngine) -> None:
    """Once by who wants no box any more, and once by a loop that ends meanwhile."""
    with nothing_unclosed():
        starting = asyncio.create_task(DockerAdapter(settings(f"unix://{engine.path}")).start(SPEC))
        await soon(engine.attached)
        await given_up(starting, times=2)
        del starting
    engine.let.set()
    await soon(engine.hung_up)
    assert engine.asked[-1] == "DELETE c1"


def test_an_end_that_the_loop_does_not_wait_for_hangs_up(tmp_path: Path) -> None:
    """The engine does not come to the new name of a warm box; process 1 of the container sees that we are gone."""

    async def ends_too_early() -> Stream:
        async with LateEngine(tmp_path / "docker.sock").serving() as engine:
            engine.let.set()
            connection = Engine(f"unix://{engine.path}")
            stream = await connection.stream("/containers/c1/attach")
            box = DockerBox(connection, "c1", stream, SPEC)
            box.assign(replace(SPEC, key="a task's"))
            ending = asyncio.create_task(box.kill())
            await soon(engine.renaming)
            assert not ending.done()
        return stream

    stream = asyncio.run(ends_too_early())
    with pytest.raises(BrokenPipeError):
        asyncio.run(stream.write(b"."))
