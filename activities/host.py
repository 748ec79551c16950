"""The host of a box: turns its frames into updates, and their replies into frames.

It computes every call id itself, answers from the journal what is known, and keeps the clock of the program's
own running time. It decides nothing else: what to run and when to stop is the workflow's business.
"""

import asyncio
import io
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Protocol

from activities import ends, outputs, sessionvars
from activities.known import Known
from activities.updates import Updates
from activities.values import loaded, stored
from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue, CatalogueSkill
from holdfast.contracts.base import INLINE_ANSWER_BYTES, INLINE_ARGUMENT_BYTES, NATIVE_BYTES, Failure, Json
from holdfast.contracts.program import UPDATE_CALLS, Answered, Ask, CallsMessage, CallsReply, ProgramEnd, ProgramJob
from holdfast.errors import HoldfastError, SkillInputError, UnknownSkill, shown
from holdfast.ids import call_hash, call_id
from holdfast.names import canonical_name, listed, suggestion
from sandbox.base import ProtocolViolation

IN_FLIGHT = 8
"""Updates at once. The server allows 10; more make it refuse (notes/temporal.md, Overload)."""
BATCH = 100
REPOLL_SECONDS = 0.01
"""How long an open call waits before it is asked for again: for the guest's next calls, and for more answers."""
TIMER = -1
"""Stands for a timer among the deliveries, see `sandbox/guest.py`."""
REPORT_SECONDS = 0.2
TICK_SECONDS = 0.1
PRINTED_KEPT = 8192
UNSAVED_SEEN = 100_000
"""Deliveries that no message has carried yet: with many more, one is too large for Temporal (2 MB), for ever."""
NUMBERS = 1 << 31
LONGEST_TIMER_SECONDS = 1e9
HASHED_AT_ONCE_BYTES = 64 * 1024
"""Arguments beyond this are hashed beside the event loop: 5 MB of small lists take 11 s."""
_CALLS_KEYS = {"t", "idle", "timer", "drops", "seen", "got", "calls"}


class Frames(Protocol):
    """The channel of a box, as the host needs it."""

    async def send(self, frame: dict[str, Any]) -> None: ...
    def frames(self) -> AsyncIterator[dict[str, Any]]: ...


