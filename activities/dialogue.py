"""Talking to a model behind what was said before: one turn, and the request that it makes."""

import asyncio
from typing import Any

from activities import conversation
from activities.asking import Asked, Asker
from activities.context import Context, keeping
from activities.conversation import Conversation
from activities.values import stored
from activities.wording import SUMMING, structured, system_text
from holdfast.blobs import BlobStore
from holdfast.contracts.base import INLINE_ANSWER_BYTES
from holdfast.contracts.llm import Answer, Brief
from holdfast.contracts.message import Message, Part, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.errors import ModelFailed
from providers.base import Fit, Known, ModelReply, ModelRequest, Purpose


class Turn:
    """One turn of a conversation: what is said to the model now, behind what was said before."""

    def __init__(self, blobs: BlobStore, head: str | None, words: str, say: list[Part]) -> None:
        self._blobs, self._head = blobs, head
        self.before: Conversation = conversation.read(blobs, head)
        self.said = conversation.text(say)
        parts = [*([TextPart(text=words)] if words else []), *say]
        self.message = Message(role="user", parts=parts)

    async def ended(self, reply: ModelReply, *, keep: bool = False) -> str:
        """The conversation's new head, with the reply. `keep`: the turn stays when others are left out."""
        messages = [self.message, conversation.of("assistant", reply.text)]
        more = {"keep": True} if keep else {}
        return await asyncio.to_thread(conversation.add, self._blobs, self._head, messages, self.said, **more)


class Dialogue:
    """Asks models on behalf of tasks, and of calls of skills."""

    def __init__(self, asker: Asker, blobs: BlobStore) -> None:
        self.asker, self.blobs = asker, blobs

    async def ask(
        self, brief: Brief, purpose: Purpose, turn: Turn, known: Known, schema: dict[str, Any] | None = None
    ) -> ModelReply:
        """The reply to a turn, under the agent's system prompt, behind what its session knows."""
        said = [*turn.before.said, turn.said]
        told = Known(**{**vars(known), "task": said[0], "said": tuple(said[1:])})
        asked = Asked.of(brief, purpose)
        session = await asyncio.to_thread(conversation.read, self.blobs, brief.before)
        context = Context.of(session, turn.before, turn.message, keeping(self.blobs, brief))
        system = await asyncio.to_thread(system_text, self.blobs, brief)
        return await self.one(asked, purpose, context.messages, told, system, schema, context.fit)

    async def summed(self, brief: Brief, older: Conversation, words: str, most: int) -> ModelReply:
        """The model's summary of what was said, asked for with these words; in `most` words."""
        asked = Asked.of(brief, "summary")
        context = Context.of(older, Conversation(), conversation.of("user", words), keeping(self.blobs, brief))
        return await self.one(
            asked, "summary", context.messages, Known(arguments={"words": most}), SUMMING, fit=context.fit
        )

    async def answer(
        self, brief: Brief, purpose: Purpose, turn: Turn, known: Known, prompt: str, schema: dict[str, Any] | None
    ) -> Answer:
        """The reply as an answer: text, or JSON that fits the schema.

        Raises:
            ApplicationError: it does not fit; counts as a failure of the model.
        """
        reply = await self.ask(brief, purpose, turn, known, schema=schema)
        try:
            value = await asyncio.to_thread(structured, reply, schema)
        except ModelFailed as exc:
            raise self.asker.unusable(exc, Asked.of(brief, purpose)) from exc
        head = await turn.ended(reply)
        kept = await stored(self.blobs, value, INLINE_ANSWER_BYTES)
        return Answer(value=kept, head=head, prompt=prompt, usage=[reply.usage])

    async def one(
        self,
        asked: Asked,
        purpose: Purpose,
        messages: list[Message],
        known: Known,
        system: str = "",
        schema: dict[str, Any] | None = None,
        fit: Fit | None = None,
    ) -> ModelReply:
        """The reply to these messages."""
        request = ModelRequest(
            purpose=purpose,
            messages=messages,
            settings=ModelSettings(),
            read=self.blobs.get,
            system=system,
            schema=schema,
            known=known,
            trace_id=asked.task.trace_id,
            fit=fit,
        )
        return await self.asker.ask(asked, request)
