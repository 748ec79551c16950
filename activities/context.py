"""What a model is sent of what was said: the session's conversation, the task's own, and what is said now.

Each model that is asked has a window of its own: so all goes to the provider, with the way to make it fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from activities import fitting, notes
from activities.conversation import Conversation
from activities.notes import Keep
from holdfast.blobs import BlobStore
from holdfast.contracts.llm import Brief
from holdfast.contracts.message import Message
from holdfast.names import RECALL
from providers.base import ModelRequest, Tool
from providers.room import tokens_of_tool


@dataclass(frozen=True)
class Context:
    """`protected` are places of messages that stay: the task itself, texts of skills, questions, a summary."""

    messages: list[Message]
    protected: frozenset[int]
    keep: Keep
    recall: Tool | None = None
    """Goes with the first text that is cut, if the request has it not anyway."""

    @classmethod
    def of(cls, session: Conversation, task: Conversation, now: Message, keep: Keep) -> "Context":
        first = len(session.messages)
        protected = session.kept | {first} | {first + place for place in task.kept}
        return cls([*session.messages, *task.messages, now], frozenset(protected), keep)

    def fit(self, request: ModelRequest, room: int) -> ModelRequest:
        """The request with messages that fit into `room` tokens."""
        if fitting.size(request.messages, request.read) <= room:
            return request
        recall = () if self.recall is None or self.recall in request.tools else (self.recall,)
        left = room - sum(map(tokens_of_tool, recall))
        messages = fitting.fit(request.messages, left, self.protected, self.keep, request.read)
        return replace(request, messages=messages, tools=(*request.tools, *recall))


def keeping(blobs: BlobStore, brief: Brief) -> Keep:
    """Where the task's cut texts go: they are read again by `recall`, if it may use that."""
    return partial(notes.noted, blobs, brief.task.principal.tenant) if RECALL in brief.skills else _lost


def told_names(names: Sequence[str], brief: Brief) -> list[str]:
    """Those of the task's skills that a model hears of. `recall` is of use where there is something to recall."""
    return [name for name in names if name != RECALL or brief.before is not None]


def _lost(_text: str) -> str:
    return ""
