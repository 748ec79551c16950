"""The model, as the code of a running skill asks it (`context.llm`)."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from holdfast.catalogue import CatalogueSkill
from holdfast.contracts.base import Json
from holdfast.errors import HoldfastError, NoModel, SkillInputError, SkillRefused, shown
from holdfast.names import listed
from holdfast.templates import render
from skills import runner
from skills.secrets import hidden

AskModel = Callable[[str, str], Awaitable[str]]
"""(prompt, system) -> the model's text. Raises HoldfastError."""
CallSkill = Callable[[str, dict[str, Json]], Awaitable[Json]]
"""(name, arguments) -> a skill's answer. Raises HoldfastError."""


class Model:
    """What one call may ask: one question at a time, from any thread, until the call is over.

    The call's own limit stands still while the model is asked. Values of the call's secrets are hidden from the model,
    because questions are recorded.
    """

    def __init__(
        self,
        skill: CatalogueSkill,
        arguments: Mapping[str, Json],
        ask: AskModel | None,
        secrets: Mapping[str, str],
        limit: asyncio.Timeout,
        call: CallSkill | None = None,
    ) -> None:
        self._skill, self._arguments, self._ask, self._secrets = skill, arguments, ask, secrets
        self._call = call
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._turn = asyncio.Lock()
        self._waiting: set[Future[str]] = set()
        self._is_over = False
        self.failure: HoldfastError | None = None
        """Why the last question had no answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        for future in list(self._waiting):
            future.cancel()

    async def answer(self, question: Json) -> str:
        """The text for {prompt, system, variables}; without a prompt, the skill's own template is filled in.

        Raises:
            HoldfastError: there is no answer.
        """
        async with self._turn:
            try:
                return await self._answered(*_parts(question))
            except HoldfastError as exc:
                self.failure = exc
                raise

    async def called(self, question: Json) -> Json:
        """What a skill answers, for {skill, arguments}.

        Raises:
            HoldfastError: it does not.
        """
        match question:
            case {"skill": str() as name, "arguments": dict() as arguments} if self._call is not None:
                async with self._turn:
                    with self._standing_still():
                        return await self._call(name, arguments)
        raise SkillRefused(f"{self._skill.label} asked for {shown(question)}; only an agent may call skills, by name")

    async def reply(self, heard: Mapping[str, Json]) -> dict[str, Json]:
        """What a runner's process is told that said {ask: …} or {call: …}."""
        try:
            if "call" in heard:
                return {"value": await self.called(heard["call"])}
            return {"text": await self.answer(heard["ask"])}
        except HoldfastError as exc:
            return {"error": {"message": str(exc), "type": _kind(exc), "retryable": exc.retryable}}

    def llm(self, prompt: str | None = None, *, system: str = "", **variables: Json) -> Any:
        """The model's text; in an event loop, an awaitable of it.

        Raises:
            runner.ModelError: there is no answer.
        """
        if self._is_over:
            raise runner.ModelError(runner.OVER, "SkillRefused", retryable=False)
        asked = self._told({"prompt": prompt, "system": system, "variables": variables})
        future = self._context.copy().run(asyncio.run_coroutine_threadsafe, asked, self._loop)
        self._keep(future)
        return asyncio.wrap_future(future) if runner.in_event_loop() else future.result()

    def _keep(self, asked: Future[str]) -> None:
        self._waiting.add(asked)
        asked.add_done_callback(self._waiting.discard)
        if self._is_over:  # The call ended after the question was asked, and before it was among those that wait.
            asked.cancel()

    async def _told(self, question: Json) -> str:
        try:
            return await self.answer(question)
        except HoldfastError as exc:
            raise runner.ModelError(str(exc), _kind(exc), retryable=exc.retryable) from exc

    async def _answered(self, prompt: str | None, system: str, variables: dict[str, Json]) -> str:
        if self._is_over:
            raise SkillRefused(runner.OVER)
        label, kind = self._skill.label, self._skill.spec.kind
        if kind not in ("hybrid", "own"):
            raise NoModel(f"{label} is of kind {kind!r}; only the code of a hybrid skill may ask the model")
        text = self._rendered(variables) if prompt is None else prompt
        if self._ask is None:
            raise NoModel(f"{label} asks a language model, and none is set up")
        with self._standing_still():
            return await self._ask(hidden(text, self._secrets), hidden(system, self._secrets))

    def _rendered(self, variables: dict[str, Json]) -> str:
        template = self._skill.spec.prompt_template
        if template is None:
            raise SkillRefused(f"skill {self._skill.name!r} has no prompt_template; give context.llm a prompt")
        return render(template, {**self._arguments, **variables})

    @contextmanager
    def _standing_still(self) -> Iterator[None]:
        when = self._limit.when()
        left = None if when is None else when - self._loop.time()
        self._limit.reschedule(None)
        try:
            yield
        finally:
            if left is not None and not self._is_over:
                self._limit.reschedule(self._loop.time() + left)


def _kind(exc: HoldfastError) -> str:
    """The class name of an error; of one that was recorded as data, that of the error which it stands for."""
    return str(exc.details.get("type") or type(exc).__name__)


def _parts(question: Json) -> tuple[str | None, str, dict[str, Json]]:
    match question:
        case {"prompt": str() | None as prompt, "system": str() as system, "variables": dict() as variables}:
            if prompt is None or not variables:
                return prompt, system, variables
            raise SkillInputError(
                f"context.llm got a prompt and {listed(variables)}; variables fill in the skill's own prompt_template, "
                "which is used when there is no prompt"
            )
    raise SkillInputError(f"context.llm got {shown(question)}; a prompt and a system prompt are texts")
