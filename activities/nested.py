"""What the code of running skills asks in turn: each ask becomes a call in the workflow's journal.

All that the skills of one workflow ask on this worker shares one update: a newer one takes over what an older one
still waits for, so that the server's ten updates at once are never used up here.
"""

import asyncio
import uuid
from collections import Counter

from temporalio.client import Client

from activities.updates import Overtaken, Updates
from activities.values import loaded, stored
from holdfast.blobs import BlobStore
from holdfast.contracts.base import INLINE_ARGUMENT_BYTES, NATIVE_BYTES, Json
from holdfast.contracts.program import UPDATE_NEST, Answered, Ask, Nested, NestMessage, NestReply
from holdfast.contracts.skill import MODEL
from holdfast.errors import HoldfastError, SkillRefused
from holdfast.ids import call_hash, call_id
from holdfast.snapshot import CatalogueSkill

LATER_SECONDS = 0.5
MAX_ASKED = 1000
"""By one run of code: each is an update, and a workflow takes 2,000 of these."""


class ModelError(HoldfastError):
    """The model gave no answer to what a skill's code asked."""

    code = "MODEL_ERROR"


class CallFailed(HoldfastError):
    """A skill that an agent in Python called failed, or was denied. It stands: to try again would give the same."""

    code = "SKILL_FAILED"


class Nest:
    """The asks of one run of one workflow."""

    def __init__(self, updates: Updates) -> None:
        self._updates = updates
        self._by = uuid.uuid4().hex
        self._number = 0
        self._new: list[Nested] = []
        self._waiting: dict[str, asyncio.Future[Answered]] = {}
        self._users: Counter[str] = Counter()
        self._talks: set[asyncio.Task[None]] = set()

    async def ask(self, nested: Nested) -> Answered:
        """The recorded answer.

        Raises:
            Overtaken: the workflow is over, or does not want this call any more.
        """
        one = nested.ask.id
        answer = self._waiting.setdefault(one, asyncio.get_running_loop().create_future())
        self._users[one] += 1
        self._new.append(nested)
        talk = asyncio.create_task(self._talk())
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)
        try:
            return await asyncio.shield(answer)
        finally:
            # An attempt that is taken for lost may still run beside the next one, and asks the same.
            self._users[one] -= 1
            if not self._users[one]:
                del self._waiting[one], self._users[one]

    def _open(self) -> list[str]:
        return [one for one, answer in self._waiting.items() if not answer.done()]

    async def _talk(self) -> None:
        # A turn of the loop: what is asked at once goes out together, and the other talks find nothing to say.
        await asyncio.sleep(0)
        if not self._new:
            return
        try:
            while self._open() and await self._say():
                pass
        except Overtaken as exc:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(exc)

    async def _say(self) -> bool:
        """Whether there is more to wait for, and no newer talk that does."""
        self._number += 1
        number, asks, self._new = self._number, self._new, []
        sent = {nested.ask.id for nested in asks}
        again = [one for one in self._open() if one not in sent]
        message = NestMessage(by=self._by, number=number, asks=asks, again=again)
        reply = await self._updates.send(UPDATE_NEST, message, f"nest.{self._by}.{number}", NestReply)
        for answered in reply.answers:
            waiting = self._waiting.get(answered.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answered)
        for one in reply.stale:
            waiting = self._waiting.get(one)
            if waiting is not None and not waiting.done():
                waiting.set_exception(Overtaken(f"the call that asked {one} does not run any more"))
        if number != self._number:
            return False
        await asyncio.sleep(LATER_SECONDS if reply.later else 0)
        return number == self._number


class Nests:
    """Of each workflow run whose skills run here."""

    def __init__(self, client: Client, blobs: BlobStore) -> None:
        self._client, self._blobs = client, blobs
        self._open: dict[tuple[str, str], tuple[Nest, int]] = {}

    def __call__(self, workflow_id: str, run_id: str, parent: str) -> "Asking":
        return Asking(self, workflow_id, run_id, parent)

    async def ask(self, key: tuple[str, str], nested: Nested) -> Answered:
        nest, users = self._open.get(key) or (Nest(Updates(self._client, *key)), 0)
        self._open[key] = nest, users + 1
        try:
            return await nest.ask(nested)
        finally:
            nest, users = self._open.pop(key)
            if users > 1:
                self._open[key] = nest, users - 1

    @property
    def blobs(self) -> BlobStore:
        return self._blobs


class Asking:
    """What the code of one call asks of models and skills: what it asks twice is numbered, each has its own answer."""

    def __init__(self, nests: Nests, workflow_id: str, run_id: str, parent: str) -> None:
        self._nests, self._key, self._parent = nests, (workflow_id, run_id), parent
        self._occurrences: Counter[str] = Counter()

    async def __call__(self, prompt: str, system: str = "") -> str:
        """The model's text.

        Raises:
            ModelError: no model gave an answer.
            Overtaken: the call is not wanted any more.
        """
        arguments = {"prompt": prompt, "system": system}
        answered = await self._asked(MODEL, arguments, INLINE_ARGUMENT_BYTES)
        if answered.error is not None:
            raise ModelError(answered.error.message, type=answered.error.type)
        return str(await loaded(self._nests.blobs, answered.value))

    async def call(self, skill: CatalogueSkill, given: dict[str, Json]) -> Json:
        """What a skill answers.

        Raises:
            CallFailed: it failed, or may not be used here.
            SkillInputError: it cannot take these arguments. Nothing was called.
            Overtaken: the call is not wanted any more.
        """
        arguments = skill.bind([], given)
        filled = skill.check_input(arguments)
        is_native = skill.spec.kind == "native"
        answered = await self._asked(
            skill.name, filled if is_native else arguments, NATIVE_BYTES if is_native else INLINE_ARGUMENT_BYTES
        )
        if answered.error is not None:
            raise CallFailed(answered.error.message, type=answered.error.type)
        return await loaded(self._nests.blobs, answered.value)

    async def _asked(self, name: str, arguments: dict[str, Json], inline_bytes: int) -> Answered:
        digest = call_hash(self._parent, name, arguments)
        self._occurrences[digest] += 1
        if self._occurrences.total() > MAX_ASKED:
            raise SkillRefused(f"one run may ask models and skills {MAX_ASKED} times, and did; split the work up")
        value = await stored(self._nests.blobs, arguments, inline_bytes)
        ask = Ask(id=call_id(digest, self._occurrences[digest]), skill=name, arguments=value)
        return await self._nests.ask(self._key, Nested(parent=self._parent, ask=ask))
