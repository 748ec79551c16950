"""What every sandbox adapter must do, as plain functions over a `Place`.

Standard library and `sandbox/` only: they also run as another user, who can read no test runner.
"""

import asyncio
import contextlib
import functools
import os
import re
import signal
import tempfile
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.base import Adapter, Box, BoxLimits, BoxLost, BoxSpec, ExportRefused, ProtocolViolation
from sandbox.channel import Channel
from sandbox.lockdown import lockdown

GUEST = Path(__file__).with_name("box_guest.py")
SECONDS = 30.0
MB = 1 << 20


@dataclass(frozen=True)
class Place:
    """An adapter, and a way to see from outside what its boxes left behind."""

    adapter: Adapter
    left: Callable[[], Awaitable[list[str]]]

    @contextlib.asynccontextmanager
    async def started(self, guest: Path = GUEST, limits: BoxLimits | None = None, **spec: Any) -> AsyncIterator[Any]:
        """A box whose guest is up, and its channel; gone at the end."""
        box = await self.adapter.start(BoxSpec(name="test", guest=guest, limits=limits or BoxLimits(), **spec))
        try:
            channel = Channel(box)
            await channel.ready()
            yield box, channel
        finally:
            await box.kill()

    @contextlib.asynccontextmanager
    async def running(self, source: str, limits: BoxLimits | None = None, **spec: Any) -> AsyncIterator[Any]:
        """A box that runs `source`, which may use `send(frame)`, `receive()` and `write(bytes)`."""
        async with self.started(limits=limits, **spec) as (box, channel), asyncio.timeout(SECONDS):
            await channel.send({"t": "job", "source": textwrap.dedent(source), **lockdown(limits or BoxLimits())})
            yield box, channel

    async def outcome(self, source: str, limits: BoxLimits | None = None, **spec: Any) -> Any:
        """What `source` leaves in `result`, the type's name of what it raised, or ("ended", cause)."""
        async with self.running(source, limits, **spec) as (box, channel):
            async for frame in channel.frames():
                if frame["t"] == "done":
                    return frame["result"]
            return ("ended", box.cause)


Check = Callable[[Place], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    CHECKS[getattr(function, "__name__", "").replace("_", " ")] = function
    return function


def checks(what: str, cases: dict[str, Any]) -> Callable[[Callable[[Place, Any], Awaitable[None]]], None]:
    """One check a case."""

    def add(function: Callable[[Place, Any], Awaitable[None]]) -> None:
        for name, case in cases.items():
            CHECKS[f"{what}: {name}"] = functools.partial(_of, function, case)

    return add


async def _of(function: Callable[[Place, Any], Awaitable[None]], case: Any, place: Place) -> None:
    await function(place, case)


def same(found: Any, expected: Any) -> None:
    assert found == expected, f"found {found!r}, expected {expected!r}"


@contextlib.contextmanager
def refused(kind: type[Exception], reason: str) -> Iterator[None]:
    try:
        yield
    except kind as exc:
        assert re.search(reason, str(exc)), f"{str(exc)!r} does not match {reason!r}"
    else:
        raise AssertionError(f"not refused; a {kind.__name__} is expected")


async def ended(channel: Channel) -> None:
    async for _ in channel.frames():
        pass


# what works


@check
async def frames_are_echoed(place: Place) -> None:
    async with place.running("while True: send({'t': 'echo', 'v': receive()['v']})") as (_, channel):
        for value in ("one", "zwei ü 😀", [1, {"a": None}]):
            await channel.send({"t": "x", "v": value})
            same(await channel.receive(), {"t": "echo", "v": value})


@check
async def three_megabytes_travel_both_ways(place: Place) -> None:
    value = "0123456789" * 300_000
    async with place.running("send({'t': 'echo', 'v': receive()['v']})") as (_, channel):
        await channel.send({"t": "x", "v": value})
        assert (await channel.receive() or {}).get("v") == value


@check
async def a_receive_that_gives_up_loses_no_frame(place: Place) -> None:
    async with place.running("receive(); send({'t': 'late'})") as (_, channel):
        with refused(TimeoutError, ""):
            async with asyncio.timeout(0.05):
                await channel.receive()
        await channel.send({"t": "go"})
        same(await channel.receive(), {"t": "late"})


@check
async def inputs_are_seen_and_stay_as_they_are(place: Place) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "a.txt").write_text("hello")
        source = """
            import os
            result = [open('in/a.txt').read(), os.listdir('in')]
            for attempt in (lambda: open('in/b.txt', 'w'), lambda: open('in/a.txt', 'r+'),
                            lambda: os.unlink('in/a.txt'), lambda: os.rename('in/a.txt', 'in/c')):
                try: attempt(); result.append('did it')
                except OSError: pass
        """
        same(await place.outcome(source, inputs=Path(folder)), ["hello", ["a.txt"]])
        same([path.name for path in Path(folder).iterdir()], ["a.txt"])


