"""Models: the one door of this room. Which provider a request goes to, and to which next when that one is down.

Importing this loads no SDK; each is loaded when a model of its wire format is first asked.
"""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from holdfast.contracts.model import ModelSettings
from holdfast.errors import (
    HoldfastError,
    ModelFailed,
    ModelRefused,
    ModelUnavailable,
    NoModel,
    TooLarge,
)
from providers.base import ModelReply, ModelRequest, OnDelta, Provider
from providers.bounds import Bound, bound
from providers.endpoint import Endpoint, Identity, base_of, endpoint, has_key, is_own, model_of, without_password
from providers.pace import Pace
from providers.room import fitted
from providers.rows import OFFLINE, Row, named, rows
from providers.tools import are_native, refuses_tools

WIRES = {
    "anthropic": "providers.anthropic:Anthropic",
    "openai": "providers.openai:OpenAi",
    "bedrock": "providers.bedrock:Bedrock",
    "offline": "providers.offline:Offline",
}
_TALKATIVE = ("anthropic", "openai", "boto3", "botocore", "urllib3", "httpx2", "httpcore2")
"""At level DEBUG these log prompts, and AWS's session token."""
_OF_THE_PROVIDER = ("provider", "model", "region", "host", "api_base", "context_tokens")
"""What the worker's default settings say for their own provider only; the rest is every model's default."""


