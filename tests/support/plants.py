"""holdfast with one thing broken on purpose, to see whether chaos finds it. Product code knows nothing of this.

    HOLDFAST_TEST_PLANT=once python -m tests.support.plants chaos --seed 1 --scenario once --faults worker

The command and all processes that it starts are this module: each breaks the one thing, then is `holdfast`.
"""

import asyncio
import os
import random
from collections.abc import Callable
from typing import Any

PLANTS: dict[str, Callable[[], None]] = {}


def plant(apply: Callable[[], None]) -> Callable[[], None]:
    PLANTS[apply.__name__] = apply
    return apply


@plant
def journal() -> None:
    """The journal is not consulted when an attempt begins again: what was answered is forgotten."""
    from workflows.journal import Journal

    listen = Journal.listen

    def forgetful(self: Journal) -> None:
        listen(self)
        for one in [one for one in self.entries if one not in self.tasks]:
            del self.entries[one]
        self.unsaved.clear()

    Journal.listen = forgetful  # type: ignore[method-assign]


@plant
def key() -> None:
    """A call's id leaves out how often the same was asked."""
    from activities import host
    from holdfast.ids import call_id

    def same(digest: str, occurrence: int) -> str:
        return call_id(digest, 1)

    host.call_id = same  # type: ignore[attr-defined]


@plant
def once() -> None:
    """A call with effect `once` is tried again when its worker is lost."""
    from holdfast.contracts.skill import SkillFacts
    from workflows import policies

    skill = policies.skill

    def retried(facts: SkillFacts, cap_seconds: float | None) -> dict[str, Any]:
        return skill(facts.model_copy(update={"effect": "keyed"}), cap_seconds)

    policies.skill = retried


@plant
def order() -> None:
    """A re-run gets its answers in an order of chance, and the one that was recorded is lost."""
    from activities.known import Known
    from holdfast.contracts.program import HelloReply

    hear = Known.hear

    def shuffled(self: Known, reply: HelloReply) -> None:
        hear(self, reply)
        self.seen = []
        orders = [answer.order for answer in self.answers.values()]
        random.shuffle(orders)
        pairs = zip(self.answers.items(), orders, strict=True)
        self.answers = {one: answer.model_copy(update={"order": number}) for (one, answer), number in pairs}

    Known.hear = shuffled  # type: ignore[method-assign]


@plant
def deaf() -> None:
    """A worker hears two seconds late that its attempt was given to another. No promise hangs on that: it is control.

    Without it the server's word comes within milliseconds of the waking, mostly before a zombie can say anything.
    """
    from temporalio.worker import _activity

    cancel = _activity._ActivityWorker._handle_cancel_activity_task

    def late(self: _activity._ActivityWorker, token: bytes, told: Any) -> None:
        asyncio.get_running_loop().call_later(2, cancel, self, token, told)

    _activity._ActivityWorker._handle_cancel_activity_task = late  # type: ignore[method-assign, assignment]


@plant
def fence() -> None:
    """Nobody asks of which attempt a box is that speaks."""
    from workflows.box import BoxState

    def open_door(self: BoxState, generation: int, attempt: int, *, exactly: bool) -> None:
        return None

    BoxState.refuse_stale = open_door  # type: ignore[method-assign]
    deaf()


def main() -> None:
    from cli.children import Child
    from cli.main import main as holdfast

    Child.module = "tests.support.plants"
    PLANTS[os.environ["HOLDFAST_TEST_PLANT"]]()
    holdfast()


if __name__ == "__main__":
    main()
