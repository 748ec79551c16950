"""The part inside the box: runs one program, standard library only.

Frames go out on the old stdout and come in on the old stdin (see sandbox/channel.py). The program sees an
ordinary CPython with a `skills` module; each skill call leaves as a frame and comes back as an answer.

A run is a function of (source, seed, clock, deliveries). A delivery is an answer or a timer, handed out one at
a time and only when nothing else can run; `job["seen"]` replays those of an earlier run in their old order.
"""

import ast
import asyncio
import codecs
import collections
import contextlib
import ctypes
import datetime
import inspect
import itertools
import json
import linecache
import math
import os
import random
import re
import resource
import select
import selectors
import sys
import threading
import time
import traceback
import types
import uuid

MARK = b"\x1eHF1"
PIECE = 60_000
TIMER = -1
SPINS = 200
SPUN = 0.001
NAME = "<program>"
REAL = types.SimpleNamespace(monotonic=time.monotonic, sleep=time.sleep, datetime=datetime.datetime)


class SkillError(Exception):
    """A skill answered with an error. Attributes: skill, type, message, details."""

    def __init__(self, message="", skill="", type="SkillFailed", details=None):
        super().__init__(message)
        self.message, self.skill, self.type, self.details = message, skill, type, details or {}


# --- the wire -------------------------------------------------------------------------------------------------


class Wire:
    """Frames over two private descriptors. Printing cannot reach them by accident."""

    def __init__(self):
        self.fd_in, self.fd_out = os.dup(0), os.dup(1)
        self.lock = threading.Lock()
        self.buffer = b""
        self.pieces = []
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)

    def send(self, **frame):
        text = json.dumps(frame, allow_nan=False).encode("ascii")
        with self.lock:
            while len(text) > PIECE:
                self._write(MARK + b"+ " + text[:PIECE] + b"\n")
                text = text[PIECE:]
            self._write(MARK + b" " + text + b"\n")

    def _write(self, data):
        while data:
            data = data[os.write(self.fd_out, data) :]

    def receive(self):
        """The next frame, or None when the host is gone."""
        while True:
            line, newline, rest = self.buffer.partition(b"\n")
            if newline:
                self.buffer = rest
                frame = self._line(line)
                if frame is not None:
                    return frame
                continue
            data = os.read(self.fd_in, 1 << 20)
            if not data:
                return None
            self.buffer += data

    def _line(self, line):
        if line.startswith(MARK + b"+ "):
            self.pieces.append(line[len(MARK) + 2 :])
            return None
        if not line.startswith(MARK + b" "):
            return None
        text = b"".join([*self.pieces, line[len(MARK) + 1 :]])
        self.pieces.clear()
        return json.loads(text)