class Models:
    """All models that a worker can ask.

    `environ` is all that is read of the environment. `default` is what settings leave open. `overrides` are the
    project's `providers:`, name -> fields of `Row`. `own_url` is where holdfast's API listens: never asked.

    Raises:
        SettingsInvalid: a row of `overrides` has an unknown field or a wrong value.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        default: ModelSettings,
        overrides: Mapping[str, Any] | None = None,
        own_url: str | None = None,
    ) -> None:
        self._environ = environ
        self._given = default
        self._own_url = own_url
        self._rows = rows(overrides)
        self._placed = {named(self._rows, name) for name, row in (overrides or {}).items() if "base_url" in row}
        self._providers: dict[Identity, Provider] = {}
        self._paces: dict[str, Pace] = {}
        self._toolless: set[tuple[str, str]] = set()
        """Models that refused a request because of its tools: they are told of tools in words."""
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)

    def available(self) -> list[str]:
        """Rows that have what they need, best first; nothing is asked over the network. `offline` is the last, always.

        A row that needs no key counts when the default provider, its variable or the project says where it is.
        """
        return [*(name for name, row in self._rows.items() if self._is_available(name, row)), OFFLINE]

    def default(self) -> ModelSettings:
        """The settings of requests that name no model: the provider asked for, else the first that is available.

        Raises:
            NoModel: the default provider is none of the table.
        """
        return self._resolved(ModelSettings())

    async def complete(
        self, models: Sequence[ModelSettings], request: ModelRequest, on_delta: OnDelta | None = None
    ) -> ModelReply:
        """Ask the models in order, each once: the next one when one has no key or no room, is down, is busy, or fails.

        One that refuses tools is asked once more, with the tools in words. No models: the default. A model that refuses
        the request ends the walk. Pieces of a reply that was cut may have been handed on before another model replies:
        the reply's text is the truth.

        Raises:
            ModelUnavailable, ModelBusy: of those that may come back, the one that asks for the shortest wait.
            ModelFailed, ModelRefused, NoModel: none may come back. The message says what each model said.
            TooLarge: the messages may not be cut, and fit no model that could be asked; details are of the largest.
        """
        problems: list[HoldfastError] = []
        for settings in models or [ModelSettings()]:
            try:
                return _with_lost(await self._ask(settings, request, on_delta), problems)
            except (NoModel, TooLarge, ModelUnavailable, ModelFailed) as exc:
                problems.append(exc)
            except ModelRefused as exc:
                problems.append(exc)
                break
        raise _worth_waiting_for(problems)

    def bounds(self, models: Sequence[ModelSettings], request: ModelRequest) -> list[Bound]:
        """The most that each of these models takes for this request; those that cannot be asked here are left out.

        Raises:
            NoModel, TooLarge: none can. The message says what each lacks.
            ModelRefused: a part of the request can be shown to no model.
        """
        found: list[Bound] = []
        problems: list[HoldfastError] = []
        for settings in models or [ModelSettings()]:
            try:
                wanted, where = self._placed_at(settings)
                fitting = fitted(replace(request, settings=wanted), where)
                found.append(bound(settings, fitting, where))
            except (NoModel, TooLarge) as exc:
                problems.append(exc)
        if not found:
            raise _worth_waiting_for(problems)
        return found

    async def close(self) -> None:
        """Close all connections. Models can be asked again afterwards, over new ones."""
        opened, self._providers = self._providers, {}
        for provider in opened.values():
            await provider.close()

    async def _ask(self, settings: ModelSettings, request: ModelRequest, on_delta: OnDelta | None) -> ModelReply:
        wanted, where = self._placed_at(settings)
        name, row = where.provider, where.row
        provider = await self._provider(where)
        in_words = request.in_words or (name, wanted.model) in self._toolless
        asked = await asyncio.to_thread(fitted, replace(request, settings=wanted, in_words=in_words), where)
        try:
            async with self._pace(name, row):
                return await provider.complete(asked, on_delta)
        except ModelRefused as exc:
            if not are_native(asked, row) or not refuses_tools(str(exc)):
                raise
        self._toolless.add((name, wanted.model or ""))
        async with self._pace(name, row):
            return await provider.complete(replace(asked, in_words=True), on_delta)

    def _placed_at(self, settings: ModelSettings) -> tuple[ModelSettings, Endpoint]:
        """Which model it is, and where it is reached."""
        wanted = self._resolved(settings)
        name = wanted.provider or OFFLINE
        where = self._endpoint(name, self._rows[name], wanted)
        if not wanted.model:
            raise NoModel(f"provider {name!r} has no default model: set DEFAULT_LLM_MODEL, or the agent's model")
        return wanted, where

    def _pace(self, name: str, row: Row) -> Pace:
        return self._paces.setdefault(name, Pace(row.concurrency, row.requests_per_minute))

    def _endpoint(self, name: str, row: Row, wanted: ModelSettings) -> Endpoint:
        found = endpoint(name, row, wanted, self._environ, is_default=self._is_default(name))
        if is_own(found.base_url, self._own_url):
            raise ModelRefused(
                f"base URL {without_password(found.base_url)!r} of provider {name!r} is holdfast's own API: an agent "
                "must not ask itself. Set LLM_BASE_URL, or the agent's api_base, to the model's server"
            )
        return found

    async def _provider(self, where: Endpoint) -> Provider:
        if where.identity not in self._providers:
            module, _, factory = WIRES[where.row.wire].partition(":")
            try:
                # In a thread: an SDK takes a second or two to load, and heartbeats must go on.
                loaded = await asyncio.to_thread(import_module, module)
            except ModuleNotFoundError as exc:
                extra = f"pip install 'holdfast[{where.row.wire}]'"
                raise NoModel(f"provider {where.provider!r} needs the package {exc.name!r}: {extra}") from exc
            made = getattr(loaded, factory)
            self._providers.setdefault(where.identity, made() if where.row.wire == "offline" else made(where))
        return self._providers[where.identity]

    def _resolved(self, settings: ModelSettings) -> ModelSettings:
        """With all that it leaves open. Defaults of one provider say nothing about another."""
        own = named(self._rows, self._given.provider) if self._given.provider else self.available()[0]
        name = named(self._rows, settings.provider) if settings.provider else own
        base = self._given if name == own else self._given.model_copy(update=dict.fromkeys(_OF_THE_PROVIDER))
        said = {field: value for field, value in settings if value != ModelSettings.model_fields[field].default}
        model = said.get("model") or base.model or model_of(self._rows[name], self._environ)
        model = OFFLINE if self._rows[name].wire == "offline" else model
        window = said.get("context_tokens") or base.context_tokens or self._rows[name].context_tokens
        return base.model_copy(update={**said, "provider": name, "model": model or None, "context_tokens": window})

    def _is_default(self, name: str) -> bool:
        """Whether the default provider is this row by name; a name that no row has is told when it is asked."""
        return (self._given.provider or "").strip().lower() in (name, *self._rows[name].aliases)

    def _is_available(self, name: str, row: Row) -> bool:
        if name == OFFLINE:
            return False
        named_somewhere = self._is_default(name) or name in self._placed or bool(base_of(row, self._environ))
        return has_key(row, self._environ) if row.key_needed else named_somewhere


def _with_lost(reply: ModelReply, problems: Sequence[HoldfastError]) -> ModelReply:
    """The reply, and how many models before it may want money for a reply that never came whole."""
    lost = sum(isinstance(one, ModelFailed) and "http_status" not in one.details for one in problems)
    return replace(reply, usage=reply.usage.model_copy(update={"lost": lost})) if lost else reply


def _worth_waiting_for(problems: Sequence[HoldfastError]) -> HoldfastError:
    """The one error that stands for all, with what each model said."""
    best = min(problems, key=_rank)
    if len(problems) == 1:
        return best
    message = "no model replied. " + "; ".join(str(problem) for problem in problems)
    if isinstance(best, ModelUnavailable):
        return type(best)(message, best.retry_after, **best.details)
    return type(best)(message, **best.details)


def _rank(problem: HoldfastError) -> tuple[int, float]:
    """First who may come back (the soonest first; who does not say when, is tried soon), then who failed, then who can
    be asked for less (the one that reads most first)."""
    match problem:
        case ModelUnavailable():
            return 0, problem.retry_after or 0.0
        case ModelFailed():
            return 1, 0.0
        case TooLarge(details={"fitting_tokens": int() as fitting}):
            return 2, -fitting
        case _:
            return 3, 0.0 if isinstance(problem, ModelRefused) else math.inf