@check
async def the_environment_holds_the_trace_and_nothing_of_ours(place: Place) -> None:
    os.environ["ANTHROPIC_API_KEY"] = "sk-very-secret"
    try:
        source = "import os\nresult = dict(os.environ)"
        found = await place.outcome(source, environment={"TRACE_ID": "ab12"})
    finally:
        del os.environ["ANTHROPIC_API_KEY"]
    same(found.pop("TRACE_ID"), "ab12")
    known = {"PATH", "HOME", "TMPDIR", "LANG", "TZ", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PWD", "HOSTNAME"}
    known |= {"USER", "LOGNAME", "MALLOC_ARENA_MAX"}
    same(sorted(set(found) - known), [])


@checks(
    "works",
    {
        "threads": ("from concurrent.futures import ThreadPoolExecutor as P\nresult = sum(P(8).map(int, '12345'))", 15),
        "asyncio": ("import asyncio\nresult = asyncio.run(asyncio.sleep(0.01, 'slept'))", "slept"),
        "sqlite": (
            """
            import sqlite3
            with sqlite3.connect('d') as one: one.execute('create table t as select 7 x')
            result = sqlite3.connect('d').execute('select x from t').fetchone()
            """,
            [7],
        ),
        "temporary files": ("import tempfile\nf = tempfile.TemporaryFile()\nf.write(b'x')\nresult = f.tell()", 1),
        "copying files": (
            "import shutil\nopen('a', 'w').write('x')\nshutil.copy('a', 'b')\nresult = open('b').read()",
            "x",
        ),
        "folders": (
            "import os, shutil\nos.makedirs('a/b')\nos.rename('a/b', 'c')\nshutil.rmtree('a')\nresult = os.listdir()",
            ["c"],
        ),
        "time zones": ("import zoneinfo\nresult = str(zoneinfo.ZoneInfo('Europe/Berlin'))", "Europe/Berlin"),
        "home is the workspace": ("import os\nresult = os.path.samefile(os.path.expanduser('~'), '.')", True),
    },
)
async def _(place: Place, case: tuple[str, Any]) -> None:
    same(await place.outcome(case[0]), case[1])


# limits


@check
async def a_memory_hog_meets_a_memory_error(place: Place) -> None:
    limits = BoxLimits(memory_bytes=128 * MB)
    same(await place.outcome("hog = []\nwhile True: hog.append(bytearray(1 << 20))", limits), "MemoryError")


@check
async def memory_that_no_rlimit_bounds_is_bounded(place: Place) -> None:
    async with place.started(limits=BoxLimits(memory_bytes=64 * MB)) as (box, channel):
        source = "import time\nhog = bytearray(b'x') * (600 << 20)\ntime.sleep(60)"
        await channel.send(
            {"t": "job", "source": source, "rlimits": {"AS": 1 << 40}, "filter": "06000000" + "0000ff7f"}
        )
        async with asyncio.timeout(SECONDS):
            await ended(channel)
        same((box.cause, box.exit_code), ("memory", 128 + signal.SIGKILL))


@check
async def a_flood_of_empty_files_is_stopped(place: Place) -> None:
    source = "import itertools\nfor n in itertools.count(): open(f'{n}', 'w').close()"
    assert await place.outcome(source) in (("ended", "inodes"), "OSError")


@check
async def a_full_workspace_is_bounded(place: Place) -> None:
    source = "import time\nfor n in range(99): open(f'{n}', 'wb').write(b'x' * (1 << 20))\ntime.sleep(60)"
    assert await place.outcome(source, BoxLimits(disk_bytes=4 * MB)) in ("OSError", ("ended", "disk"))


@check
async def files_without_a_name_are_bounded_too(place: Place) -> None:
    source = """
        import os, time
        kept = []
        for n in range(60):
            kept.append(open('x', 'wb'))
            os.unlink('x')
            kept[-1].write(b'x' * (1 << 20))
            kept[-1].flush()
        time.sleep(60)
    """
    assert await place.outcome(source, BoxLimits(disk_bytes=4 * MB)) in ("OSError", ("ended", "disk"))


@check
async def files_in_a_folder_that_may_not_be_read_are_bounded_too(place: Place) -> None:
    source = """
        import os, time
        os.mkdir('d', 0o300)
        for n in range(60): open(f'd/{n}', 'wb').write(b'x' * (1 << 20))
        time.sleep(60)
    """
    assert await place.outcome(source, BoxLimits(disk_bytes=4 * MB)) in ("OSError", ("ended", "disk"))


@check
async def one_file_is_bounded(place: Place) -> None:
    same(await place.outcome("open('a', 'wb').truncate(5 << 20)", BoxLimits(disk_bytes=4 * MB)), "OSError")


@check
async def descriptors_are_bounded(place: Place) -> None:
    same(await place.outcome("kept = [open('/dev/null') for _ in range(500)]"), "OSError")


@check
async def threads_are_bounded(place: Place) -> None:
    source = """
        import threading, time
        threading.stack_size(32768)
        result = 0
        for result in range(3000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        time.sleep(2)
    """
    assert await place.outcome(source) in ("RuntimeError", ("ended", "memory"))


@check
async def processor_time_is_bounded(place: Place) -> None:
    source = """
        while True:
            try:
                while True: pass
            except BaseException: pass
    """
    same(await place.outcome(source, BoxLimits(cpu_seconds=1)), ("ended", None))


@checks(
    "an output flood is stopped",
    {
        "bytes": "write(b'x' * 65536)",
        "lines": "write(b'line\\n' * 10000)",
        "prints": "send({'t': 'out', 'd': 'é' * 10000})",
        "frames of no kind": "send({'t': 'x' * 10000})",
        "frames of lists": "send({'t': 'out', 'd': '', 'x': [[]] * 10000})",
        "beside the channel": "import os; os.write(2, b'x' * 65536)",
    },
)
async def _(place: Place, flood: str) -> None:
    async with place.running(f"while True:\n    {flood}", BoxLimits(output_bytes=4 * MB)) as (box, channel):
        await ended(channel)
        same(box.cause, "output")


# files

FILES = """
import os
os.makedirs('out/deep')
open('out/deep/a.txt', 'w').write('hello')
open('plain', 'w').write('x')
os.symlink('/etc/shadow', 'shadow')
os.symlink('/', 'root')
os.symlink('out', 'linked')
os.link('plain', 'second')
open('two\\nlines', 'w').write('x')
open('big', 'wb').truncate(3 << 20)
open('other', 'wb').truncate(3 << 20)
send({'t': 'up'})
receive()
"""
FEW = BoxLimits(disk_bytes=5 * MB)


@check
async def plain_files_are_exported_also_after_the_end(place: Place) -> None:
    async with place.running(FILES, FEW) as (box, channel):
        same(await channel.receive(), {"t": "up"})
        same(await box.export(["out/deep/a.txt"]), {"out/deep/a.txt": b"hello"})
        await channel.send({"t": "end"})
        await ended(channel)
        same(box.exit_code, 0)
        same(await box.export(["out/deep/a.txt"]), {"out/deep/a.txt": b"hello"})
    with refused(ExportRefused, "killed|gone"):
        await box.export(["out/deep/a.txt"])


@check
async def what_is_no_plain_file_of_the_workspace_is_not_exported(place: Place) -> None:
    reasons = {
        "shadow": "without links",
        "root/etc/passwd": "without links",
        "linked/deep/a.txt": "without links",
        "plain": "2 names",
        "../etc/passwd": "without '..'",
        "out/../plain": "without '..'",
        "/etc/passwd": "a path relative to /ws",
        "": "a path relative to /ws",
        "two\nlines": "unprintable",
        "nul\0": "unprintable",
        "\ud800": "unprintable",
        "out": "a plain file is expected",
        "gone": "No such file",
        "a/" * 40 + "x": "a path relative to /ws",
    }
    async with place.running(FILES, FEW) as (box, channel):
        same(await channel.receive(), {"t": "up"})
        for path, reason in reasons.items():
            with refused(ExportRefused, reason):
                await box.export(["out/deep/a.txt", path])


@check
async def inputs_are_not_exported(place: Place) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "a.txt").write_text("hello")
        async with place.running(FILES, FEW, inputs=Path(folder)) as (box, channel):
            same(await channel.receive(), {"t": "up"})
            with refused(ExportRefused, "in/a.txt"):
                await box.export(["in/a.txt"])


