"""The pool: how many boxes live, that each is used once, and that nothing is lost or left when it gets rough."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from sandbox import interpreter, procs
from sandbox.base import BoxLimits, BoxLost, BoxSpec, MemoryShort
from sandbox.local_box import LocalBox
from sandbox.memory import available_share
from sandbox.pool import Pool
from sandbox.procs import tree
from tests.support.boxes import ADAPTER, GUEST, bubblewraps, readable_copy
from tests.support.pools import SPEC, counting, is_warm, pool, run, told
from tests.support.stack import Stack, until

OTHER = BoxSpec(name="other", guest=GUEST, limits=BoxLimits(disk_bytes=3 << 20))
SIZE = "import os\nfound = os.statvfs('/ws')\nresult = found.f_blocks * found.f_frsize"


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert bubblewraps() == []


def pids(boxes: Pool) -> list[int]:
    return [cast(LocalBox, idle.session.box).pid for idle in boxes._idle]


# how many


async def test_twelve_programs_at_once_have_ten_boxes_and_all_end() -> None:
    at_work: list[int] = []
    gate = asyncio.Event()

    async def one(boxes: Pool, number: int) -> int:
        async with boxes.session(SPEC) as session:
            at_work.append(number)
            await gate.wait()
            return cast(int, await told(session, f"result = {number}"))

    async with pool() as boxes, counting() as seen:
        tasks = [asyncio.create_task(one(boxes, number)) for number in range(12)]
        async with asyncio.timeout(40):
            while len(at_work) < 10:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert (len(at_work), boxes.live, len(set(bubblewraps()))) == (10, 10, 10)
        gate.set()
        assert await asyncio.gather(*tasks) == list(range(12))
    assert max(seen) == 10


async def test_programs_get_their_boxes_in_the_order_in_which_they_came() -> None:
    order: list[int] = []

    async def one(boxes: Pool, number: int) -> None:
        async with boxes.session(SPEC) as session:
            order.append(number)
            await told(session, "result = 1")

    async with pool(max_sessions=1, warm=1) as boxes, counting() as seen:
        await asyncio.gather(*(one(boxes, number) for number in range(8)))
    assert order == list(range(8))
    assert max(seen) == 1


async def test_idle_boxes_make_room_for_programs_that_need_another_kind() -> None:
    async with pool(max_sessions=2, warm=2) as boxes, counting() as seen:
        await is_warm(boxes, 2)
        assert list(await asyncio.gather(run(boxes, SIZE, OTHER), run(boxes, SIZE, OTHER))) == [3 << 20] * 2
        await is_warm(boxes, 2)
    assert max(seen) == 2


async def test_a_pool_without_idle_boxes_runs_programs_too() -> None:
    async with pool(warm=0) as boxes:
        assert await run(boxes, "result = 1") == 1
        assert boxes.warm == 0


# once


async def test_a_box_is_never_given_out_twice() -> None:
    source = "import os\nresult = os.listdir('/ws')\nopen('/ws/mine', 'w').close()"
    used = []
    async with pool(max_sessions=3) as boxes:

        async def one() -> None:
            async with boxes.session(SPEC) as session:
                used.append(session.box)
                assert await told(session, source) == []

        for _ in range(8):
            await asyncio.gather(*(one() for _ in range(3)))
    assert len({id(box) for box in used}) == len(used) == 24


async def test_a_program_begins_in_a_box_that_was_up_before() -> None:
    async with pool(warm=1) as boxes:
        await is_warm(boxes, 1)
        (pid,) = pids(boxes)
        async with boxes.session(SPEC) as session:
            assert cast(LocalBox, session.box).pid == pid


async def test_an_idle_box_holds_the_limits_of_the_program_that_gets_it() -> None:
    spec = BoxSpec(name="quiet", guest=GUEST, limits=BoxLimits(output_bytes=1000, inodes=50))
    many = "import time\nfor i in range(100): open(f'/ws/{i}', 'w').close()\ntime.sleep(20)"
    async with pool() as boxes:
        for source, cause in [("write(b'x' * 5000)\nimport time\ntime.sleep(20)", "output"), (many, "inodes")]:
            await is_warm(boxes, 2)
            with pytest.raises(BoxLost, match=f"cause {cause}"):
                await run(boxes, source, spec)


async def test_inputs_and_another_size_of_workspace_need_a_box_of_their_own() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "a.txt").write_text("hello")
        async with pool() as boxes:
            await is_warm(boxes, 2)
            assert await run(boxes, SIZE, OTHER) == 3 << 20
            assert await run(boxes, SIZE) == BoxLimits().disk_bytes
            spec = BoxSpec(name="in", guest=GUEST, inputs=Path(folder))
            assert await run(boxes, "result = open('/ws/in/a.txt').read()", spec) == "hello"


# death


async def test_an_idle_box_that_was_just_killed_costs_its_taker_nothing() -> None:
    async with pool() as boxes:
        await is_warm(boxes, 2)
        for pid in pids(boxes):
            os.kill(pid, signal.SIGKILL)
        assert boxes.warm == 2, "nobody has noticed yet"
        assert await run(boxes, "result = 1") == 1


async def test_an_idle_box_that_dies_is_replaced() -> None:
    async with pool() as boxes:
        await is_warm(boxes, 2)
        before = pids(boxes)
        os.kill(before[0], signal.SIGKILL)
        async with asyncio.timeout(10):
            while len(set(pids(boxes)) - {before[0]}) < 2:
                await asyncio.sleep(0.01)


async def test_a_guest_that_does_not_start_is_told_and_not_tried_in_a_hurry(tmp_path: Path) -> None:
    broken = tmp_path / "guest.py"
    broken.write_text("raise RuntimeError('no such moon')")
    async with Pool(ADAPTER, BoxSpec(name="warm", guest=broken)) as boxes, counting() as seen:
        async with asyncio.timeout(10):
            while not boxes.problem:
                await asyncio.sleep(0.01)
        assert "no such moon" in boxes.problem
        await asyncio.sleep(0.8)
        assert await run(boxes, "result = 1") == 1
        assert boxes.problem == ""
    assert Counter(seen)[0] > len(seen) / 3, "it rests between its tries"


async def test_closing_ends_idle_boxes_and_one_that_starts() -> None:
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1, 0.2):
        async with pool(warm=3):
            await asyncio.sleep(delay)
        assert bubblewraps() == []


async def test_whoever_is_cancelled_leaves_its_place_to_others() -> None:
    rng = random.Random(5)
    async with pool(max_sessions=3) as boxes, counting() as seen:
        for _ in range(40):
            tasks = [asyncio.create_task(run(boxes, "result = 1")) for _ in range(5)]
            await asyncio.sleep(rng.random() * 0.1)
            for task in tasks:
                task.cancel()
            assert {type(end) for end in await asyncio.gather(*tasks, return_exceptions=True)} <= {
                asyncio.CancelledError,
                int,
            }
        async with asyncio.timeout(20):
            assert await asyncio.gather(*(run(boxes, "result = 1") for _ in range(6))) == [1] * 6
        assert boxes.live == 0
    assert max(seen) <= 3


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kills", [30, pytest.param(200, marks=pytest.mark.slow)])
async def test_boxes_killed_at_any_moment_leave_nothing_and_say_why(kills: int, say: Callable[[str], None]) -> None:
    """Whatever is killed, bubblewrap or what is in it: the attempt ends at once, with a result or with its cause."""
    rng = random.Random(11)
    ends: Counter[str] = Counter()
    killed = 0

    async def attempt(boxes: Pool) -> None:
        spec = rng.choice([SPEC, OTHER])
        try:
            async with asyncio.timeout(30):
                ends[
                    str(await run(boxes, f"import time\ntime.sleep({rng.random() * 0.05})\nresult = 'done'", spec))
                ] += 1
        except BoxLost as exc:
            assert "exit code" in str(exc) or "gone" in str(exc) or "ended with" in str(exc), exc
            ends["lost"] += 1

    async def attempts(boxes: Pool) -> None:
        while killed < kills:
            await attempt(boxes)

    async def kill() -> None:
        nonlocal killed
        while killed < kills:
            await asyncio.sleep(rng.random() * 0.03)
            found = _processes()
            if found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(found), signal.SIGKILL)
                    killed += 1

    async with pool(max_sessions=4) as boxes:
        await asyncio.gather(kill(), *(attempts(boxes) for _ in range(4)))
        assert await asyncio.gather(*(run(boxes, "result = 1") for _ in range(8))) == [1] * 8
        assert boxes.live == 0
    say(f"{killed} killed: {dict(ends)}")
    assert set(ends) == {"done", "lost"}


def _processes() -> list[int]:
    """Bubblewraps of this process, and what is in their boxes."""
    return [pid for pid in tree(os.getpid())[1:] if b"holdfast-box" in _cmdline(pid) or b"guest" in _cmdline(pid)]


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_thousand_programs_leave_nothing_behind(say: Callable[[str], None]) -> None:
    async with pool(max_sessions=4) as boxes:
        await run(boxes, "result = 1")
        await is_warm(boxes, 2)
        held, before = _held(), _left()
        for _ in range(125):
            assert await asyncio.gather(*(run(boxes, "result = 1") for _ in range(8))) == [1] * 8
        await is_warm(boxes, 2)
        await asyncio.sleep(0.1)
        assert _held() == held
        after = _left()
    new = {kind: sorted(found - before[kind]) for kind, found in after.items()}
    say(f"1,000 programs: {held}, new: {new}")
    assert new == {"cgroups": [], "mounts": [], "files": []}


def _left() -> dict[str, set[str]]:
    """What a box could leave on this machine, less what a docker engine beside us does meanwhile. A cgroup that is left
    has no process in it; others, that somebody has made for theirs, do."""
    cgroups = [Path(path) for path, _, _ in os.walk("/sys/fs/cgroup")]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "cgroups": {str(path) for path in cgroups if _is_empty(path)},
        "mounts": {line.partition(" ")[2] for line in mounts if "docker" not in line},
        "files": {str(path) for path in Path(tempfile.gettempdir()).glob("*holdfast*")},
    }


def _is_empty(cgroup: Path) -> bool:
    try:
        return not (cgroup / "cgroup.procs").read_text().strip()
    except OSError:
        return False


def _held() -> dict[str, int]:
    """What this process holds."""
    descriptors = len(os.listdir("/proc/self/fd"))
    return {"processes": len(tree(os.getpid())), "descriptors": descriptors, "tasks": len(asyncio.all_tasks())}


# the worker


WORKER = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from sandbox import interpreter, procs
from sandbox.base import BoxLimits, BoxSpec
from sandbox.local import LocalAdapter
from sandbox.lockdown import lockdown
from sandbox.pool import Pool

SPEC = BoxSpec(name="w", guest=Path(sys.argv[1]) / "box_guest.py")

async def program(boxes):
    async with boxes.session(SPEC) as session:
        job = {"t": "job", "source": "import time\\ntime.sleep(60)", **lockdown(BoxLimits())}
        await session.channel.send(job)
        await session.channel.receive()

async def main():
    adapter = LocalAdapter(SimpleNamespace(sandbox_python_path=None, sandbox_packages=(), home=Path("/")))
    async with Pool(adapter, SPEC) as boxes:
        print("up", flush=True)
        await asyncio.gather(program(boxes), program(boxes))

asyncio.run(main())
"""


