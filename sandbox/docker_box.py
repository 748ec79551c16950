"""One box of the adapter `docker`: a container, the stream that is its guest's stdin and stdout, and its end."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import structlog

from holdfast.errors import NoIsolation, shown
from sandbox import takeout
from sandbox.base import BoxLost, BoxSpec, Cause, ExportRefused
from sandbox.bwrap import PYTHON_OPTIONS
from sandbox.docker_engine import STDERR, Engine, EngineRefused, Stream
from sandbox.docker_spec import container_name, new_last_word

_TAKEOUT = Path(takeout.__file__)
_END_SECONDS = 10.0
_EXPORT_SECONDS = 60.0
_KILL_ROUNDS = 20
_NAME_ROUNDS = 5
_KEPT_BYTES = 4096
_WHY_SECONDS = 0.2
_HEADER_BYTES = 4 << 20
_CODE_BYTES = 16
_KILLED = 137

log = structlog.stdlib.get_logger(__name__)


class DockerBox:
    """See `sandbox.base.Box`. Everything inside hangs on process 1 of the container, which ends with our stream."""

    def __init__(self, engine: Engine, container: str, stream: Stream, spec: BoxSpec) -> None:
        self.cause: Cause | None = None
        self.exit_code: int | None = None
        self.container = container
        self._engine, self._stream, self._spec = engine, stream, spec
        self.last_word = new_last_word()
        self._noise = self._held = b""
        self._printed = 0
        self._over = asyncio.Event()
        self._reading = asyncio.Lock()
        self._ending: asyncio.Future[None] | None = None
        self._naming: asyncio.Future[None] | None = None

    @property
    def noise(self) -> str:
        return self._noise.decode("utf-8", "replace").strip()

    def assign(self, spec: BoxSpec) -> None:
        """See `sandbox.base.Warming`. The container takes the name that belongs to the key of its new spec."""
        if self._ending is not None or self._over.is_set():
            raise BoxLost(f"box {self._spec.name!r} ended while it was idle; it wrote {shown(self.noise)}")
        self._spec = spec
        if spec.key:
            self._naming = asyncio.ensure_future(rename(self._engine, self.container, container_name(spec)))

    async def write(self, data: bytes) -> None:
        writing = asyncio.ensure_future(self._stream.write(data))
        writing.add_done_callback(_looked_at)
        over = asyncio.ensure_future(self._over.wait())
        try:
            # Nobody takes what we write once the guest has ended: without the second we would wait for ever.
            await asyncio.wait((writing, over), return_when=asyncio.FIRST_COMPLETED)
            if self._over.is_set():
                raise BrokenPipeError
            await writing
        except ConnectionError:
            raise BoxLost(f"box {self._spec.name!r} is gone; it wrote {shown(self.noise)}") from None
        finally:
            over.cancel()
            writing.cancel()

    async def read(self) -> bytes:
        async with self._reading:
            while not self._over.is_set():
                kind, data = await self._stream.read()
                if not data:
                    await self._settle()
                elif kind == STDERR:
                    self._noise = (self._noise + data)[-_KEPT_BYTES:]
                    self.count_output(len(data))
                elif told := self._without_last_word(data):
                    return told
            if self.exit_code and not self._noise:
                await self._hear_why()
        return b""

    async def _hear_why(self) -> None:
        """What is said on stderr may come behind the last word, which is said on stdout."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_WHY_SECONDS):
                kind, data = await self._stream.read()
                self._noise = data[-_KEPT_BYTES:] if kind == STDERR else b""

    def count_output(self, size: int) -> None:
        self._printed += size
        if self._printed > self._spec.limits.output_bytes:
            self.cause = self.cause or "output"
            self._begin_end()

    async def kill(self) -> None:
        await asyncio.shield(self._begin_end())

    async def export(self, paths: Sequence[str]) -> dict[str, bytes]:
        if self._ending is not None:
            raise ExportRefused(f"box {self._spec.name!r} has no workspace to export from: it was killed")
        try:
            async with asyncio.timeout(_EXPORT_SECONDS):
                answer = await self._asked({"paths": list(paths), "max_bytes": self._spec.limits.export_bytes})
        except (EngineRefused, NoIsolation, ConnectionError, TimeoutError) as exc:
            raise ExportRefused(f"box {self._spec.name!r} has no workspace to export from: {exc}") from exc
        return _contents(answer, paths, self._spec.limits.export_bytes)

    async def _asked(self, job: dict[str, object]) -> bytes:
        """What `takeout.py` answers, run inside the box: its workspace is nowhere else."""
        command = ["python3", *PYTHON_OPTIONS, "-c", _TAKEOUT.read_text("utf-8")]
        body = {"Cmd": command, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
        made = await self._engine.call("POST", f"/containers/{self.container}/exec", body)
        stream = await self._engine.stream(f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
        async with contextlib.aclosing(stream):
            await stream.write(json.dumps(job).encode("ascii"))
            stream.end_input()
            return await _all(stream, self._spec.limits.export_bytes + _HEADER_BYTES)

    def _without_last_word(self, data: bytes) -> bytes:
        """What the guest said; its beginning, if `data` may end within a last word, which is kept until more comes."""
        data = self._held + data
        told, mark, rest = data.rpartition(self.last_word[:1])
        word = mark + rest
        is_last = word.startswith(self.last_word)
        if is_last and (word.endswith(b"\n") or len(word) > len(self.last_word) + _CODE_BYTES):
            code = word[len(self.last_word) : -1]
            # A program can find the word in its memory, but what it says with it is only its own end.
            self.exit_code = int(code) if code.isdigit() and len(code) <= 3 else _KILLED
            self._over.set()
            return told
        is_begun = bool(mark) and (is_last or self.last_word.startswith(word))
        self._held = word if is_begun else b""
        return told if is_begun else data

    async def _settle(self) -> None:
        """The stream is over, and nothing was said: learn why."""
        if self._ending is None:
            await self._ask_how_it_ended()
        self._over.set()
        if self.exit_code is None:
            await self.kill()

    async def _ask_how_it_ended(self) -> None:
        with contextlib.suppress(TimeoutError, EngineRefused, NoIsolation):
            async with asyncio.timeout(_END_SECONDS):
                await self._engine.call("POST", f"/containers/{self.container}/wait")
                state = (await self._engine.call("GET", f"/containers/{self.container}/json"))["State"]
                self.exit_code = state["ExitCode"]
                if state["OOMKilled"]:
                    self.cause = self.cause or "memory"

    def _begin_end(self) -> asyncio.Future[None]:
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())
        return self._ending

    async def _end(self) -> None:
        try:
            if self._naming is not None:
                await self._naming
        finally:
            self._over.set()
            # Before the removal: the engine waits with it until all that the box wrote was taken.
            await self._stream.aclose()
        await remove(self._engine, self.container)
        if self.exit_code is None:
            self.exit_code = _KILLED


async def remove(engine: Engine, container: str) -> None:
    """End a container and all in it, and forget it. Returns when it is gone, or when the engine will not hear of it."""
    for _ in range(_KILL_ROUNDS):
        try:
            await engine.call("DELETE", f"/containers/{container}", force="1", v="1")
        except EngineRefused as exc:
            if exc.answered == 404:
                return
            # 409: somebody else is removing it. Its end is what we wait for.
            await asyncio.sleep(0.1)
        except NoIsolation as exc:
            # Process 1 sees our stream close, and ends by itself; the next worker removes what is left.
            log.warning("sandbox.docker.unreachable", container=container, error=str(exc))
            return
        else:
            return
    log.warning("sandbox.docker.left", container=container)


def _looked_at(task: asyncio.Future[None]) -> None:
    """A write that fails because the box ends is no news."""
    if not task.cancelled():
        task.exception()


async def rename(engine: Engine, container: str, name: str) -> None:
    """Give a container a name; whichever has it is that of an attempt before this one, and is ended."""
    for _ in range(_NAME_ROUNDS):
        try:
            await engine.call("POST", f"/containers/{container}/rename", name=name)
        except EngineRefused as exc:
            if exc.answered != 409:
                return
            await remove(engine, name)
        except NoIsolation:
            return
        else:
            return


async def _all(stream: Stream, max_bytes: int) -> bytes:
    """Its stdout. A program that took the place of our reader may send what it likes, but not for ever."""
    found = bytearray()
    while True:
        kind, data = await stream.read()
        if not data:
            return bytes(found)
        if kind != STDERR:
            found += data
        if len(found) > max_bytes:
            raise ExportRefused(f"export: more than {max_bytes} bytes came out of the box")


def _contents(answer: bytes, paths: Sequence[str], max_bytes: int) -> dict[str, bytes]:
    """Believe nothing: what answers runs in the box, as the user that the program runs as."""
    head, _, rest = answer.partition(b"\n")
    if len(head) > _HEADER_BYTES:
        raise ExportRefused(
            f"export: the box answered with a list of files of {len(head)} bytes; {_HEADER_BYTES} will do"
        )
    try:
        told = json.loads(head)
        if "refused" in told:
            raise ExportRefused(str(told["refused"])[:2000])
        sizes = [(str(path), int(size)) for path, size in told["files"]]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise ExportRefused(f"export: the box answered {shown(head)} instead of a list of files") from None
    total = sum(size for _, size in sizes)
    if [path for path, _ in sizes] != list(dict.fromkeys(paths)) or min((size for _, size in sizes), default=0) < 0:
        raise ExportRefused(f"export: the box answered with other files than those asked for: {shown(head)}")
    if total != len(rest) or total > max_bytes:
        raise ExportRefused(f"export: the box announced {total} bytes and sent {len(rest)}; {max_bytes} are allowed")
    return dict(_cut(sizes, rest))


def _cut(sizes: list[tuple[str, int]], rest: bytes) -> list[tuple[str, bytes]]:
    cut, at = [], 0
    for path, size in sizes:
        cut.append((path, rest[at : at + size]))
        at += size
    return cut