@check
async def exports_are_bounded_together(place: Place) -> None:
    async with place.running(FILES, FEW) as (box, channel):
        same(await channel.receive(), {"t": "up"})
        same(len((await box.export(["big"]))["big"]), 3 * MB)
        with refused(ExportRefused, r"'other': found 3145728 bytes; 2097152 are left"):
            await box.export(["big", "other"])
        with refused(ExportRefused, r"\d+ files; at most \d+"):
            await box.export(["big"] * 200_001)


# channel faults


@checks(
    "a hostile frame costs the guest its box",
    {
        "not a number": r"""write(b'\x1eHF1 {"a":NaN}\n')""",
        "infinity": r"""write(b'\x1eHF1 {"a":1e999}\n')""",
        "half a surrogate pair": r"""write(b'\x1eHF1 {"a":"\\ud800"}\n')""",
        "deep": r"""write(b'\x1eHF1+ ' + b'[' * 60000 + b'\n\x1eHF1 ' + b'[' * 60000 + b'\n')""",
        "a line without end": r"""write(b'\x1eHF1 ' + b'1' * 100000)""",
        "pieces without end": r"""[write(b'\x1eHF1+ ' + b'1' * 60000 + b'\n') for _ in range(200)]""",
        "no text": r"""write(b'\x1eHF1 \xff\xfe\n')""",
        "no object": r"""write(b'\x1eHF1 7\n')""",
    },
)
async def _(place: Place, hostile: str) -> None:
    async with place.running(f"import time\n{hostile}\ntime.sleep(60)") as (box, channel):
        with refused(ProtocolViolation, ""):
            await ended(channel)
        same((box.exit_code, box.cause), (128 + signal.SIGKILL, None))