class Host:
    """One box's run, from `job` to its last frame."""

    def __init__(
        self,
        job: ProgramJob,
        attempt: int,
        channel: Frames,
        updates: Updates,
        known: Known,
        catalogue: Catalogue,
        blobs: BlobStore,
    ) -> None:
        self.job, self.attempt, self.limits = job, attempt, job.limits
        self.channel, self.updates, self.known = channel, updates, known
        self.catalogue, self.blobs = catalogue, blobs
        self.granted = set(job.skills)
        self.numbers: dict[str, int] = {}
        self.ids: dict[int, str] = {}
        self.occurrences: Counter[str] = Counter()
        self.new: list[Ask] = []
        self.again: list[str] = []
        self.drops: list[str] = []
        self.seen = list(known.seen)
        self.acknowledged = len(known.seen)
        self.unseen: set[int] = set()
        self.order = 0
        self.in_flight = 0
        self.idle = False
        self.timer: float | None = None
        self.wakes_at: float | None = None
        self.told_idle = False
        self.sent = 0
        self.heard = 0
        self.used: set[str] = set()
        self.asked = 0
        self.ran_seconds = 0.0
        self.busy_since: float | None = time.monotonic()
        self.printed, self.printed_bytes = io.StringIO(), 0
        self.left: list[str] = []
        self.saved: dict[str, Json] | None = None
        self.end: asyncio.Future[ProgramEnd] = asyncio.get_running_loop().create_future()
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> ProgramEnd:
        """Until the program ends, its box must go, or the stream breaks (then `end` is an EOFError)."""
        self._spawn(self._read())
        self._spawn(self._watch())
        try:
            return await self.end
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    # frames in

    async def _read(self) -> None:
        async for frame in self.channel.frames():
            match frame.get("t"):
                case "calls":
                    await self._take(_checked(frame))
                case "out":
                    self._print(str(frame.get("d", "")))
                case "files":
                    self.left = outputs.paths_of(frame)
                case "session":
                    self.saved = sessionvars.told(frame, self.saved)
                case "done" | "raised":
                    await self._finish(frame)
                    return
        self._stop(EOFError("the box's stream ended"))

    async def _take(self, frame: dict[str, Any]) -> None:
        """One `calls` frame: everything that the guest did until it went idle."""
        known: list[Answered] = []
        local: list[list[Any]] = []
        for number, skill, args, kwargs in frame["calls"]:
            try:
                await self._ask(int(number), str(skill), args, kwargs, known)
            except (HoldfastError, ValueError) as exc:
                local.append(
                    [number, 0.0, False, _payload(str(skill), Failure(type=type(exc).__name__, message=str(exc)))]
                )
        for number in frame["drops"]:
            self._drop(int(number))
        self._see(frame["seen"])
        self._rest(idle=bool(frame["idle"]) and frame.get("got") == self.sent, timer=frame.get("timer"))
        await self._answer(known, local)
        if self.new:
            self._pump()

    async def _ask(
        self, number: int, skill: str, args: list[Any], kwargs: dict[str, Any], known: list[Answered]
    ) -> None:
        self.asked += 1
        if self.asked > self.limits.max_calls:
            return self._stop(ends.too_many_calls(self.limits))
        found = self._found(skill)
        name = found.spec.name
        is_granted = name in self.granted
        # What is not granted goes to the workflow all the same: there it is refused, and recorded.
        arguments = found.bind(args, kwargs) if is_granted else {"args": args, "kwargs": kwargs}
        digest = await _digest(self.job.scope, name, arguments)
        self.occurrences[digest] += 1
        one = call_id(digest, self.occurrences[digest])
        self.numbers[one], self.ids[number] = number, one
        if one in self.known.answers:
            self.used.add(one)
            known.append(self.known.answers[one])
            return None
        native = is_granted and found.spec.kind == "native"
        if native:
            arguments = found.check_input(arguments)
        value = await stored(self.blobs, arguments, NATIVE_BYTES if native else INLINE_ARGUMENT_BYTES)
        if native and value.ref:
            raise SkillInputError(f"arguments of {name!r} have {value.size_bytes} bytes; the limit is {NATIVE_BYTES}")
        self.new.append(Ask(id=one, skill=name, arguments=value, number=number))
        return None

    def _found(self, skill: str) -> CatalogueSkill:
        name = canonical_name(skill)
        if name in self.granted or name in self.catalogue.skills or name in self.catalogue.agents:
            return self.catalogue.find(skill)
        known = listed(sorted(self.granted))
        raise UnknownSkill(f"no skill named {shown(skill)};{suggestion(name, self.granted)} known: {known}")

    def _see(self, deliveries: list[int]) -> None:
        """
        Raises:
            ProtocolViolation: among them is an answer that the guest was not given, or that it told of before.
        """
        for number in deliveries:
            if number != TIMER and number not in self.unseen:
                raise ProtocolViolation("a calls frame of the guest tells of an answer that it was not given")
            self.unseen.discard(number)
        if len(self.seen) - self.acknowledged + len(deliveries) > UNSAVED_SEEN:
            return self._stop(ends.too_many_timers(UNSAVED_SEEN))
        self.seen += deliveries
        return None

    def _drop(self, number: int) -> None:
        one = self.ids.pop(number, None)
        if one is None:
            return
        self.numbers.pop(one, None)
        self.again = [other for other in self.again if other != one]
        unsent = [ask for ask in self.new if ask.id == one]
        if unsent:
            self.new.remove(unsent[0])
        else:
            self.drops.append(one)

    def _print(self, text: str) -> None:
        self.printed_bytes += len(text.encode("utf-8", "replace"))
        if self.printed_bytes > self.limits.output_bytes:
            self._stop(ends.too_much_output(self.limits))
        self.printed.write(text)
        if self.printed_bytes > self.limits.result_bytes:
            # Too much for a result: only its end is ever told. Not cut each time before, which costs all of it.
            self.printed = _text(self.printed.getvalue()[-PRINTED_KEPT:])

    async def _finish(self, frame: dict[str, Any]) -> None:
        if frame["t"] == "raised":
            return self._stop(ends.told(frame))
        if not frame.get("has_result") and self.printed_bytes > self.limits.result_bytes:
            return self._stop(ends.printed_too_much_for_a_result(self.limits, self.printed_bytes))
        result = frame.get("result") if frame.get("has_result") else self.printed.getvalue()
        value = await stored(self.blobs, result, INLINE_ANSWER_BYTES)
        unused = sorted(set(self.known.answers) - self.used)
        end = ProgramEnd(outcome="done", value=value, unused=unused)
        if self.saved is not None and self.job.variables is not None:
            end = end.model_copy(update={"variables": await stored(self.blobs, self.saved, INLINE_ANSWER_BYTES)})
        self._stop(end)
        return None

    # running time

    def _rest(self, *, idle: bool, timer: float | None) -> None:
        # Only waiting for skills is free. With a timer alone, none of its time would be counted while it has its box.
        idle = idle and bool(self.numbers)
        self.idle, self.timer, self.told_idle = idle, timer, False
        self.wakes_at = None if timer is None else time.monotonic() + timer
        if not idle:
            self._work()
        if idle and self.busy_since is not None:
            self.ran_seconds += time.monotonic() - self.busy_since
            self.busy_since = None
        if idle and not self.new:
            self._spawn(self._report(self.order))

    def _work(self) -> None:
        self.idle = False
        if self.busy_since is None:
            self.busy_since = time.monotonic()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.idle and self.wakes_at is not None and time.monotonic() > self.wakes_at:
                self._work()
            running = 0.0 if self.busy_since is None else time.monotonic() - self.busy_since
            if self.ran_seconds + running > self.limits.run_seconds:
                self._stop(ends.overtime(self.limits, self.asked))

    # updates out, answers in

    async def _answer(self, answers: list[Answered], local: list[list[Any]] | None = None) -> None:
        rows = list(local or [])
        for one in sorted(answers, key=lambda answer: answer.order):
            number = self.numbers.pop(one.id, None)
            if number is None:
                continue
            if one.error is not None:
                rows.append([number, one.at, False, _payload("", one.error)])
            else:
                rows.append([number, one.at, True, await loaded(self.blobs, one.value)])
        if rows:
            self.sent += len(rows)
            self.unseen.update(row[0] for row in rows)
            self._work()
            await self.channel.send({"t": "answers", "answers": rows})

    def _pump(self) -> None:
        """Send what is due: new calls, and those that are still open, at most `IN_FLIGHT` updates at once."""
        while (self.new or self.again) and self.in_flight < IN_FLIGHT and not self.end.done():
            asks, self.new = self.new[:BATCH], self.new[BATCH:]
            room = BATCH - len(asks)
            again, self.again = self.again[:room], self.again[room:]
            self._spawn(self._send(asks, again))

    async def _report(self, order: int) -> None:
        """Tell an idleness that no message has carried yet, if it lasts."""
        await asyncio.sleep(REPORT_SECONDS)
        if self.idle and not self.told_idle and self.numbers and order == self.order:
            await self._send([], [])

    async def _send(self, asks: list[Ask], again: list[str]) -> None:
        self.in_flight += 1
        try:
            message, update_id = self._message(asks, again), f"{self.job.generation}.{self.attempt}.{self.order}"
            reply = await self.updates.send(UPDATE_CALLS, message, update_id, CallsReply)
        finally:
            self.in_flight -= 1
        self.acknowledged = max(self.acknowledged, message.seen_from + len(message.seen))
        if reply.park is not None:
            return self._stop(ProgramEnd(outcome="suspended", park=reply.park))
        self.heard += len(reply.answers)
        answered = {one.id for one in reply.answers}
        asked = [*(ask.id for ask in asks), *again]
        self.again += [one for one in asked if one not in answered and one in self.numbers]
        await self._answer(reply.answers)
        if reply.answers and self.idle:
            self._rest(idle=True, timer=self.timer)
        if self.new:
            self._pump()
        elif self.again:
            asyncio.get_running_loop().call_later(REPOLL_SECONDS, self._pump)
        return None

    def _message(self, asks: list[Ask], again: list[str]) -> CallsMessage:
        self.order += 1
        drops, self.drops = self.drops, []
        fields: dict[str, Any] = {"generation": self.job.generation, "attempt": self.attempt, "order": self.order}
        parts: dict[str, Any] = {"asks": asks, "again": again, "drops": drops}
        parts["seen"] = self.seen[self.acknowledged :]
        parts["heard"] = self.heard or None
        if self.idle:
            self.told_idle = True
            parts |= {"idle": True, "timer_seconds": self.timer}
        kept = {name: value for name, value in parts.items() if value not in (None, [])}
        if "seen" in kept:
            kept["seen_from"] = self.acknowledged
        return CallsMessage(**fields, **kept)

    # ends

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._stop(exc)

    def _stop(self, how: ProgramEnd | BaseException) -> None:
        if self.end.done():
            return
        if isinstance(how, BaseException):
            self.end.set_exception(how)
        else:
            self.end.set_result(self.counted(how))

    def counted(self, end: ProgramEnd) -> ProgramEnd:
        """An end with the figures of this run."""
        running = 0.0 if self.busy_since is None else time.monotonic() - self.busy_since
        return end.model_copy(
            update={
                "stdout": self.printed.getvalue()[-PRINTED_KEPT:],
                "attempt": self.attempt,
                "answered_from_journal": len(self.used),
                "asked": self.asked,
                "seen": self.seen[self.acknowledged :],
                "seen_from": self.acknowledged,
                "run_seconds": round(self.ran_seconds + running, 3),
            }
        )