class Printed:
    """Descriptors 1 and 2 of the program: a pipe whose content leaves as `out` frames."""

    def __init__(self, wire):
        self.wire = wire
        read, write = os.pipe()
        os.dup2(write, 1)
        os.dup2(write, 2)
        os.close(write)
        self.pump = threading.Thread(target=self._pump, args=(read,), daemon=True, name="printed")
        self.pump.start()

    def _pump(self, read):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := os.read(read, 1 << 16):
            self.wire.send(t="out", d=decoder.decode(data))

    def drain(self):
        """Everything printed so far has left when this returns, or a second has passed."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        self.pump.join(1.0)


# --- one clock for everything -----------------------------------------------------------------------------------


class Clock:
    """Virtual time in ns. It moves to each answer's time and past each timer; a look at it costs 1 µs.

    A look, not running time: what a re-run computes must not depend on how fast this machine is.
    """

    def __init__(self, started_at):
        self.start = self.now = int(started_at * 1e9)

    def look(self):
        self.now += 1000
        return self.now

    def move_to(self, seconds):
        self.now = max(self.now, int(seconds * 1e9))

    def pass_by(self, seconds):
        self.now += max(0, math.ceil(seconds * 1e9))

    def since_start(self):
        return (self.now - self.start) / 1e9


class Met(type):
    def __instancecheck__(cls, other):
        return isinstance(other, REAL.datetime)

    def __subclasscheck__(cls, other):
        return issubclass(other, REAL.datetime)


def install_clock(clock, sleep):
    """Put the virtual clock behind `time` and `datetime`. threading and queue keep the real one."""
    base = time.monotonic()
    time.time = lambda: clock.look() / 1e9
    time.time_ns = clock.look
    time.monotonic = time.perf_counter = lambda: base + (clock.look() - clock.start) / 1e9
    time.monotonic_ns = time.perf_counter_ns = lambda: int(base * 1e9) + clock.look() - clock.start
    for name in ("localtime", "gmtime", "ctime"):
        real = getattr(time, name)
        setattr(time, name, lambda seconds=None, real=real: real(time.time() if seconds is None else seconds))
    strftime, asctime = time.strftime, time.asctime
    time.strftime = lambda form, moment=None: strftime(form, moment or time.localtime())
    time.asctime = lambda moment=None: asctime(moment or time.localtime())
    time.sleep = sleep

    class Datetime(REAL.datetime, metaclass=Met):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls):
            return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls):
            return cls.now()

    Datetime.__name__ = Datetime.__qualname__ = "datetime"
    Datetime.__module__ = "datetime"
    datetime.datetime = Datetime


def install_chance(seed):
    """Derive every source of chance from the seed: random, uuid, os.urandom, secrets."""
    source = random.Random(seed)

    class Random(random.Random):
        def seed(self, a=None, version=2):
            super().seed(source.getrandbits(64) if a is None else a, version)

    def reseed(a=None, version=2):
        shared.seed(source.getrandbits(64) if a is None else a, version)

    def urandom(size):
        return source.randbytes(size)

    shared = random._inst
    shared.seed(seed)
    random.seed, random.Random = reseed, Random
    os.urandom = random._urandom = urandom
    uuid.uuid4 = lambda: uuid.UUID(bytes=urandom(16), version=4)
    uuid.uuid1 = lambda node=None, clock_seq=None: uuid.UUID(bytes=urandom(16), version=1)


# --- calls ------------------------------------------------------------------------------------------------------


class Waiting:
    """One open call: a future of the loop, or a blocked thread."""

    def __init__(self, number, future=None):
        self.number, self.future = number, future
        self.ready = threading.Event() if future is None else None
        self.answer = None


class Calls:
    """All calls of this run, the deliveries so far, and the rule for what is delivered next."""

    def __init__(self, wire, job, clock):
        self.wire, self.job, self.clock = wire, job, clock
        self.script = collections.deque(job["seen"])
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        self.asked = -1
        self.open = {}
        self.fresh, self.drops, self.seen = [], [], []
        self.inbox = collections.OrderedDict()
        self.got = 0
        self.wake_in, self.wake_out = os.pipe()
        os.set_blocking(self.wake_in, False)
        self.live_from = REAL.monotonic()
        self.resumed = job["resumed"]
        self.blocked = set()
        self.told_idle = True
        self.main = threading.main_thread()

    # asking

    def ask(self, skill, args, kwargs, future=None):
        try:
            json.dumps([args, kwargs], allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            raise TypeError(f"arguments of skill {skill!r} are not JSON: {exc}") from None
        with self.lock:
            waiting = Waiting(next(self.numbers), future)
            self.asked = waiting.number
            self.open[waiting.number] = waiting
            self.fresh.append([waiting.number, skill, list(args), kwargs])
        return waiting

    def flush(self, idle, timer=None):
        """Send what is new since the last frame; nothing, if nothing is."""
        with self.lock:
            if not idle and not (self.fresh or self.drops or self.seen):
                return
            frame = {"calls": self.fresh, "drops": self.drops, "seen": self.seen, "got": self.got}
            self.fresh, self.drops, self.seen = [], [], []
            self.told_idle = idle
            self.wire.send(t="calls", idle=idle, timer=timer, **frame)

    async def call(self, skill, args, kwargs):
        waiting = self.ask(skill, args, kwargs, asyncio.get_running_loop().create_future())
        try:
            return await waiting.future
        except asyncio.CancelledError:
            self.drop(waiting)
            raise

    def drop(self, waiting):
        with self.lock:
            if self.open.pop(waiting.number, None):
                self.inbox.pop(waiting.number, None)
                self.drops.append(waiting.number)

    def call_blocking(self, skill, args, kwargs):
        """Ask and wait in this thread. The main thread of a plain script is idle meanwhile."""
        waiting = self.ask(skill, args, kwargs)
        me = threading.current_thread()
        self.blocked.add(me)
        try:
            self.flush(idle=self.all_blocked())
            waiting.ready.wait()
        finally:
            self.blocked.discard(me)
        return self.delivered(waiting)

    def all_blocked(self):
        """Whether every thread of the program waits: in a call, or for another thread."""
        frames = sys._current_frames()
        for thread in threading.enumerate():
            if thread in self.blocked or thread.name in ("printed", "answers"):
                continue
            frame = frames.get(thread.ident)
            if frame is None or not re.search(
                r"(threading|queue|concurrent/futures/\w+)\.py$", frame.f_code.co_filename
            ):
                return False
        return True

    # delivering

    def receive(self):
        """Body of the thread `answers`: takes frames from the host for as long as there is one."""
        while True:
            if not self.wire.buffer and not select.select([self.wire.fd_in], [], [], 0.25)[0]:
                if self.blocked and not self.told_idle and self.all_blocked():
                    self.flush(idle=True)
                continue
            frame = self.wire.receive()
            if frame is None:
                os._exit(86)
            if frame["t"] == "answers":
                self.take(frame["answers"])

    def take(self, answers):
        with self.lock:
            self.got += len(answers)
            for number, *answer in answers:
                waiting = self.open.get(number)
                if waiting is None:
                    continue
                waiting.answer = answer
                if waiting.future is None:
                    del self.open[number]
                    waiting.ready.set()
                else:
                    self.inbox[number] = waiting
        os.write(self.wake_out, b".")

    def delivered(self, waiting):
        """Note the delivery, move the clock, and give the value or raise the error."""
        at, ok, payload = waiting.answer
        self.clock.move_to(at)
        with self.lock:
            if self.script:
                self.script.popleft()
            self.seen.append(waiting.number)
        if ok:
            return payload
        raise SkillError(**payload)

    def deliver(self, number):
        with self.lock:
            waiting = self.inbox.pop(number)
            self.open.pop(number, None)
        if waiting.future.done():
            return
        try:
            waiting.future.set_result(self.delivered(waiting))
        except SkillError as exc:
            waiting.future.set_exception(exc)

    def fire(self, timeout):
        with self.lock:
            if self.script:
                self.script.popleft()
            self.seen.append(TIMER)
        self.clock.pass_by(timeout)

    def idle(self, timeout, ready):
        """Nothing can run: hand out one delivery, or return the descriptors that became ready."""
        while self.script:
            what = self.script[0]
            if what == TIMER:
                if timeout is None:
                    self.script.clear()
                    break
                self.fire(timeout or SPUN)
                return []
            if what in self.inbox:
                self.deliver(what)
                return []
            if what <= self.asked and what not in self.open:
                self.script.clear()
                break
            self.flush(idle=what <= self.asked)
            if found := self.wait(None, ready):
                return found
        return self.idle_live(timeout, ready)

    def idle_live(self, timeout, ready):
        late = 0.0
        if self.resumed:
            self.resumed = False
            late = max(0.0, self.job["live_now"] + REAL.monotonic() - self.live_from - self.clock.now / 1e9)
        if timeout == 0:
            return self.spun(ready)
        due = None if timeout is None else REAL.monotonic() + timeout - late
        while True:
            number = next(iter(self.inbox), None)
            expired = due is not None and REAL.monotonic() >= due
            if number is not None and not (expired and self.answered_after(number, timeout)):
                self.deliver(number)
                return []
            if expired:
                self.fire(timeout)
                return []
            left = None if due is None else max(0.0, due - REAL.monotonic())
            self.flush(idle=True, timer=left)
            if found := self.wait(left, ready):
                return found

    def spun(self, ready):
        """The loop turns without end (`while not done: await asyncio.sleep(0)`): time must pass, answers arrive."""
        self.flush(idle=False)
        if found := self.wait(SPUN, ready):
            return found
        if self.inbox:
            self.deliver(next(iter(self.inbox)))
        else:
            self.fire(SPUN)
        return []

    def answered_after(self, number, timeout):
        return self.inbox[number].answer[0] > self.clock.now / 1e9 + timeout

    def wait(self, seconds, ready):
        """Until an answer, a descriptor of the loop, or time. Returns what became ready in the loop."""
        found = ready(seconds, self.wake_in)
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_in, 65536)
        return found

    # sleeping

    def sleep_blocking(self, seconds):
        if threading.current_thread() is not self.main:
            return REAL.sleep(seconds)
        if seconds > self.job["park_after"] and not in_loop():
            self.call_blocking("sleep", [], {"seconds": seconds})
            return None
        if not self.script:
            REAL.sleep(seconds)
        self.clock.pass_by(seconds)
        return None

    def sleep_async(self, real):
        async def sleep(delay, result=None):
            if delay > self.job["park_after"]:
                await self.call("sleep", [], {"seconds": delay})
                return result
            return await real(delay, result)

        return sleep


class Selector(selectors.SelectSelector):
    """Sees when the loop has nothing to do: that is where idleness, timers and deliveries come from."""

    def __init__(self, calls):
        super().__init__()
        self.calls, self.spins = calls, 0

    def select(self, timeout=None):
        found = super().select(0)
        if found:
            return found
        if timeout is not None and timeout <= 0:
            self.spins += 1
            if self.spins < SPINS:
                return found
        self.spins = 0
        return self.calls.idle(None if timeout is None else max(0.0, timeout), self.ready)

    def ready(self, seconds=0, extra=None):
        readers = [*self._readers, *([] if extra is None else [extra])]
        select.select(readers, list(self._writers), [], seconds)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self, calls):
        self._clock = calls.clock
        super().__init__(Selector(calls))
        self._clock_resolution = 1e-6

    def time(self):
        return self._clock.since_start()


def in_loop():
    return asyncio._get_running_loop() is not None


# --- what the program sees ----------------------------------------------------------------------------------------


class Skills(types.ModuleType):
    """`skills.name(...)`: awaitable inside a running loop, blocking anywhere else."""

    def __init__(self, calls):
        super().__init__("skills", "The skills of this task.")
        self.__dict__.update(_calls=calls, SkillError=SkillError, __path__=[])

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def skill(*args, **kwargs):
            return self._call(name, args, kwargs)

        skill.__name__ = skill.__qualname__ = name
        return skill

    def _call(self, name, args, kwargs):
        if in_loop():
            return self._calls.call(name, args, kwargs)
        return self._calls.call_blocking(name, args, kwargs)


class Execution:
    """What `executor.execute` gives: success, output, error, execution_time (virtual seconds)."""

    def __init__(self, output, error, execution_time):
        self.success, self.output, self.error = error is None, output, error
        self.execution_time = execution_time

    def __repr__(self):
        return f"Execution(success={self.success}, output={self.output!r}, error={self.error!r})"


class Executor:
    """The call form of the Motia agent system (M-09, M-10), over the same journal."""

    def __init__(self, skills, clock):
        self._skills, self._clock = skills, clock

    def execute(self, skill_name, input_data=None):
        if in_loop():
            return self._execute(skill_name, input_data)
        return self._settled(lambda: self._skills._call(skill_name, (), input_data or {}))

    def execute_batch(self, requests):
        if in_loop():
            return self._gather(requests)
        return [self.execute(item["skill_name"], item.get("input_data")) for item in requests]

    async def _gather(self, requests):
        return await asyncio.gather(*(self._execute(item["skill_name"], item.get("input_data")) for item in requests))

    async def _execute(self, skill_name, input_data):
        began = self._clock.now
        try:
            output = await self._skills._call(skill_name, (), input_data or {})
        except SkillError as exc:
            return Execution(None, exc.message, (self._clock.now - began) / 1e9)
        return Execution(output, None, (self._clock.now - began) / 1e9)

    def _settled(self, call):
        began = self._clock.now
        try:
            return Execution(call(), None, (self._clock.now - began) / 1e9)
        except SkillError as exc:
            return Execution(None, exc.message, (self._clock.now - began) / 1e9)


# --- running ------------------------------------------------------------------------------------------------------


class Entry(ast.NodeTransformer):
    """Keeps what `main` returns, and lets `asyncio.run` stand beside a top-level `await`."""

    def __init__(self, awaits):
        self.awaits, self.runs_main = awaits, False

    def visit_FunctionDef(self, node):
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = visit_FunctionDef

    def visit_Expr(self, node):
        self.generic_visit(node)
        if not re.fullmatch(r"(await )?(asyncio\.run\()?main\(.*\)", ast.unparse(node.value), re.DOTALL):
            return node
        self.runs_main = True
        target = ast.Name("__main_result__", ast.Store())
        return ast.fix_missing_locations(ast.copy_location(ast.Assign([target], node.value), node))

    def visit_Call(self, node):
        self.generic_visit(node)
        if self.awaits and ast.unparse(node.func) == "asyncio.run" and node.args:
            return ast.copy_location(ast.Await(node.args[0]), node)
        return node


FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def prepare(source, first_line):
    tree = compile(source, NAME, "exec", FLAGS | ast.PyCF_ONLY_AST)
    ast.increment_lineno(tree, first_line - 1)
    awaits = bool(compile(tree, NAME, "exec", FLAGS).co_flags & inspect.CO_COROUTINE)
    entry = Entry(awaits)
    tree = ast.fix_missing_locations(entry.visit(tree))
    return compile(tree, NAME, "exec", FLAGS), awaits, entry.runs_main


def execute(job, namespace):
    """Run the program and return its result, or `...` if it leaves none."""
    code, awaits, runs_main = prepare(job["source"], job["first_line"])
    if awaits:
        asyncio.run(eval(code, namespace))
    else:
        exec(code, namespace)
    if "result" in namespace:
        return namespace["result"]
    main = namespace.get("main")
    if not runs_main and callable(main) and not inspect.isclass(main):
        value = main()
        namespace["__main_result__"] = asyncio.run(value) if inspect.iscoroutine(value) else value
    value = namespace.get("__main_result__")
    return ... if value is None else value


def explain(exc):
    """What went wrong as text for people and models: the program's own lines only."""
    rows, line = [], None
    for frame in traceback.extract_tb(exc.__traceback__):
        if frame.filename == NAME:
            line = frame.lineno
            rows.append(f"  line {frame.lineno}, in {frame.name}: {(frame.line or '').strip()}")
    if isinstance(exc, SyntaxError) and exc.filename == NAME:
        line = exc.lineno
        rows.append(f"  line {exc.lineno}, column {exc.offset}: {(exc.text or '').strip()}")
    said = "".join(traceback.format_exception_only(type(exc), exc)).strip()
    for inner in getattr(exc, "exceptions", ()):
        said += "\n  | " + explain(inner)["message"].replace("\n", "\n  | ")
    text = "\n".join(["Traceback (lines of the program):", *rows[-20:], said[-4000:]]) if rows else said[-4000:]
    return {"type": type(exc).__name__, "message": text, "line": line}