@pytest.mark.parametrize("uid", [None, 65534], ids=["as root", "unprivileged"])
async def test_a_worker_killed_at_any_moment_leaves_nothing(uid: int | None, say: Callable[[str], None]) -> None:
    """What the kernel does not end, in the first milliseconds of a start, the next worker does when it starts."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    python = (await interpreter.find(None, uid)).path if uid else sys.executable
    rng, workers = random.Random(3), []
    with readable_copy() as folder:
        for _ in range(8):
            worker = await asyncio.create_subprocess_exec(
                python, "-c", WORKER, str(folder), stdout=asyncio.subprocess.PIPE, cwd="/", **interpreter.identity(uid)
            )
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"up\n"
            await asyncio.sleep(rng.random() * 0.4)
            worker.kill()
            await worker.communicate()
            workers.append(worker.pid)
        await asyncio.sleep(0.5)
        left = [title for pid in workers for title in bubblewraps(pid)]
        procs.reap_orphans()
        say(f"{len(workers)} workers killed; the kernel left {len(left)} processes to the next one")
        async with asyncio.timeout(3):
            while any(bubblewraps(pid) for pid in workers):
                await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_worker_that_ends_takes_its_idle_boxes_with_it(
    stack: Stack, tmp_path: Path, number: signal.Signals
) -> None:
    one = Stack(tmp_path, port=stack.port)
    worker = one.start_worker("sandbox").wait_up()
    try:
        await until(lambda: len(one.boxes(idle=True)) == 2, 60)
        assert one.boxes() == []
        worker.process.send_signal(number)
        worker.process.wait(20)
        await until(lambda: not one.boxes(idle=True), 3)
        assert bubblewraps(worker.pid) == []
    finally:
        one.close()


# memory


async def test_with_too_little_free_memory_a_program_waits_then_fails_with_a_reason_that_helps() -> None:
    free = 0.05
    async with pool(free=lambda: free, patience_s=0.3) as boxes:
        with pytest.raises(MemoryShort, match=r"5\.0% of this machine's memory .* below 10% .*SANDBOX_MAX_SESSIONS"):
            await run(boxes, "result = 1")
        assert (boxes.live, boxes.warm, bubblewraps()) == (0, 0, [])
        assert MemoryShort.retryable


async def test_a_program_that_waits_for_memory_begins_when_there_is_some() -> None:
    shares = iter([0.01, 0.09])
    async with pool(warm=0, free=lambda: next(shares, 0.5)) as boxes:
        assert await run(boxes, "result = 1") == 1


def test_free_memory_is_a_share() -> None:
    assert 0.0 < available_share() < 1.0
