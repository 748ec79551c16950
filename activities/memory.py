"""What a session remembers: a turn that is over as a link of its conversation, and older turns summed up.

The transcript holds what a person and a model said, and the calls of loops with what they gave. Long texts in it are
cut, with a handle under which `recall` reads all of them.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from temporalio import activity

from activities import conversation, cutting, notes
from activities.context import keeping
from activities.conversation import Conversation
from activities.dialogue import Dialogue
from activities.notes import Keep
from activities.values import loaded
from activities.wording import bound, prompted
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Json, Sha256
from holdfast.contracts.llm import Turn
from holdfast.contracts.message import CallPart, Message, Part, ResultPart, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.session import LLM_SUMMARY, Noted, NoteRequest, Summary, SummaryRequest
from holdfast.windows import context_tokens, tokens

RESULT_CHARACTERS, ANSWER_CHARACTERS = 2 << 10, 4 << 10
"""Of what a call gave, and of answers, so much stands in a transcript; the rest is read by a handle."""
FULL, NEWEST, SUMMED = 0.6, 0.3, 0.1
"""Parts of the smallest window of a session's models: above the first, older turns are summed up; then the newest turns
have the second at most, and the summary the third."""
LEAST_TOKENS = 256
"""Of a summary, however small the window is."""
_SHOWN_CHARACTERS = 2000
_TOKENS_PER_WORD = 2


async def noted(blobs: BlobStore, request: NoteRequest, default: ModelSettings | None = None) -> Noted:
    """The conversation with a turn more. The same turn at the same head has the same new head.

    `default` are the settings of a model that the task's agent leaves open.
    """
    value = await loaded(blobs, request.value)
    return await asyncio.to_thread(_Noting(blobs, request, value).noted, window(request.models, default))


def window(models: Sequence[ModelSettings], default: ModelSettings | None = None) -> int:
    """The smallest window of these models, each of which may be asked."""
    known = default or ModelSettings()
    return min(context_tokens(_filled(one, known)) for one in models or [known])


def _filled(model: ModelSettings, default: ModelSettings) -> ModelSettings:
    """With the default's provider and model, where it names none."""
    if model.provider not in (None, default.provider):
        return model
    names = {"provider": default.provider, "model": model.model or default.model}
    return model.model_copy(update={**names, "context_tokens": model.context_tokens or default.context_tokens})


class Summing:
    """Sums older turns of conversations up."""

    def __init__(self, dialogue: Dialogue, default: ModelSettings) -> None:
        self._dialogue, self._blobs, self._default = dialogue, dialogue.blobs, default

    @activity.defn(name=LLM_SUMMARY.name)
    async def summary(self, request: SummaryRequest) -> Summary:
        """The conversation with a summary in the place of its older turns, unless the newest are all there is."""
        brief = bound(request.brief)
        whole = window(brief.models, self._default)
        turns = await asyncio.to_thread(conversation.turns, self._blobs, request.head)
        parted = _Parted.of(turns, int(whole * NEWEST))
        if not parted.older:
            return Summary(head=request.head, tokens=sum(map(_tokens, turns)))
        room = max(LEAST_TOKENS, int(whole * SUMMED))
        words = room // _TOKENS_PER_WORD
        prompt, _ = prompted("summary", words=words)
        reply = await self._dialogue.summed(brief, Conversation.of(parted.older), prompt, words)
        keep = keeping(self._blobs, brief)
        head = await asyncio.to_thread(parted.stored, self._blobs, reply.text, room, keep)
        return Summary(head=head, tokens=tokens_of(self._blobs, head), usage=[reply.usage])


