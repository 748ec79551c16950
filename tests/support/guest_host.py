"""A scripted host: runs the real sandbox/guest.py as a plain process, answers its calls as told, records its frames."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.channel import Decoder, encode

GUEST = Path(__file__).parents[2] / "sandbox/guest.py"
OPTIONS = ("-s", "-P", "-S", "-u", "-X", "utf8")
SECONDS = 20.0
NOW = 1_700_000_000.0
JOB: dict[str, Any] = {
    "t": "job",
    "first_line": 1,
    "inputs": None,
    "seed": 7,
    "now": NOW,
    "live_now": NOW,
    "resumed": False,
    "seen": [],
    "park_after": 0.3,
    "result_bytes": 4 << 20,
    "rlimits": {},
    "filter": "",
}


@dataclass(frozen=True)
class Call:
    """A call of the guest, as the host saw it; `nth` counts from 0 in the order of arrival."""

    number: int
    skill: str
    args: list[Any]
    kwargs: dict[str, Any]
    nth: int


@dataclass(frozen=True)
class Reply:
    """What a call is answered with, `after` so many real seconds; `at` is its time, later than the start by so much."""

    value: Any = None
    error: dict[str, Any] | None = None
    after: float = 0.0
    at: float = 0.0


Answers = Callable[[Call], Reply | None]
"""None leaves a call open for ever."""


def echo(call: Call) -> Reply | None:
    """`skills.echo(i, ms=0, at=0)` gives `i`; `boom` fails; `ask` is never answered; any other gives its name."""
    if call.skill == "boom":
        return Reply(error={"message": "boom", "skill": "", "type": "Boom", "details": {"n": 1}})
    if call.skill == "ask":
        return None
    value = call.args[0] if call.args else call.kwargs.get("i", call.skill)
    return Reply(value, after=call.kwargs.get("ms", 0) / 1000, at=call.kwargs.get("at", call.nth + 1))


def reversed_after(count: int) -> Answers:
    """As `echo`, but the calls are answered in the reverse of the order in which they came."""
    return lambda call: Reply((call.args or [None])[0], after=0.01 * (count - call.nth), at=count - call.nth)


@dataclass
class Run:
    """What one run of a program did."""

    frames: list[dict[str, Any]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    exit_code: int | None = None
    seconds: float = 0.0

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["t"] == kind]

    @property
    def last(self) -> dict[str, Any]:
        return self.frames[-1]

    @property
    def result(self) -> Any:
        assert self.last["t"] == "done", self.last
        return self.last["result"]

    @property
    def error(self) -> tuple[str, str]:
        assert self.last["t"] == "raised", self.last
        return self.last["type"], self.last["message"]

    @property
    def printed(self) -> str:
        return "".join(frame["d"] for frame in self.of("out"))

    @property
    def seen(self) -> list[int]:
        return [one for frame in self.of("calls") for one in frame["seen"]]

    @property
    def drops(self) -> list[int]:
        return [one for frame in self.of("calls") for one in frame["drops"]]

    @property
    def asked(self) -> list[tuple[int, str, list[Any], dict[str, Any]]]:
        return [(call.number, call.skill, call.args, call.kwargs) for call in self.calls]

    @property
    def idles(self) -> list[dict[str, Any]]:
        return [frame for frame in self.of("calls") if frame["idle"]]


class ScriptedHost:
    """One guest process, from `job` to its end."""

    def __init__(self, process: asyncio.subprocess.Process, answers: Answers) -> None:
        assert process.stdin and process.stdout
        self.process, self.answers = process, answers
        self.stdin, self.stdout = process.stdin, process.stdout
        self.run, self.decoder = Run(), Decoder()
        self.tasks: set[asyncio.Task[None]] = set()

    async def send(self, frame: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            self.stdin.write(encode(frame))
            await self.stdin.drain()

    async def next_frames(self) -> bool:
        """Take what has come; False at the end of the stream."""
        data = await self.stdout.read(1 << 16)
        for frame in self.decoder.feed(data):
            self.run.frames.append(frame)
            for number, skill, args, kwargs in frame.get("calls", ()):
                self._take(Call(number, skill, args, kwargs, len(self.run.calls)))
        return bool(data)

    def _take(self, call: Call) -> None:
        self.run.calls.append(call)
        if (reply := self.answers(call)) is not None:
            task = asyncio.create_task(self._reply(call.number, reply))
            self.tasks.add(task)

    async def _reply(self, number: int, reply: Reply) -> None:
        await asyncio.sleep(reply.after)
        ok = reply.error is None
        answer = [number, NOW + reply.at, ok, reply.value if ok else reply.error]
        await self.send({"t": "answers", "answers": [answer]})

    async def until(self, seen: Callable[[Run], bool]) -> None:
        while not seen(self.run):
            assert await self.next_frames(), f"the guest ended: {self.run.frames[-3:]}"


@contextlib.asynccontextmanager
async def started(source: str, answers: Answers = echo, python: str = sys.executable, **job: Any) -> AsyncIterator[Any]:
    """A guest that has its job; killed at the end if it is still there."""
    pipe = asyncio.subprocess.PIPE
    environment = {"PYTHONHASHSEED": "0", "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}
    process = await asyncio.create_subprocess_exec(
        python, *OPTIONS, str(GUEST), stdin=pipe, stdout=pipe, env=environment, limit=1 << 20
    )
    host = ScriptedHost(process, answers)
    try:
        async with asyncio.timeout(SECONDS):
            await host.until(lambda run: bool(run.of("ready")))
            await host.send({**JOB, "source": source, **job})
            yield host
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for task in host.tasks:
            task.cancel()
        await asyncio.gather(*host.tasks, return_exceptions=True)
        host.stdin.close()
        while await host.stdout.read(1 << 20):
            pass
        await process.wait()


async def run(source: str, answers: Answers = echo, **job: Any) -> Run:
    """Run a program to its end."""
    began = time.monotonic()
    async with started(source, answers, **job) as host:
        while await host.next_frames():
            pass
        host.run.exit_code = await host.process.wait()
        host.run.seconds = time.monotonic() - began
        return host.run


async def again(source: str, first: Run, answers: Answers = echo, **job: Any) -> Run:
    """Run a program again as a resume does, along what the first run saw."""
    return await run(source, answers, **{"resumed": True, "seen": first.seen, **job})
