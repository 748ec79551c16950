"""The part inside the box: runs one program, standard library only.

Frames go out on the old stdout and come in on the old stdin (see sandbox/channel.py). The program sees an
ordinary CPython with a `skills` module; each skill call leaves as a frame and comes back as an answer.

A run is a function of (source, seed, clock, deliveries). A delivery is an answer or a timer, handed out one at
a time and only when nothing else can run; `job["seen"]` replays those of an earlier run in their old order.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import codecs
import collections
import contextlib
import ctypes
import datetime
import fcntl
import importlib
import inspect
import itertools
import json
import linecache
import math
import os
import queue
import random
import re
import resource
import select
import selectors
import stat
import sys
import threading
import time
import traceback
import types
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, NoReturn

# A program that puts its own `len` into builtins must not change ours. Before any function is made.
globals()["__builtins__"] = dict(vars(builtins))

MARK = b"\x1eHF1"
PIECE_BYTES = 60_000
FRAME_BYTES = 5_000_000
"""The channel takes no frame above 5 MiB."""
MAX_DEPTH = 100
PRIVATE_FD = 64
"""Our descriptors begin here: a program that closes the low ones in a loop keeps its host."""
TIMER = -1
"""Stands in `seen` for a timer that fired."""
SPINS = 200
SPUN_SECONDS = 0.001
LOOK_SECONDS = 0.25
LATE_GRACE_SECONDS = 0.2
"""What a timer that ended while there was no box still waits, for answers that came before its end."""
NAME = "<program>"
SECCOMP = {"x86_64": 317, "aarch64": 277}
OUT = "out"
"""A folder of the workspace: what a program leaves in it is handed out when it is done."""
PATH_BYTES = 1024 + len("out/")
PACKAGES = os.path.join(os.path.dirname(__file__), "packages")  # noqa: PTH118, PTH120 (no pathlib in here)
"""Where an adapter puts the packages that are there for programs, if any, with a list of them."""
HOST_GONE = 86
CHANNEL_BROKEN = 87
COMPILE = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
WAITS = re.compile(r"(threading|queue|concurrent/futures/\w+)\.py$")

# The real ones, taken before a program can change them.
to_json, from_json = json.JSONEncoder(allow_nan=False).encode, json.JSONDecoder().raw_decode
to_text = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode
real_monotonic, real_sleep = time.monotonic, time.sleep
exit_now, read, write, real_select = os._exit, os.read, os.write, select.select


class SkillError(Exception):
    """A skill answered with an error. Attributes: skill, type, message, details."""

    def __init__(
        self,
        message: str = "",
        skill: str = "",
        type: str = "SkillFailed",  # noqa: A002 (the word of the wire and of the attribute)
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.skill, self.type, self.details = message, skill, type, details or {}


# --- the wire -------------------------------------------------------------------------------------------------


def private(fd: int) -> int:
    """The same open file on a high descriptor; the given one is closed."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, PRIVATE_FD)
    os.close(fd)
    return high


class Wire:
    """Frames over two private descriptors. Printing cannot reach them by accident."""

    def __init__(self) -> None:
        self.fd_in, self.fd_out = private(os.dup(0)), private(os.dup(1))
        self.lock = threading.Lock()
        self.buffer = b""
        self.pieces: list[bytes] = []
        self.null = private(os.open(os.devnull, os.O_RDWR))
        os.dup2(self.null, 0)

    def send(self, **frame: Any) -> None:
        self.send_text(to_json(frame))

    def send_text(self, frame: str) -> None:
        text = frame.encode("ascii")
        with self.lock:
            while len(text) > PIECE_BYTES:
                self._write(MARK + b"+ " + text[:PIECE_BYTES] + b"\n")
                text = text[PIECE_BYTES:]
            self._write(MARK + b" " + text + b"\n")

    def _write(self, data: bytes) -> None:
        while data:
            data = data[write(self.fd_out, data) :]

    def receive(self) -> dict[str, Any] | None:
        """The next frame, or None when the host is gone."""
        while True:
            line, newline, rest = self.buffer.partition(b"\n")
            if newline:
                self.buffer = rest
                frame = self._line(line)
                if frame is not None:
                    return frame
                continue
            data = read(self.fd_in, 1 << 20)
            if not data:
                return None
            self.buffer += data

    def _line(self, line: bytes) -> dict[str, Any] | None:
        if line.startswith(MARK + b"+ "):
            self.pieces.append(line[len(MARK) + 2 :])
            return None
        if not line.startswith(MARK + b" "):
            return None
        text = b"".join([*self.pieces, line[len(MARK) + 1 :]])
        self.pieces.clear()
        frame: dict[str, Any] = from_json(text.decode("ascii"))[0]
        return frame

    def thread(self, name: str, body: Callable[[], None]) -> threading.Thread:
        """Start a thread of ours. Without it nothing moves, so its failure is the end, told if it still can be."""

        def run() -> None:
            try:
                body()
            except BaseException as exc:
                with contextlib.suppress(BaseException):
                    self.send_text(raised("ChannelBroken", f"the program broke its channel to the host: {exc!r:.500}"))
                exit_now(CHANNEL_BROKEN)

        thread = threading.Thread(target=run, daemon=True, name=name)
        thread.start()
        return thread