@dataclass(frozen=True)
class _Parted:
    """Turns of a conversation: `older` are summed up, `kept` of them stay as they are, and so do the `newest`."""

    older: list[Turn]
    kept: list[Turn]
    newest: list[Turn]

    @classmethod
    def of(cls, turns: list[Turn], room: int) -> "_Parted":
        """The newest turns that have room, but one at least."""
        place = len(turns) - 1
        while place > 0 and (room := room - _tokens(turns[place])) >= _tokens(turns[place - 1]):
            place -= 1
        before = turns[: max(0, place)]
        stays = [turn for turn in before if turn.keep and not turn.sums_up]
        return cls([turn for turn in before if turn not in stays], stays, turns[max(0, place) :])

    def stored(self, blobs: BlobStore, summary: str, room: int, keep: Keep) -> Sha256:
        """The new chain: the summary, then what stays."""
        count = sum(turn.sums_up or 1 for turn in self.older)
        what = "The first turn" if count == 1 else f"The first {count} turns"
        words = conversation.of("user", f"({what} of this conversation, summed up:)\n{summary.strip()}")
        short = cutting.squeezed(words, room, keep, blobs.get) or cutting.plain(words, room, keep)
        head, total = None, 0
        for turn in [Turn(messages=[short], keep=True, sums_up=count), *self.kept, *self.newest]:
            total += _tokens(turn)
            more = {"keep": turn.keep, "sums_up": turn.sums_up, "tokens": total}
            head = conversation.add(blobs, head, turn.messages, turn.said, **more)
        assert head is not None
        return head


class _Noting:
    """One turn on its way into the transcript."""

    def __init__(self, blobs: BlobStore, request: NoteRequest, value: Json) -> None:
        self._blobs, self._request = blobs, request
        self._keep = partial(notes.noted, blobs, request.task.principal.tenant)
        self._answer = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def noted(self, whole: int) -> Noted:
        said = Message(role="user", parts=self._request.say)
        messages = [said, *self._replies()]
        total = tokens_of(self._blobs, self._request.head) + sum(map(tokens, messages))
        words = conversation.text(self._request.say)
        head = conversation.add(self._blobs, self._request.head, messages, words, tokens=total)
        answer = self._answer[:_SHOWN_CHARACTERS] if self._request.state == "DONE" else ""
        return Noted(head=head, tokens=total, is_full=total > whole * FULL, answer=answer)

    def _replies(self) -> Iterator[Message]:
        loop = list(self._of_loop())
        yield from loop
        if self._request.state != "DONE":
            yield conversation.of("assistant", _ended(self._request))
        elif not loop:
            yield conversation.of("assistant", notes.cut(self._answer, ANSWER_CHARACTERS, self._keep))

    def _of_loop(self) -> Iterator[Message]:
        """What a loop did behind its task: calls, what they gave, and its answer. Nothing of other tasks."""
        own = conversation.read(self._blobs, self._request.talk).messages[1:]
        answered = {part.id for one in own for part in one.parts if isinstance(part, ResultPart)}
        for message in own if answered else []:
            parts = [
                self._part(part) for part in message.parts if not isinstance(part, CallPart) or part.id in answered
            ]
            if parts:
                yield Message(role=message.role, parts=parts)

    def _part(self, part: Part) -> Part:
        """Cut, and with an id that no call of another turn has."""
        match part:
            case ResultPart():
                text = notes.cut(part.text, RESULT_CHARACTERS, self._keep)
                return part.model_copy(update={"id": self._id(part.id), "text": text})
            case CallPart():
                return cutting.short_call(part, RESULT_CHARACTERS, self._keep).model_copy(
                    update={"id": self._id(part.id)}
                )
            case TextPart():
                return TextPart(text=notes.cut(part.text, ANSWER_CHARACTERS, self._keep))
            case _:
                return part

    def _id(self, one: str) -> str:
        return "c" + hashlib.sha256(f"{self._request.task.task_id}/{one}".encode()).hexdigest()[:15]


def tokens_of(blobs: BlobStore, head: Sha256 | None) -> int:
    """An estimate of a whole conversation."""
    newest = conversation.last(blobs, head)
    if newest is None or newest.tokens:
        return newest.tokens if newest else 0
    return sum(map(_tokens, conversation.turns(blobs, head)))


def _tokens(turn: Turn) -> int:
    return sum(map(tokens, turn.messages))


def _ended(request: NoteRequest) -> str:
    """How a turn ended that has no answer."""
    if request.state == "CANCELLED":
        return "(This turn was cancelled before it had an answer.)"
    why = f": {request.error.message[:_SHOWN_CHARACTERS]}" if request.error else ""
    return f"(This turn ended in {request.state}, without an answer{why})"