def outcome(job, namespace):
    """The last frame of this run."""
    try:
        value = execute(job, namespace)
    except SystemExit as exc:
        if exc.code not in (None, 0):
            return {"t": "raised", **explain(exc), "message": f"the program called sys.exit({exc.code!r})"}
        value = namespace.get("result", ...)
    except BaseException as exc:
        return {"t": "raised", **explain(exc)}
    if value is ...:
        return {"t": "done", "has_result": False}
    return finished(value, job["result_bytes"])


def finished(value, limit):
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as exc:
        return refused(
            "ResultNotJson",
            f"the result is not JSON: {exc}. Leave dicts, lists, strings, numbers, booleans or None in `result`",
        )
    if size > limit:
        return refused(
            "ResultTooLarge",
            f"the result has {size} bytes of JSON; the limit is {limit}. Write large output with a skill, and leave a summary in `result`",
        )
    return {"t": "done", "has_result": True, "result": value}


def refused(kind, message):
    return {"t": "raised", "type": kind, "message": message, "line": None}


def lock_down(rlimits, program_filter):
    """Limits first, then no new privileges, then the filter: no exec, no fork, threads only."""
    for name, value in rlimits.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))
    if not program_filter:
        return
    libc = ctypes.CDLL(None, use_errno=True)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    code = bytes.fromhex(program_filter)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, code)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp filter refused")