class Printed:
    """Descriptors 1 and 2 of the program: a pipe whose content leaves as `out` frames."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.moving = wire, threading.Lock()
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        out, into = os.pipe()
        self.pipe = private(out)
        os.dup2(into, 1)
        os.dup2(into, 2)
        os.close(into)
        self.pump = wire.thread("printed", self._pump)

    def _pump(self) -> None:
        while True:
            real_select([self.pipe], [], [])
            with self.moving:
                if not (data := read(self.pipe, 1 << 16)):
                    return
                self.wire.send(t="out", d=self.decoder.decode(data))

    def drain(self) -> None:
        """Everything printed so far has left when this returns."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os.dup2(self.wire.null, 1)
        os.dup2(self.wire.null, 2)
        while self.pump.is_alive():
            with self.moving:
                if not real_select([self.pipe], [], [], 0)[0]:
                    break
            real_sleep(0.0005)
        if rest := self.decoder.decode(b"", final=True):
            self.wire.send(t="out", d=rest)


def checked_json(value: object, what: str) -> str:
    """JSON of a value, of a kind that the host takes unchanged.

    Raises:
        TypeError: it is not JSON.
        UnicodeError: it holds half a surrogate pair, which is no text.
        ValueError: it is nested deeper than 100 levels.
    """
    try:
        text = to_json(value)
        if "\\ud" in text:
            to_text(value).encode("utf-8")
    except RecursionError:
        raise ValueError(f"{what} is nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeEncodeError as exc:
        half = exc.object[exc.start]
        raise UnicodeError(f"{what} holds half a surrogate pair, {half!r}, which is no text; remove it") from None
    except (TypeError, ValueError) as exc:
        raise TypeError(f"{what} is not JSON: {exc}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deep(value):
        raise ValueError(f"{what} is nested deeper than {MAX_DEPTH} levels")
    return text


def is_deep(value: object) -> bool:
    """Whether it has more levels than allowed. Level by level: recursion would meet its own limit."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        boxes = [each for each in level if isinstance(each, (dict, list, tuple))]
        level = [inner for each in boxes for inner in (each.values() if isinstance(each, dict) else each)]
    return bool(level)


# --- one clock for everything -----------------------------------------------------------------------------------


class Clock:
    """Virtual time in ns. It moves to each answer's time and past each timer; a look at it costs 1 µs.

    A look, not running time: what a re-run computes must not depend on how fast this machine is.
    """

    def __init__(self, started_at: float) -> None:
        self.start = self.now = int(started_at * 1e9)

    def look(self) -> int:
        self.now += 1000
        return self.now

    def loop_time(self) -> float:
        """No look: how often a loop asks is its own affair."""
        return (self.now - self.start) / 1e9

    def move_to(self, seconds: float) -> None:
        self.now = max(self.now, int(seconds * 1e9))

    def pass_by(self, seconds: float) -> None:
        self.now += max(0, math.ceil(seconds * 1e9))


def install_clock(clock: Clock, sleep: Callable[[float], None]) -> None:
    """Put the virtual clock behind `time` and `datetime`. Waits of threads keep the real one."""
    vars(sys.modules["concurrent.futures._base"])["time"] = types.SimpleNamespace(monotonic=real_monotonic)
    vars(queue)["time"] = real_monotonic
    ours: dict[str, Any] = {"time": lambda: clock.look() / 1e9, "time_ns": clock.look, "sleep": sleep}
    for name in ("monotonic", "perf_counter", "process_time", "thread_time"):
        ours[name] = lambda: (clock.look() - clock.start) / 1e9
        ours[f"{name}_ns"] = lambda: clock.look() - clock.start
    for name in ("localtime", "gmtime", "ctime"):
        ours[name] = lambda seconds=None, real=getattr(time, name): real(
            clock.look() / 1e9 if seconds is None else seconds
        )
    strftime, asctime = time.strftime, time.asctime
    ours["strftime"] = lambda form, moment=None: strftime(form, moment or time.localtime())
    ours["asctime"] = lambda moment=None: asctime(moment or time.localtime())
    ours["clock_gettime_ns"] = lambda which: clock.look() - (which != time.CLOCK_REALTIME) * clock.start
    ours["clock_gettime"] = lambda which: time.clock_gettime_ns(which) / 1e9
    vars(time).update(ours)
    vars(datetime)["datetime"] = virtual_datetime(clock)


def virtual_datetime(clock: Clock) -> type[datetime.datetime]:
    class Datetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return cls.fromtimestamp(clock.look() / 1e9, tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

        def __repr__(self) -> str:
            return "datetime." * (type(self) is Datetime) + super().__repr__()

    Datetime.__name__ = Datetime.__qualname__ = "datetime"
    Datetime.__module__ = "datetime"
    Datetime.min = Datetime(1, 1, 1)
    Datetime.max = Datetime(9999, 12, 31, 23, 59, 59, 999999)
    return Datetime


def install_chance(seed: int) -> None:
    """Derive every source of chance from the seed: random, uuid, os.urandom, secrets."""
    source, seed_of = random.Random(seed), random.Random.seed

    def reseed(self: random.Random, a: Any = None, version: int = 2) -> None:
        seed_of(self, source.getrandbits(64) if a is None else a, version)

    def urandom(size: int) -> bytes:
        return source.randbytes(size)

    shared: random.Random = vars(random)["_inst"]
    shared.seed(seed)
    vars(random).update(_urandom=urandom, seed=types.MethodType(reseed, shared))
    setattr(random.Random, "seed", reseed)  # noqa: B010 (mypy knows no other way to replace a method)
    vars(os).update(urandom=urandom, getrandom=lambda size, flags=0: urandom(size))
    # uuid4 asks os.urandom; uuid1 asks this, which must look like one.
    with contextlib.suppress(ImportError):
        vars(importlib.import_module("_uuid"))["generate_time_safe"] = lambda: (
            urandom(6) + b"\x11\xee\x80" + urandom(7),
            None,
        )


# --- calls ------------------------------------------------------------------------------------------------------


class Waiting:
    """One open call: a future of a loop, or a blocked thread."""

    def __init__(self, number: int, skill: str, future: asyncio.Future[Any] | None) -> None:
        self.number, self.skill, self.future = number, skill, future
        self.unanswered = threading.Lock()
        self.unanswered.acquire()
        self.answer: tuple[float, bool, Any] = (0.0, False, {})


class Calls:
    """All calls of this run, the deliveries so far, and the rule for what is delivered next."""

    def __init__(self, wire: Wire, job: dict[str, Any], clock: Clock) -> None:
        self.wire, self.job, self.clock = wire, job, clock
        self.script = collections.deque[int](job["seen"])
        self.lock, self.sending = threading.Lock(), threading.Lock()
        self.numbers = itertools.count()
        self.asked = -1
        self.open: dict[int, Waiting] = {}
        self.inbox: dict[int, Waiting] = {}
        self.fresh: list[str] = []
        self.drops: list[int] = []
        self.seen: list[int] = []
        self.got = 0
        self.resumed, self.live_from = bool(job["resumed"]), real_monotonic()
        self.resting: dict[threading.Thread, float | None] = {}
        self.ours: set[threading.Thread] = set()
        self.told_idle, self.quiet_looks = True, 0
        self.loops: list[Selector] = []

    # asking

    def ask(self, skill: str, args: Any, kwargs: Any, future: asyncio.Future[Any] | None = None) -> Waiting:
        """Encoded at once: what the program changes in its arguments later is no part of this call."""
        of = f"of skill {skill!r}"
        values = [checked_json(value, f"argument {place} {of}") for place, value in enumerate(args, 1)]
        pairs = [
            f"{checked_json(name, f'a name {of}')}: {checked_json(value, f'argument {name!r} {of}')}"
            for name, value in kwargs.items()
        ]
        call = f"{checked_json(skill, 'the name of a skill')}, [{', '.join(values)}], {{{', '.join(pairs)}}}"
        if len(call) > FRAME_BYTES - 100:
            raise ValueError(f"the arguments {of} have {len(call)} bytes of JSON; {FRAME_BYTES} can be sent")
        with self.lock:
            waiting = Waiting(next(self.numbers), skill, future)
            self.asked = waiting.number
            self.open[waiting.number] = waiting
            self.fresh.append(f"[{waiting.number}, {call}]")
        return waiting

    def flush(self, idle: bool) -> None:
        """Send what is new since the last frame; nothing, if nothing is.

        The host may be writing to us meanwhile and read nothing until we have read it: so `lock`, which the reading
        thread needs, is not held.
        """
        with self.sending:
            with self.lock:
                if not idle and not (self.fresh or self.drops or self.seen):
                    return
                fresh, news = self.fresh, {"drops": self.drops, "seen": self.seen, "got": self.got}
                self.fresh, self.drops, self.seen = [], [], []
                self.told_idle, self.quiet_looks = idle, 0
            batch: list[str] = []
            size = 0
            for call in fresh:
                if size + len(call) > FRAME_BYTES:
                    self._send(batch, {"drops": [], "seen": [], "got": 0}, idle=False)
                    batch, size = [], 0
                batch.append(call)
                size += len(call) + 2
            self._send(batch, news, idle)

    def _send(self, fresh: list[str], news: dict[str, Any], idle: bool) -> None:
        due = [one for one in list(self.resting.values()) if one is not None]
        timer = max(0.0, min(due) - real_monotonic()) if due and idle else None
        head = to_json({"t": "calls", "idle": idle, "timer": timer, **news})
        self.wire.send_text(f'{head[:-1]}, "calls": [{", ".join(fresh)}]}}')

    async def call(self, skill: str, args: Any, kwargs: Any) -> Any:
        waiting = self.ask(skill, args, kwargs, asyncio.get_running_loop().create_future())
        assert waiting.future is not None
        try:
            return await waiting.future
        finally:
            self.drop(waiting)

    def drop(self, waiting: Waiting) -> None:
        """Give a call up; one that was delivered is not open any more."""
        with self.lock:
            self.inbox.pop(waiting.number, None)
            if self.open.pop(waiting.number, None):
                self.drops.append(waiting.number)

    def drop_all_of(self, loop: asyncio.AbstractEventLoop) -> None:
        for waiting in list(self.open.values()):
            if waiting.future is not None and waiting.future.get_loop() is loop:
                self.drop(waiting)

    def call_blocking(self, skill: str, args: Any, kwargs: Any) -> Any:
        """Ask and wait in this thread."""
        waiting = self.ask(skill, args, kwargs)
        with self.rest():
            self.flush(idle=self.is_alone())
            waiting.unanswered.acquire()
        return self.delivered(waiting)

    # who waits

    @contextlib.contextmanager
    def rest(self) -> Any:
        me = threading.current_thread()
        self.resting[me] = None
        try:
            yield
        finally:
            self.resting.pop(me, None)

    def others(self) -> set[threading.Thread]:
        return {*threading.enumerate()} - self.ours - {*self.resting}

    def is_alone(self) -> bool:
        """Whether this is the only thread of the program, so that nothing runs while it waits.

        With others it takes the looks of `receive` to know: a thread that is just about to run seems to wait.
        """
        return not self.others() and len(self.resting) <= 1

    def all_rest(self) -> bool:
        """Whether every thread waits: in a call, in a loop, or for another thread."""
        frames = sys._current_frames()
        found = [frames.get(thread.ident or 0) for thread in self.others()]
        return all(frame and WAITS.search(frame.f_code.co_filename) for frame in found)

    # delivering

    def receive(self) -> None:
        """Body of the thread `answers`: takes frames from the host for as long as there is one."""
        while True:
            if not self.wire.buffer and not real_select([self.wire.fd_in], [], [], LOOK_SECONDS)[0]:
                self.look_around()
                continue
            frame = self.wire.receive()
            if frame is None:
                exit_now(HOST_GONE)
            if frame["t"] == "answers":
                self.take(frame["answers"])

    def look_around(self) -> None:
        """Report idleness once two looks in a row saw it."""
        if self.told_idle or not self.open or not self.resting or not self.all_rest():
            self.quiet_looks = 0
            return
        self.quiet_looks += 1
        if self.quiet_looks >= 2:
            self.flush(idle=True)

    def take(self, answers: list[Any]) -> None:
        with self.lock:
            self.got += len(answers)
            self.quiet_looks = 0
            self.told_idle = False
            for number, *answer in answers:
                waiting = self.open.get(number)
                if waiting is None:
                    continue
                waiting.answer = (answer[0], answer[1], answer[2])
                if waiting.future is None:
                    del self.open[number]
                    waiting.unanswered.release()
                else:
                    self.inbox[number] = waiting
        for loop in list(self.loops):
            loop.wake()

    def delivered(self, waiting: Waiting) -> Any:
        """Note the delivery, move the clock, and give the value or raise the error."""
        at, ok, payload = waiting.answer
        self.clock.move_to(at)
        self.note(waiting.number)
        if ok:
            return payload
        raise SkillError(**{**payload, "skill": payload.get("skill") or waiting.skill})

    def note(self, what: int) -> None:
        with self.lock:
            if self.script:
                self.script.popleft()
            else:
                self.seen.append(what)

    def deliver(self, number: int) -> None:
        with self.lock:
            waiting = self.inbox.pop(number, None)
            self.open.pop(number, None)
        if waiting is None or waiting.future is None or waiting.future.done():
            return
        try:
            settle(waiting.future, self.delivered(waiting), None)
        except SkillError as exc:
            settle(waiting.future, None, exc)

    def fire(self, seconds: float) -> None:
        self.note(TIMER)
        self.clock.pass_by(seconds)

    def idle(self, loop: Selector, timeout: float | None) -> list[Any]:
        """Nothing can run: hand out one delivery, or return the descriptors that became ready."""
        with self.rest():
            while self.script:
                if self.replay(self.script[0], timeout):
                    return []
                if self.script and (found := self.await_scripted(loop, self.script[0])):
                    return found
            return self.spin(loop) if timeout == 0 else self.go_on(loop, timeout)

    def replay(self, what: int, timeout: float | None) -> bool:
        """Hand out the next delivery of the script, if it is there. If it can never be, the script ends here."""
        if what == TIMER and timeout is not None:
            self.fire(timeout or SPUN_SECONDS)
            return True
        if what in self.inbox:
            self.deliver(what)
            return True
        if what == TIMER or (what <= self.asked and what not in self.open):
            self.script.clear()
        return False

    def await_scripted(self, loop: Selector, what: int) -> list[Any]:
        """Wait for an answer, or for another thread to ask for it; a call that nobody will ask ends the script."""
        is_asked = what <= self.asked
        self.flush(idle=is_asked and self.is_alone())
        found = loop.wait(None if is_asked else LOOK_SECONDS)
        if not found and what > self.asked and self.all_rest():
            self.script.clear()
        return found

    def go_on(self, loop: Selector, timeout: float | None) -> list[Any]:
        """Live: the next answer, or the next timer if that ends before."""
        left = None if timeout is None else self.still(timeout)
        due, is_late = None if left is None else real_monotonic() + left, left != timeout
        self.resting[threading.current_thread()] = due
        while True:
            number = next(iter([*self.inbox]), None)
            expired = due is not None and real_monotonic() >= due
            if number is not None and not ((expired or is_late) and self.came_after(number, timeout)):
                self.deliver(number)
                return []
            if expired and timeout is not None:
                self.fire(timeout)
                return []
            alone = self.is_alone()
            if alone and due is None and not self.open and loop.waits_for_nothing():
                if found := loop.wait(0):  # the last words of a thread that has just ended
                    return found
                raise RuntimeError("the program waits for ever: no call, timer or thread is left that could wake it")
            self.flush(idle=alone and bool(self.open or due is not None))
            if found := loop.wait(None if due is None else max(0.0, due - real_monotonic())):
                return found

    def still(self, timeout: float) -> float:
        """What is left of a timer in real seconds: behind a pause without a box, its time may have gone by."""
        if not self.resumed:
            return timeout
        self.resumed = False
        late: float = self.job["live_now"] + real_monotonic() - self.live_from - self.clock.now / 1e9
        return max(timeout - max(0.0, late), min(timeout, LATE_GRACE_SECONDS))

    def came_after(self, number: int, timeout: float | None) -> bool:
        waiting = self.inbox.get(number)
        return bool(waiting and waiting.answer[0] > self.clock.now / 1e9 + (timeout or 0.0))

    def spin(self, loop: Selector) -> list[Any]:
        """The loop turns without end (`while not done: await asyncio.sleep(0)`): time must pass, answers arrive."""
        self.flush(idle=False)
        if found := loop.wait(SPUN_SECONDS):
            return found
        if self.inbox:
            self.deliver(next(iter([*self.inbox])))
        else:
            self.fire(SPUN_SECONDS)
        return []

    # sleeping

    def sleep_blocking(self, seconds: float) -> None:
        if threading.current_thread() is not threading.main_thread():
            return real_sleep(seconds)
        if seconds > self.job["park_after"] and math.isfinite(seconds) and not in_loop():
            self.call_blocking("sleep", [], {"seconds": float(seconds)})
            return None
        real_sleep(min(seconds, 0) if self.script else seconds)
        self.clock.pass_by(seconds)
        return None

    def sleep_async(self, real: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def sleep(delay: float, result: Any = None) -> Any:
            if not self.job["park_after"] < delay < math.inf:
                return await real(delay, result)
            await self.call("sleep", [], {"seconds": float(delay)})
            return result

        return sleep


def settle(future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    """Also for a future of another thread's loop."""

    def do() -> None:
        if not future.done():
            future.set_result(value) if error is None else future.set_exception(error)

    loop = future.get_loop()
    if loop is asyncio._get_running_loop():
        do()
    else:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(do)


class Selector(selectors.SelectSelector):
    """Sees when the loop has nothing to do: that is where idleness, timers and deliveries come from."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self.calls, self.spins = calls, 0
        out, into = os.pipe()
        self.wake_out, self.wake_in = private(out), private(into)
        os.set_blocking(self.wake_out, False)
        os.set_blocking(self.wake_in, False)
        calls.loops.append(self)

    def close(self) -> None:
        super().close()
        if self in self.calls.loops:
            self.calls.loops.remove(self)
            os.close(self.wake_out)
            os.close(self.wake_in)

    def select(self, timeout: float | None = None) -> list[Any]:
        if found := super().select(0):
            return found
        if timeout is not None and timeout <= 0:
            self.spins += 1
            if self.spins < SPINS:
                return []
        self.spins = 0
        return self.calls.idle(self, None if timeout is None else max(0.0, timeout))

    def wait(self, seconds: float | None) -> list[Any]:
        """Until an answer, a descriptor of the loop, or time. Returns what became ready in the loop."""
        real_select([*self._readers, self.wake_out], [*self._writers], [], seconds)  # type: ignore[attr-defined]
        with contextlib.suppress(BlockingIOError):
            read(self.wake_out, 65536)
        return super().select(0)

    def wake(self) -> None:
        # Full is awake. Closed: the loop ended just now.
        with contextlib.suppress(OSError):
            write(self.wake_in, b".")

    def waits_for_nothing(self) -> bool:
        """Nothing but the loop's own pipe to itself is registered."""
        return len(self.get_map()) <= 1


class Loop(asyncio.SelectorEventLoop):
    """The event loop of programs, on virtual time."""

    calls: ClassVar[Calls]

    def __init__(self) -> None:
        super().__init__(Selector(self.calls))
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.calls.clock.loop_time()

    def close(self) -> None:
        self.calls.drop_all_of(self)
        super().close()


class InOrder(set[Any]):
    """A set that is gone through in the order of adding. `asyncio.wait` and `as_completed` make sets of tasks: where
    these lie in memory, which another version of this file changes, must not order a program's calls."""

    def __init__(self, items: Any = ()) -> None:
        super().__init__()
        self.order: dict[Any, None] = {}
        for item in items:
            self.add(item)

    def add(self, item: Any) -> None:
        super().add(item)
        self.order.setdefault(item)

    def __iter__(self) -> Any:
        return (item for item in self.order if item in self)

    def pop(self) -> Any:
        while self.order:
            item = next(iter(self.order))
            del self.order[item]
            if item in self:
                self.discard(item)
                return item
        raise KeyError("pop from an empty set")


def install_loop(calls: Calls) -> None:
    Loop.calls = calls
    vars(asyncio.tasks)["set"] = InOrder
    sleep = calls.sleep_async(asyncio.sleep)
    vars(asyncio.tasks)["sleep"] = sleep
    vars(asyncio.events)["new_event_loop"] = Loop
    vars(asyncio).update(sleep=sleep, new_event_loop=Loop, SelectorEventLoop=Loop, EventLoop=Loop)
    for policy in ("_UnixDefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
        if found := getattr(asyncio.unix_events, policy, None):
            found._loop_factory = Loop


def in_loop() -> bool:
    return asyncio._get_running_loop() is not None


# --- what the program sees ----------------------------------------------------------------------------------------


class Skills(types.ModuleType):
    """`skills.name(...)`: awaitable inside a running loop, blocking anywhere else."""

    def __init__(self, calls: Calls) -> None:
        super().__init__("skills", "The skills of this task.")
        vars(self).update(_calls=calls, SkillError=SkillError, __path__=[])

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def skill(*args: Any, **kwargs: Any) -> Any:
            return ask(vars(self)["_calls"], name, args, kwargs)

        skill.__name__ = skill.__qualname__ = name
        return skill


def ask(calls: Calls, name: str, args: Any, kwargs: Any) -> Any:
    return (calls.call if in_loop() else calls.call_blocking)(name, args, kwargs)


class Execution:
    """What `executor.execute` gives: success, output, error, execution_time (virtual seconds)."""

    def __init__(self, output: Any, error: str | None, execution_time: float) -> None:
        self.success, self.output, self.error = error is None, output, error
        self.execution_time = execution_time

    def __repr__(self) -> str:
        return f"Execution(success={self.success}, output={self.output!r}, error={self.error!r})"


class Executor:
    """The call form of the Motia agent system (M-09, M-10), over the same journal."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def execute(self, skill_name: str, input_data: Any = None) -> Any:
        if in_loop():
            return self._execute(skill_name, input_data)
        began = self._calls.clock.now
        try:
            return self._ended(began, self._calls.call_blocking(skill_name, (), input_data or {}), None)
        except SkillError as exc:
            return self._ended(began, None, exc.message)

    def execute_batch(self, requests: list[dict[str, Any]]) -> Any:
        pairs = [(each["skill_name"], each.get("input_data")) for each in requests]
        return self._gather(pairs) if in_loop() else [self.execute(*pair) for pair in pairs]

    async def _gather(self, pairs: list[tuple[str, Any]]) -> list[Execution]:
        return await asyncio.gather(*(self._execute(*pair) for pair in pairs))

    async def _execute(self, skill_name: str, input_data: Any) -> Execution:
        began = self._calls.clock.now
        try:
            return self._ended(began, await self._calls.call(skill_name, (), input_data or {}), None)
        except SkillError as exc:
            return self._ended(began, None, exc.message)

    def _ended(self, began: int, output: Any, error: str | None) -> Execution:
        return Execution(output, error, (self._calls.clock.now - began) / 1e9)


# --- running ------------------------------------------------------------------------------------------------------


class Entry(ast.NodeTransformer):
    """Keeps what `main` returns, and lets `asyncio.run` stand beside a top-level `await`."""

    def __init__(self, awaits: bool) -> None:
        self.awaits = awaits

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = visit_FunctionDef

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        if not is_main(node.value):
            return node
        target = ast.Name("__main_result__", ast.Store())
        return ast.copy_location(ast.Assign([target], node.value), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(ast.Await(node.args[0]), node) if self.awaits and is_run(node) else node


def is_run(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr="run"), args=[_, *_]):
            return True
    return False


def is_main(node: ast.AST) -> bool:
    """`main()`, `await main()` or `asyncio.run(main())`."""
    match node:
        case ast.Call(func=ast.Name(id="main")):
            return True
        case ast.Await(value=inner):
            return is_main(inner)
        case ast.Call(args=[inner, *_]) if is_run(node):
            return is_main(inner)
    return False


def prepare(source: str, first_line: int) -> tuple[types.CodeType, bool, bool]:
    """The code of a program, whether it awaits at its top level, and whether it mentions its `main` anywhere."""
    tree = parse(source, first_line)
    awaits = bool(code_of(tree).co_flags & inspect.CO_COROUTINE)
    names_main = any(isinstance(node, ast.Name) and node.id == "main" for node in ast.walk(tree))
    return code_of(ast.fix_missing_locations(Entry(awaits).visit(tree))), awaits, names_main


def parse(source: str, first_line: int) -> ast.Module:
    try:
        tree: ast.Module = compile(source, NAME, "exec", COMPILE | ast.PyCF_ONLY_AST, dont_inherit=True)
    except SyntaxError as exc:
        exc.lineno = (exc.lineno or 1) + first_line - 1
        exc.end_lineno = (exc.end_lineno or 1) + first_line - 1
        raise
    ast.increment_lineno(tree, first_line - 1)
    return tree


def code_of(tree: ast.Module) -> types.CodeType:
    code: types.CodeType = compile(tree, NAME, "exec", COMPILE, dont_inherit=True)
    return code


@contextlib.contextmanager
def deep_and_quiet() -> Any:
    """A long sum is a deep tree; and what a program printed is its result, so no warning about its text goes there."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.setrecursionlimit(limit)


def execute(job: dict[str, Any], namespace: dict[str, Any]) -> Any:
    """Run the program and return its result, or `...` if it leaves none."""
    with deep_and_quiet():
        code, awaits, names_main = prepare(job["source"], job["first_line"])
    if awaits:
        asyncio.run(eval(code, namespace))
    else:
        exec(code, namespace)
    if "result" not in namespace and not names_main and is_callable_bare(namespace.get("main")):
        value = namespace["main"]()
        namespace["__main_result__"] = asyncio.run(value) if inspect.iscoroutine(value) else value
    # As at the end of any script: its threads run to their ends, unless they are daemons.
    vars(threading)["_shutdown"]()
    if "result" in namespace:
        return namespace["result"]
    value = namespace.get("__main_result__")
    return ... if value is None else value


def is_callable_bare(main: Any) -> bool:
    if not callable(main) or inspect.isclass(main):
        return False
    try:
        inspect.signature(main).bind()
    except (TypeError, ValueError):
        return False
    return True


def explain(exc: BaseException, depth: int = 0) -> tuple[str, int | None]:
    """What went wrong as text for people and models: the program's own lines only; and the number of the last."""
    rows, line = [], None
    for frame in traceback.extract_tb(exc.__traceback__):
        if frame.filename == NAME:
            line = frame.lineno
            rows.append(f"  line {line}, in {frame.name}: {(frame.line or '').strip()[:200]}")
    if isinstance(exc, SyntaxError) and exc.filename == NAME:
        line = exc.lineno
        rows.append(f"  line {line}, column {exc.offset}: {(exc.text or '').strip()[:200]}")
    said = "".join(traceback.format_exception_only(type(exc), exc)).strip()[-4000:]
    if isinstance(exc, ModuleNotFoundError):
        said += importable()
    if isinstance(exc, BaseExceptionGroup) and depth < 5:
        said += "".join("\n  | " + explain(each, depth + 1)[0].replace("\n", "\n  | ") for each in exc.exceptions[:10])
    return "\n".join(["Traceback (lines of the program):", *rows[-20:], said] if rows else [said]), line


def importable() -> str:
    """What there is to import, for one who missed something."""
    try:
        with open(f"{PACKAGES}/holdfast-packages.json", encoding="utf-8") as file:
            names = ", ".join(json.load(file))
    except OSError:
        return ": only the standard library is here. Do without it (an operator adds packages: sandbox_packages)"
    return f": the standard library is here, and these packages: {names} (an operator adds more: sandbox_packages)"


def outcome(job: dict[str, Any], namespace: dict[str, Any]) -> list[str]:
    """The last frames of this run."""
    try:
        return left(execute(job, namespace), job, namespace)
    except BaseException as exc:
        try:
            return ended(exc, job, namespace)
        except BaseException as second:
            # Out of memory, or a program that broke what we need to say more.
            namespace.clear()
            text = f"{type(exc).__name__}; its text cannot be told: {type(second).__name__}"
            return [raised(type(exc).__name__, text)]


def ended(exc: BaseException, job: dict[str, Any], namespace: dict[str, Any]) -> list[str]:
    if not isinstance(exc, SystemExit):
        return [raised(type(exc).__name__, *explain(exc))]
    if exc.code in (None, 0):
        return left(namespace.get("result", ...), job, namespace)
    return [raised("SystemExit", f"the program called sys.exit({exc.code!r:.1000})", explain(exc)[1])]


def left(value: Any, job: dict[str, Any], namespace: dict[str, Any]) -> list[str]:
    """The frames of a program that came to its end: what it leaves in `session`, if that changed, and its result."""
    last = done(value, job["result_bytes"])
    if "session" not in job:
        return [last]
    try:
        text = session_json(namespace.get("session"), job["session_bytes"])
    except SessionUnfit as exc:
        return [raised(exc.kind, str(exc))]
    return [last] if text == to_json(job["session"]) else [f'{{"t": "session", "variables": {text}}}', last]


class SessionUnfit(Exception):
    """What a program leaves in `session` cannot be kept."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def session_json(session: object, limit: int) -> str:
    """
    Raises:
        SessionUnfit: it is no dict of JSON values by names, or larger than `limit` bytes.
    """
    if not isinstance(session, dict):
        found = f"`session` holds what later programs of this conversation find; it is a dict, and {type(session)!r}"
        hint = "Save with session['name'] = value, and give a variable of your own another name"
        raise SessionUnfit("SessionNotJson", f"{found} was found. {hint}")
    sizes = {name: len(entry_json(name, value)) for name, value in session.items()}
    text = to_json(session)
    if len(text) > limit:
        name = max(sizes, key=lambda one: sizes[one])
        largest = f"the largest is session[{name!r:.100}], with {sizes[name]}"
        hint = "Save a summary, or where the data is (write large data with a skill), and `del` what nobody needs"
        found = f"`session` has {len(text)} bytes of JSON; the limit is {limit}; {largest}"
        raise SessionUnfit("SessionTooLarge", f"{found}. {hint}")
    return text


def entry_json(name: object, value: object) -> str:
    try:
        checked_json(name, "a name in `session`")
        text = checked_json(value, f"session[{name!r:.100}]")
    except Exception as exc:
        hint = "Leave dicts, lists, strings, numbers, booleans or None in it"
        raise SessionUnfit("SessionNotJson", f"{exc}. {hint}") from None
    if not (isinstance(name, str) and 0 < len(name) <= 100 and name.isprintable()):
        allowed = "names in `session` are strings of 1 to 100 printable characters"
        raise SessionUnfit("SessionNotJson", f"{allowed}; {name!r:.100} was found. Use another name, or str(…)")
    return text


def done(value: Any, limit: int) -> str:
    if value is ...:
        return '{"t": "done", "has_result": false}'
    try:
        text = checked_json(value, "the result")
    except Exception as exc:
        hint = "Leave dicts, lists, strings, numbers, booleans or None in `result`"
        return raised("ResultNotJson", f"{exc}. {hint}")
    limit = min(limit, FRAME_BYTES)
    if len(text) > limit:
        hint = "Write large output with a skill, and leave a summary in `result`"
        return raised("ResultTooLarge", f"the result has {len(text)} bytes of JSON; the limit is {limit}. {hint}")
    return f'{{"t": "done", "has_result": true, "result": {text}}}'


def raised(kind: str, message: str, line: int | None = None) -> str:
    text = message[-100_000:].encode("utf-8", "backslashreplace").decode()
    return to_json({"t": "raised", "type": kind[:200], "message": text, "line": line})


class Outputs:
    """The folder for files that are handed out, and the names of what is in it at the end. Which of them are fit for
    that is for the host to judge: it looks for itself."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.workspace = os.getcwd() if limit else ""  # noqa: PTH109
        if limit:
            with contextlib.suppress(OSError):
                os.mkdir(OUT)  # noqa: PTH102

    def paths(self) -> list[str]:
        """All but folders, relative to the workspace; at most one more than is allowed. One whose name is too long, or
        no text, stands alone: for it all are refused, and a list of such names may be too large for a frame."""
        found: list[str] = []
        todo = [OUT] if self.limit else []
        while todo and len(found) <= self.limit:
            path = todo.pop()
            try:
                inside = self.inside(path)
            except FileNotFoundError:
                continue
            except OSError:
                # Closed, or too deep: let the host say so.
                inside = None
            if inside is None and (len(os.fsencode(path)) > PATH_BYTES or not path.isprintable()):
                # What is not UTF-8 becomes what no name may hold.
                return [re.sub("[\ud800-\udfff]", "\x7f", path)]
            if inside is None:
                found.append(path)
            else:
                todo += [f"{path}/{name}" for name in sorted(inside, reverse=True)]
        return found

    def inside(self, path: str) -> list[str] | None:
        """The names in a folder; None for what is none."""
        full = f"{self.workspace}/{path}"
        return os.listdir(full) if stat.S_ISDIR(os.lstat(full).st_mode) else None


# --- the process --------------------------------------------------------------------------------------------------


def lock_down(rlimits: dict[str, int], program_filter: str) -> None:
    """Limits first, then no new privileges, then the filter: no exec, no fork, threads only.

    For all threads: a program may put its own function into what the thread `printed` runs.
    """
    for name, value in rlimits.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))
    if not program_filter:
        return
    libc = ctypes.CDLL(None, use_errno=True)

    class Program(ctypes.Structure):
        _fields_: ClassVar = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    code = bytes.fromhex(program_filter)
    program = ctypes.byref(Program(len(code) // 8, code))
    if libc.prctl(38, 1, 0, 0, 0) or libc.syscall(SECCOMP[os.uname().machine], 1, 1, program):
        raise OSError(ctypes.get_errno(), "seccomp filter refused")


def numbered(source: str, first_line: int) -> list[str]:
    """The program's lines, each where its number leads: `first_line` is below 1 for lines that we put before it."""
    # Not splitlines: for Python a form feed, or U+2028 in a text, ends no line.
    lines = [f"{line}\n" for line in re.split(r"\r\n?|\n", source)]
    return lines[1 - first_line :] if first_line < 1 else ["\n"] * (first_line - 1) + lines


def install_packages() -> None:
    """Behind the standard library, which none of them may replace. One thread each: a box has few."""
    if os.access(PACKAGES, os.R_OK):
        sys.path.append(PACKAGES)
        os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")


def install(job: dict[str, Any], wire: Wire, printed: Printed) -> tuple[Calls, dict[str, Any]]:
    """Put the program's world in place; returns its calls and its namespace."""
    os.environ.update(job.get("environment", {}))
    install_packages()
    clock = Clock(job["now"])
    calls = Calls(wire, job, clock)
    install_clock(clock, calls.sleep_blocking)
    install_chance(job["seed"])
    install_loop(calls)
    linecache.cache[NAME] = (len(job["source"]), None, numbered(job["source"], job["first_line"]), NAME)
    module, skills = types.ModuleType("__main__"), Skills(calls)
    bare = {name: getattr(skills, name) for name in job.get("skills", ()) if not hasattr(builtins, name)}
    own = {"skills": skills, "executor": Executor(calls), "SkillError": SkillError, "inputs": job["inputs"]}
    # A copy: at the end it is compared with what it was.
    own["session"] = from_json(to_json(job.get("session", {})))[0]
    given = bare | own
    vars(module).update(given, asyncio=asyncio, __builtins__=builtins)
    sys.modules.update(skills=skills, __main__=module)
    calls.ours |= {printed.pump, wire.thread("answers", calls.receive)}
    return calls, vars(module)


def main() -> NoReturn:
    wire = Wire()
    printed = Printed(wire)
    wire.send(t="ready", python=sys.version.split()[0])
    job = wire.receive()
    if job is None:
        exit_now(HOST_GONE)
    lock_down(job["rlimits"], job["filter"])
    outputs = Outputs(job.get("output_files", 0))
    calls, namespace = install(job, wire, printed)
    last = outcome(job, namespace)
    try:
        calls.flush(idle=False)
        printed.drain()
        if paths := outputs.paths():
            wire.send(t="files", paths=paths)
        for frame in last:
            wire.send_text(frame)
    except BaseException:
        exit_now(CHANNEL_BROKEN)
    exit_now(0)


if __name__ == "__main__":
    main()
