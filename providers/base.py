"""What a provider is asked, and what it answers: one small port over every wire format."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Json
from holdfast.contracts.message import Message
from holdfast.contracts.model import ModelSettings, Usage
from holdfast.snapshot import CatalogueSkill

Purpose = Literal[
    "plan", "program", "repair", "answer", "phrase", "skill", "ask", "turn", "delegate", "merge", "summary"
]
OnDelta = Callable[[str], Awaitable[None]]
Fit = Callable[["ModelRequest", int], "ModelRequest"]
"""Makes a request's messages fit into so many tokens."""


@dataclass(frozen=True)
class Given:
    """What one step of a delegation gave: a value, or why it failed."""

    who: str
    task: str
    value: Json = None
    error: str = ""


@dataclass(frozen=True)
class Known:
    """What a request is about, beside its text: for the `offline` provider, which reads no prose.

    `task` is what the person asked; `skills` may be used; `source` and `why` belong to a repair; `skill` and
    `arguments` to a prompt skill; `result` is what a program left, to be phrased; `said` are a person's answers.
    `agents` may be delegated to; `given` is what steps gave, to be merged. A summary's `arguments` are its `words`.
    """

    task: str = ""
    skills: tuple[CatalogueSkill, ...] = ()
    source: str = ""
    why: str = ""
    skill: CatalogueSkill | None = None
    arguments: dict[str, Json] = field(default_factory=dict)
    result: Json = None
    said: tuple[str, ...] = ()
    agents: tuple[AgentSpec, ...] = ()
    given: tuple[Given, ...] = ()


@dataclass(frozen=True)
class Tool:
    """What a model may call. `name` is 1 to 64 letters, digits, `_` and `-`; `schema` is that of its arguments."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Called:
    """A tool call in a reply, as the model wrote it. `arguments` is a text where they are no JSON object."""

    id: str
    name: str
    arguments: dict[str, Json] | str


@dataclass(frozen=True)
class ModelRequest:
    """One request. `read` gives the bytes of a blob part; `schema` is the JSON Schema that the reply should fit.

    `tools` are told in the way that the wire format has for them, or, `in_words`, in the system text: then calls are
    to be read from the reply's text. `fit` is asked for each model anew, as each has a window of its own; without it
    the messages go out as they are, to models whose window has room for all of them.
    """

    purpose: Purpose
    messages: list[Message]
    settings: ModelSettings
    read: Callable[[str], bytes]
    system: str = ""
    schema: dict[str, Any] | None = None
    known: Known = field(default_factory=Known)
    trace_id: str = ""
    tools: tuple[Tool, ...] = ()
    in_words: bool = False
    fit: Fit | None = None


@dataclass(frozen=True)
class ModelReply:
    """The whole reply. `stop`: it ended by itself, at the length limit, or the model declined. With `calls` the text
    may be empty."""

    text: str
    usage: Usage
    stop: Literal["end", "length", "refusal"] = "end"
    calls: tuple[Called, ...] = ()


class Provider(Protocol):
    """A way to models of one row of `providers.yaml`.

    `complete` makes exactly one HTTP request. With `on_delta` the reply is streamed, and each piece of text is handed
    on as it comes; the pieces together are the reply's text.

    Raises:
        NoModel: a key or package is missing; the message names the variable. Nothing was sent.
        ModelBusy: 429 or 529; `retry_after` in seconds, where the provider says it.
        ModelUnavailable: the connection was refused or lost before a reply began.
        ModelFailed: 5xx, a stream that was cut, a reply that is no reply. Counts as a failure.
        ModelRefused: 400, 401, 403, 404, 413, 422: the same request fails again.
    """

    async def complete(self, request: ModelRequest, on_delta: OnDelta | None = None) -> ModelReply: ...

    async def close(self) -> None: ...