@check
async def lines_that_are_no_frames_are_passed_over(place: Place) -> None:
    async with place.running(r"write(b'banner\n\n\x1eHF\nHF1 {}\n'); send({'t': 'x'})") as (_, channel):
        same(await channel.receive(), {"t": "x"})


# how it ends


@check
async def kill_leaves_nothing_and_may_be_called_again(place: Place) -> None:
    async with place.running("import time\nsend({'t': 'up'})\ntime.sleep(60)") as (box, channel):
        same(await channel.receive(), {"t": "up"})
        assert await place.left(), "a living box is seen from outside"
        await asyncio.gather(box.kill(), box.kill())
        await box.kill()
        same(await place.left(), [])
        with refused(BoxLost, "gone"):
            await channel.send({"t": "x"})
        same(await channel.receive(), None)


@check
async def kill_ends_a_writer_that_waits_for_a_guest_that_does_not_read(place: Place) -> None:
    async with place.running("import time\ntime.sleep(60)") as (box, channel):
        writer = asyncio.ensure_future(channel.send({"v": "x" * 3 * MB}))
        await asyncio.sleep(0.1)
        await box.kill()
        with refused(BoxLost, "gone"):
            await writer


@check
async def kill_ends_a_reader(place: Place) -> None:
    async with place.running("import time\ntime.sleep(60)") as (box, channel):
        reader = asyncio.ensure_future(channel.receive())
        await asyncio.sleep(0.05)
        await box.kill()
        same(await reader, None)


