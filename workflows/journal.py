"""The journal: every call of a task, asked once, answered once.

It owns the asyncio task behind each open call. Update handlers only read from it, so an answer lands here
whether or not anybody waits for it.
"""

import asyncio
import contextlib
from collections.abc import Iterable

from temporalio import workflow

from holdfast.contracts.base import Failure, Value
from holdfast.contracts.journal import Entry, stands
from holdfast.contracts.program import Answered, Ask, Carried, Closing, Nested, ProgramSpec, Segment, Version
from holdfast.contracts.skill import MODEL, SkillAnswer, SkillCall, SkillFacts
from workflows.agentcalls import AgentCalls
from workflows.approvals import Approvals
from workflows.budget import Purse
from workflows.clarifying import of_call, refused
from workflows.effects import Effects, NotBegun
from workflows.ownagent import denied, run_own
from workflows.questions import Questions, Unanswered, answer_of

SLEEP = "sleep"


class Journal:
    """Calls by id. `entries` holds those of this run; older ones are in saved segments, which the host knows."""

    def __init__(
        self, spec: ProgramSpec, questions: Questions, carried: Carried, purse: Purse, agents: AgentCalls
    ) -> None:
        self._spec, self._purse, self._agents = spec, purse, agents
        self._facts = {facts.name: facts for facts in (*spec.skills, SkillFacts(name=MODEL, kind="prompt"))}
        self._questions = questions
        self._effects = Effects(questions, spec, purse)
        self.approvals = Approvals(spec.task, spec.by, questions, carried.approvals)
        self.entries: dict[str, Entry] = {entry.id: entry for entry in carried.nested}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.unsaved: list[str] = []
        self.wanted: set[str] = set()
        self.given_up: set[str] = set()
        self.seen: list[int] = []
        self.seen_saved = carried.seen_saved
        self.recorded = carried.recorded
        self.spent = carried.spent
        self.calls = carried.calls
        self.changes = 0
        self.fault: BaseException | None = None
        for entry in carried.open_entries:
            self._open(entry)

    # what the host tells

    def ask(self, ask: Ask, version: Version) -> None:
        """Make sure that a call is answered or on its way. A call that stands is never begun again; one of a skill that
        the task may not use is answered with that."""
        if ask.id in self.given_up:
            return
        if ask.skill not in self._facts:
            self.refuse(ask, version, denied(ask.skill, self._spec))
            return
        entry = self.entries.get(ask.id)
        if entry and stands(entry, version.number, version.began_at, self._fact(entry.skill).max_age_seconds):
            return
        self.wanted.add(ask.id)
        self.changes += 1
        if ask.id in self.tasks:
            self._change(ask.id, state="open", version=version.number)
            return
        self.calls += 1
        self._open(self._entry(ask, version, self._spec.scope, self._fact(ask.skill)))

    def refuse(self, ask: Ask, version: Version, why: Failure, scope: str = "") -> None:
        """Record a call that is not made, with its error."""
        if ask.id in self.entries:
            return
        self.calls += 1
        facts = self._facts.get(ask.skill, SkillFacts(name=ask.skill))
        self.entries[ask.id] = self._entry(ask, version, scope or self._spec.scope, facts)
        self._record(ask.id, SkillAnswer(error=why))

    def nest(self, nested: Nested, version: Version) -> None:
        """Make sure that what the code of a running skill asks is answered or on its way."""
        one = nested.ask.id
        entry = self.entries.get(one)
        if one in self.tasks or (entry and stands(entry, version.number, version.began_at, None)):
            return
        if nested.ask.skill not in self._facts:
            self.refuse(nested.ask, version, denied(nested.ask.skill, self._spec), nested.parent)
        else:
            self._open(self._entry(nested.ask, version, nested.parent, self._fact(nested.ask.skill)))

    def is_running(self, one: str) -> bool:
        return one in self.tasks

    def of_failed_parents(self) -> list[Entry]:
        """Answers to what skills asked that failed later: when such a call is made again, they are paid for already."""
        failed = {one for one, entry in self.entries.items() if entry.state == "failed"}
        return [entry for entry in self.entries.values() if entry.scope in failed and entry.id not in self.tasks]

    def want(self, ids: Iterable[str]) -> None:
        self.wanted.update(one for one in ids if one in self.tasks)

    def drop(self, ids: Iterable[str]) -> None:
        """The program gave these up. A skill that runs is let run: it is paid for, and a mended program may ask."""
        for one in ids:
            self.given_up.add(one)
            self.wanted.discard(one)
            if one in self.tasks:
                self._change(one, state="dropped")
                if self._is_data(one) or self.approvals.is_open(one):
                    self._questions.withdraw(one)
            self.changes += 1

    def see(self, start: int, deliveries: list[int]) -> None:
        """Note deliveries from number `start` on. A message repeats those not yet acknowledged, so none is missing."""
        have = self.seen_saved + len(self.seen)
        self.seen.extend(deliveries[max(0, have - start) :])

    # what the host is told

    def has_answer(self, ids: Iterable[str]) -> bool:
        return any(one not in self.tasks and self._is_answered(one) for one in ids)

    def are_over(self, ids: Iterable[str]) -> bool:
        """Whether each of these is answered."""
        return all(one not in self.tasks and self._is_answered(one) for one in ids)

    def answers(self, ids: Iterable[str]) -> list[Answered]:
        found = [self.entries[one] for one in ids if one not in self.tasks and self._is_answered(one)]
        return [Answered.of(entry) for entry in sorted(found, key=lambda entry: entry.order)]

    def unsaved_answers(self) -> list[Answered]:
        """Answers of the program's own calls that are in no segment yet."""
        found = [self.entries[one] for one in self.unsaved if self._is_answered(one)]
        return [Answered.of(entry) for entry in found if entry.scope == self._spec.scope]

    # what the workflow asks

    def waits_long(self, slow_after: float) -> bool:
        """Whether the program waits, and only for what takes long: people, sleep, or calls open for `slow_after` s."""
        return bool(self.wanted) and all(self._is_long(one, slow_after) for one in self.wanted)

    def waits_for_people(self) -> bool:
        """Whether something is open, and all of it is a question, a sleep, or waits for a top-up."""
        return bool(self.tasks) and all(
            self._is_data(one)
            or self._questions.is_open(one)
            or self._purse.is_waiting(one)
            or (self._is_agent(one) and self._agents.asks(self.entries[one]))
            for one in self.tasks
        )

    def short_open(self) -> bool:
        return any(not self._is_long(one, float("inf")) for one in self.wanted)

    def take_segment(self, version: int, closing: Closing | None = None) -> Segment:
        """Everything not yet saved, and from now on counted as saved."""
        entries = [self.entries[one] for one in self.unsaved]
        segment = Segment(entries=entries, seen_version=version, seen=self.seen, closing=closing)
        self.seen_saved += len(self.seen)
        self.unsaved, self.seen = [], []
        return segment

    def put_back(self, segment: Segment) -> None:
        """A segment could not be saved: it counts as unsaved again."""
        self.unsaved = [*(entry.id for entry in segment.entries), *self.unsaved]
        self.seen = [*segment.seen, *self.seen]
        self.seen_saved -= len(segment.seen)

    def restart_order(self) -> None:
        """A mended program makes its own order."""
        self.seen, self.seen_saved = [], 0

    def open_entries(self) -> list[Entry]:
        return [self.entries[one] for one in self.tasks]

    def only_data_open(self) -> bool:
        """Whether each open call can be carried over continue-as-new: a question, a sleep, an approval or a top-up that
        it waits for, or an agent that runs on."""
        return all(self._is_carried(one) for one in self.tasks)

    async def settle(self, grace: float) -> None:
        """Let running calls end within the grace (a `once` call gets all of it), then cancel what is left."""
        self._questions.withdraw_all()
        for one, task in self.tasks.items():
            if self._is_data(one) or self._is_agent(one) or self._purse.is_waiting(one):
                task.cancel()
        if grace > 0 and self.tasks:
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: not self.tasks, timeout=grace)
        for task in self.tasks.values():
            task.cancel()
        await workflow.wait_condition(lambda: not self.tasks)

    def listen(self) -> None:
        """Another attempt of the box begins to ask."""
        self.wanted.clear()
        self.given_up.clear()

    def begin_nothing(self) -> None:
        """Calls that have no slot yet are forgotten: they are asked again, or nobody wants them any more."""
        self._effects.closed = True

    def begin_again(self) -> None:
        """A new box may ask."""
        self._effects.closed = False
        self.listen()

    def cancel_repeatable(self) -> None:
        for one, task in self.tasks.items():
            if self.entries[one].effect != "once":
                task.cancel()

    # inside

    def _entry(self, ask: Ask, version: Version, scope: str, facts: SkillFacts) -> Entry:
        return Entry(
            id=ask.id,
            skill=ask.skill,
            arguments=ask.arguments,
            effect=facts.effect,
            scope=scope,
            number=ask.number,
            version=version.number,
            asked_at=workflow.now().timestamp(),
        )

    def _fact(self, skill: str) -> SkillFacts:
        return self._facts[skill]

    def _is_answered(self, one: str) -> bool:
        entry = self.entries.get(one)
        return entry is not None and entry.state in ("answered", "failed")

    def _is_data(self, one: str) -> bool:
        return self._fact(self.entries[one].skill).kind == "native"

    def _is_agent(self, one: str) -> bool:
        return self._fact(self.entries[one].skill).kind == "agent"

    def _is_carried(self, one: str) -> bool:
        if self.approvals.is_open(one):
            return True
        if self._is_agent(one):
            return self._agents.is_long(self.entries[one])
        return self._is_data(one) or self._purse.is_waiting(one)

    def _is_long(self, one: str, slow_after: float) -> bool:
        entry, now = self.entries[one], workflow.now().timestamp()
        if entry.skill == SLEEP:
            return entry.asked_at + float(entry.arguments.inline["seconds"]) - now >= slow_after
        waits = self._is_data(one) or self._questions.is_open(one) or self._purse.is_waiting(one)
        if self._is_agent(one):
            return self.approvals.is_open(one) or self._agents.is_long(entry)
        return waits or now - entry.asked_at >= slow_after

    def _open(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        task = asyncio.create_task(self._answer(entry))
        self.tasks[entry.id] = task
        task.add_done_callback(lambda done: self._ended(entry.id, done))

    def _ended(self, one: str, task: asyncio.Task[None]) -> None:
        self.tasks.pop(one, None)
        if not task.cancelled() and task.exception() is not None:
            self.fault = task.exception()

    async def _answer(self, entry: Entry) -> None:
        try:
            answer = await self._answered(entry, self._fact(entry.skill))
        except NotBegun:
            del self.entries[entry.id]
            return
        self._record(entry.id, answer)

    async def _answered(self, entry: Entry, facts: SkillFacts) -> SkillAnswer:
        match facts:
            case SkillFacts(kind="native", name="ask"):
                return await self._human(entry)
            case SkillFacts(kind="native"):
                return await _slept(entry)
            case SkillFacts(name="llm"):
                return await self._effects.think(self._call(entry, facts), entry.scope)
            case SkillFacts(kind="own"):
                return await run_own(self._call(entry, facts), facts)
        call = self._call(entry, facts)
        if facts.is_watched and (why := await self.approvals.refusal(call, facts, entry.asked_at)):
            return SkillAnswer(error=why)
        if facts.kind == "agent":
            return await self._agents.answer(entry)
        return await self._effects.perform(call, facts)

    def _call(self, entry: Entry, facts: SkillFacts) -> SkillCall:
        task = self._spec.task
        return SkillCall(
            task=task,
            call_id=entry.id,
            skill=entry.skill,
            arguments=entry.arguments,
            catalogue=self._spec.catalogue,
            effect=facts.effect,
            timeout_seconds=min(facts.timeout_seconds, self._spec.limits.call_seconds or facts.timeout_seconds),
        )

    async def _human(self, entry: Entry) -> SkillAnswer:
        asked = entry.arguments.inline
        if why := refused(asked, self._spec):
            return SkillAnswer(error=why)
        self._questions.ask(of_call(entry.id, asked, entry.asked_at, self._spec.clarification))
        try:
            return SkillAnswer(value=Value(inline=answer_of(await self._questions.wait(entry.id))))
        except Unanswered as exc:
            return SkillAnswer(error=exc.failure)

    def _record(self, one: str, answer: SkillAnswer) -> None:
        self.recorded += 1
        self.changes += 1
        for usage in answer.usage if self._counts(one) else ():
            self.spent = self.spent.plus(usage)
        if answer.spent is not None:
            self.spent = self.spent.joined(answer.spent)
        dropped = self.entries[one].state == "dropped"
        change = {
            "order": self.recorded,
            "answered_at": workflow.now().timestamp(),
            "value": answer.value,
            "error": answer.error,
        }
        self._change(one, state="failed" if answer.error else "answered", **change)
        if answer.error is None and self._max_age(one) is None:
            self.approvals.forget(one)
        self.unsaved.append(one)
        self.tasks.pop(one, None)
        if not dropped:
            self.wanted.discard(one)

    def _counts(self, one: str) -> bool:
        """Whether usage that comes with an answer is news: what an agent in Python says of it counts only if nothing
        that it asked was measured."""
        facts = self._facts.get(self.entries[one].skill)
        return facts is None or facts.kind != "own" or not (self.spent.input_tokens or self.spent.output_tokens)

    def _max_age(self, one: str) -> float | None:
        facts = self._facts.get(self.entries[one].skill)
        return facts.max_age_seconds if facts else None

    def _change(self, one: str, **change: object) -> None:
        self.entries[one] = self.entries[one].model_copy(update=change)


async def _slept(entry: Entry) -> SkillAnswer:
    seconds = float(entry.arguments.inline["seconds"])
    left = entry.asked_at + seconds - workflow.now().timestamp()
    if left > 0:
        await workflow.sleep(left)
    return SkillAnswer(value=Value(inline={"slept": seconds}))