def main():
    wire = Wire()
    printed = Printed(wire)
    wire.send(t="ready", python=sys.version.split()[0])
    job = wire.receive()
    if job is None:
        os._exit(86)
    lock_down(job["rlimits"], job["filter"])
    clock = Clock(job["now"])
    calls = Calls(wire, job, clock)
    skills = Skills(calls)
    install_clock(clock, calls.sleep_blocking)
    install_chance(job["seed"])
    asyncio.sleep = asyncio.tasks.sleep = calls.sleep_async(asyncio.sleep)
    asyncio.new_event_loop = asyncio.events.new_event_loop = lambda: Loop(calls)
    linecache.cache[NAME] = (len(job["source"]), None, shifted(job["source"], job["first_line"]), NAME)
    module = types.ModuleType("__main__")
    given = {"skills": skills, "executor": Executor(skills, clock), "SkillError": SkillError}
    module.__dict__.update(given, inputs=job["inputs"], asyncio=asyncio, __builtins__=__builtins__)
    sys.modules.update(skills=skills, __main__=module)
    threading.Thread(target=calls.receive, daemon=True, name="answers").start()
    last = outcome(job, module.__dict__)
    calls.flush(idle=False)
    printed.drain()
    wire.send(**last)
    os._exit(0)


def shifted(source, first_line):
    lines = source.splitlines(keepends=True)
    return lines[1 - first_line :] if first_line < 1 else lines


if __name__ == "__main__":
    main()
