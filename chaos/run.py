"""One run: tasks of the mix all the time, faults in between, and the verdict when all tasks are over."""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError
from temporalio.worker import Replayer

from chaos import judge, table
from chaos.evidence import Evidence, evidence
from chaos.faults import WEIGHTS, Strike, faults
from chaos.judge import Facts, Played
from chaos.model import Model
from chaos.scenario import Hands, Scenario
from chaos.scenarios import all_of_them
from chaos.world import World, begun, folder
from holdfast.client.asynchronous import AsyncClient
from holdfast.config import Settings
from holdfast.errors import HoldfastError, UserError
from holdfast.temporal.connect import converter
from workflows.ours import OURS

T = TypeVar("T")

_MODEL = "model"
_STILL_S = 90.0
"""After the last fault: when nothing has begun or ended for so long, what is not over will never be."""
_NONE = "none"


@dataclass(frozen=True)
class Options:
    """What a run does. `kills` None: as many as come in `seconds`."""

    seconds: float
    seed: int
    kills: int | None = None
    scenarios: Sequence[str] = ()
    kinds: Sequence[str] = ()
    tasks: int = 5
    workers: int = 2
    json: Path | None = None


def known_faults() -> list[str]:
    return [*faults(), _MODEL, _NONE]


async def run(settings: Settings, options: Options, say: Callable[[str], None]) -> bool:
    """Whether every promise held.

    Raises:
        UserError: a scenario or fault is not known.
    """
    mix = _chosen(all_of_them(), options.scenarios, "scenario")
    kinds = _chosen({name: name for name in known_faults()}, options.kinds, "fault")
    root = settings.home / "chaos" / str(options.seed)
    with folder(root, small_disk="store" in kinds) as has_disk:
        missing = [] if has_disk or "store" not in kinds else ["store"]
        rate = 0.25 if _MODEL in kinds else 0.0
        with Model({name: one.replies for name, one in mix.items()}, options.seed, rate) as model:
            world = World(root, settings, model, options.workers, say)
            run = Run(world, options, mix, [name for name in kinds if name not in (*missing, _MODEL, _NONE)])
            facts = await run.whole()
            promises = judge.judge(facts)
            table.show(facts, promises, model, missing, options.seed)
            if options.json:
                options.json.write_text(json.dumps(judge.as_json(facts, promises), indent=1), "utf-8")
    return all(promise.holds for promise in promises)


def _chosen(known: dict[str, T], wanted: Sequence[str], what: str) -> dict[str, T]:
    for name in wanted:
        if name not in known:
            raise UserError(f"no {what} {name!r}; known: {', '.join(known)}")
    return {name: known[name] for name in wanted} if wanted else known