async def _digest(scope: str, skill: str, arguments: dict[str, Any]) -> str:
    if len(json.dumps(arguments)) <= HASHED_AT_ONCE_BYTES:
        return call_hash(scope, skill, arguments)
    return await asyncio.to_thread(call_hash, scope, skill, arguments)


def _checked(frame: dict[str, Any]) -> dict[str, Any]:
    """
    Raises:
        ProtocolViolation: a `calls` frame that no guest of ours would send.
    """
    calls, timer = frame.get("calls"), frame.get("timer")
    numbers = [*_numbers(frame.get("drops")), *_numbers(frame.get("seen"))]
    fits = isinstance(calls, list) and all(_is_call(call) for call in calls)
    if (
        frame.keys() != _CALLS_KEYS
        or not fits
        or not all(type(one) is int and abs(one) < NUMBERS for one in numbers)
        or not (timer is None or (type(timer) in (int, float) and 0 <= timer <= LONGEST_TIMER_SECONDS))
    ):
        raise ProtocolViolation("a calls frame of the guest has the wrong shape")
    return frame


def _numbers(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [None]


def _is_call(call: Any) -> bool:
    match call:
        case [int(number), str(), list(), dict()]:
            return type(number) is int and 0 <= number < NUMBERS
    return False


def _text(beginning: str) -> io.StringIO:
    text = io.StringIO()
    text.write(beginning)
    return text


def _payload(skill: str, error: Failure) -> dict[str, Any]:
    return {"message": error.message, "skill": skill, "type": error.type, "details": error.details}