@check
async def a_guest_that_ignores_all_signals_is_killed(place: Place) -> None:
    source = """
        import signal, time
        for n in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(n, signal.SIG_IGN)
        send({'t': 'up'})
        time.sleep(60)
    """
    async with place.running(source) as (box, channel):
        await channel.receive()
        await box.kill()
        same(box.exit_code, 128 + signal.SIGKILL)


@check
async def the_exit_code_is_known_at_the_end_of_the_stream(place: Place) -> None:
    async with place.running("import os\nos._exit(7)") as (box, channel):
        await ended(channel)
        same((box.exit_code, box.cause), (7, None))


@check
async def a_cancelled_start_leaves_nothing(place: Place) -> None:
    for delay in (0.0, 0.001, 0.003, 0.01, 0.02):
        starting = asyncio.ensure_future(place.adapter.start(BoxSpec(name="test", guest=GUEST)))
        await asyncio.sleep(delay)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await starting).kill()
        same(await place.left(), [])


@check
async def a_start_that_fails_says_why_and_leaves_nothing(place: Place) -> None:
    with refused(BoxLost, r"'nobody' did not start: its inputs .* are no folder"):
        await place.adapter.start(BoxSpec(name="nobody", guest=GUEST, inputs=Path("/nowhere/gone")))
    with refused(BoxLost, "No such file or directory"):
        await place.adapter.start(BoxSpec(name="nobody", guest=Path("/nowhere/gone.py")))
    same(await place.left(), [])


@check
async def a_guest_that_fails_at_start_is_quoted(place: Place) -> None:
    with tempfile.TemporaryDirectory() as folder:
        guest = Path(folder) / "guest.py"
        guest.write_text("raise RuntimeError('no such moon')")
        with refused(BoxLost, r"the guest ended with 1 at start; it wrote .*no such moon"):
            async with place.started(guest):
                pass


@check
async def boxes_leave_no_descriptor_behind(place: Place) -> None:
    await place.outcome("result = 1")
    before = descriptors()
    for _ in range(3):
        await place.outcome("result = 1")
    await asyncio.sleep(0)
    assert descriptors() <= before, f"{descriptors()} descriptors, {before} before"


@check
async def eight_boxes_live_at_once_and_share_nothing(place: Place) -> None:
    source = "import os\nopen('mine', 'w').write('x')\nsend({'t': 'up'})\nreceive()\nresult = os.listdir('.')"
    async with contextlib.AsyncExitStack() as stack:
        boxes: list[tuple[Box, Channel]] = [await stack.enter_async_context(place.running(source)) for _ in range(8)]
        for _, channel in boxes:
            same(await channel.receive(), {"t": "up"})
        for _, channel in boxes:
            await channel.send({"t": "go"})
            same(await channel.receive(), {"t": "done", "result": ["mine"]})


@check
async def the_probe_passes_and_names_what_holds(place: Place) -> None:
    found = await place.adapter.probe()
    assert found.ok, found.problem
    assert {"cannot open a network socket", "cannot start a process", "cannot read a host file"} <= {
        *found.capabilities
    }


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