@dataclass
class Run:
    """A world, and what was done to it."""

    world: World
    options: Options
    mix: dict[str, Scenario]
    kinds: list[str]
    played: list[Played] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)
    over: bool = False

    async def whole(self) -> Facts:
        async with begun(self.world):
            self.world.stack.say(f"running: {', '.join(self.mix)}; faults: {', '.join(self.kinds) or 'none'}")
            async with AsyncClient(self.world.settings.url, "") as client:
                await self._play(client)
            lines, found = self.world.lines(), await self._evidence()
        diverged = await _replayed(found, self.world.root / "kept")
        asked = list(self.world.model.asked)
        left = await asyncio.to_thread(_settled, self.world)
        return Facts(self.played, self.strikes, lines, asked, found, left, diverged)

    async def _play(self, client: AsyncClient) -> None:
        names = self._names()
        lanes = [asyncio.create_task(self._lane(client, names)) for _ in range(self.options.tasks)]
        try:
            await self._strike()
            self.over = True
            await self._ended(lanes)
        finally:
            for lane in lanes:
                lane.cancel()
            found = await asyncio.gather(*lanes, return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, asyncio.CancelledError):
                raise one

    async def _ended(self, lanes: list["asyncio.Task[None]"]) -> None:
        """Until all tasks are over, or nothing moves any more."""
        before, now = (-1, -1), (0, 0)
        while before != now and (await asyncio.wait(lanes, timeout=_STILL_S))[1]:
            before, now = now, (self.world.noted(), sum(bool(one.state or one.error) for one in self.played))

    def _names(self) -> "itertools.chain[str]":
        """Scenarios in an order of chance, each as often as the others."""
        chance = random.Random(f"{self.options.seed} tasks")  # noqa: S311 - replayable
        names = sorted(self.mix)
        return itertools.chain.from_iterable(chance.sample(names, len(names)) for _ in itertools.count())

    async def _lane(self, client: AsyncClient, names: "itertools.chain[str]") -> None:
        """One task after the other, until no more are wanted."""
        while not self.over or not self.played:
            name = self._wished() or next(names)
            one = Played(f"{self.options.seed}.{name}-{len(self.played)}", self.mix[name])
            self.played.append(one)
            await self._task(client, one)

    def _wished(self) -> str:
        """A scenario that a fault waits for."""
        while self.world.wishes:
            if (name := self.world.wishes.pop(0)) in self.mix:
                return name
        return ""

    async def _task(self, client: AsyncClient, one: Played) -> None:
        hands = Hands(client, one.key, random.Random(one.key))  # noqa: S311 - replayable
        one.tasks, one.workflows = hands.tasks, hands.workflows
        try:
            await self._by_hand(hands, one)
        except HoldfastError as exc:
            one.error = f"{type(exc).__name__}: {exc}"

    async def _by_hand(self, hands: Hands, one: Played) -> None:
        if one.scenario.play is not None:
            one.output = await one.scenario.play(hands)
            one.state = one.scenario.state
            return
        await hands.send(one.scenario.request(one.key))
        await one.scenario.drive(hands)
        task = await hands.over(one.task)
        one.state, one.output, one.error = task.state, task.output, task.error or ""

    async def _strike(self) -> None:
        """Each fault once, then by chance, when what the last one broke serves again; to the end of time or kills."""
        chance, known = random.Random(f"{self.options.seed} faults"), faults()  # noqa: S311 - replayable
        end = time.monotonic() + self.options.seconds
        weights, first = [WEIGHTS[kind] for kind in self.kinds], chance.sample(self.kinds, len(self.kinds))
        while time.monotonic() < end and not self._has_enough():
            await asyncio.sleep(chance.uniform(0.3, 1.8))
            if not self.kinds or not await self._is_ready():
                continue
            flying = [one.task for one in self.played if one.task and not one.state and not one.error]
            kind = first[0] if first else chance.choices(self.kinds, weights)[0]
            if (strike := await known[kind](self.world, chance, flying)) is not None:
                self.strikes.append(strike)
                first = first[1:]

    def _has_enough(self) -> bool:
        kills = self.options.kills
        return kills is not None and sum(strike.is_kill for strike in self.strikes) >= kills

    async def _is_ready(self) -> bool:
        return bool(self.world.up()) and await self.world.serves()

    async def _evidence(self) -> dict[str, Evidence]:
        client = await self.world.temporal()
        found = {}
        for one in self.played:
            if one.task:
                found[one.task] = await _patiently(client, one)
        return found


async def _patiently(client: Client, one: Played) -> Evidence:
    """The server may have come back a moment ago."""
    for _ in range(20):
        with contextlib.suppress(RPCError):
            return await evidence(client, one.tasks, one.workflows)
        await asyncio.sleep(0.5)
    return await evidence(client, one.tasks, one.workflows)


def _settled(world: World) -> list[str]:
    """What is left of the world once it had a moment to go."""
    deadline = time.monotonic() + 5
    while (left := world.leftovers()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


async def _replayed(found: dict[str, Evidence], kept: Path) -> list[str]:
    """Histories that the workflows of this code do not replay, and why. They are kept as files."""
    replayer = Replayer(workflows=OURS, data_converter=converter())
    wrong: list[str] = []
    for one in found.values():
        for name, events in one.histories:
            history = WorkflowHistory(name, events)
            result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            if result.replay_failure is not None:
                kept.mkdir(exist_ok=True)
                (kept / f"history-{len(wrong) + 1}.json").write_text(history.to_json(), "utf-8")
                wrong.append(f"{name}: {str(result.replay_failure)[:200]}")
    return wrong
