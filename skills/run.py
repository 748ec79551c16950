"""One call of one skill: checked before, run where its kind of code belongs, checked after."""

import asyncio
import contextvars
import inspect
import json
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, TypedDict

from holdfast.blobs import BlobStore
from holdfast.catalogue import BUILTIN, CatalogueSkill
from holdfast.contracts.base import Json
from holdfast.errors import (
    HoldfastError,
    NoModel,
    SettingsInvalid,
    SkillCrashed,
    SkillFailed,
    SkillInputError,
    SkillOutputError,
    SkillRefused,
    SkillTimeout,
    shown,
)
from holdfast.log import get_logger
from skills import runner
from skills.cache import materialised
from skills.process import AnswerTooLarge, Gone, RunnerKey, RunnerPool, RunnerProcess, clean_environment, interpreter
from skills.secrets import hidden, hidden_in, secrets_of

log = get_logger(__name__)

_THREADS = 64


@dataclass(frozen=True)
class SkillContext:
    """What a call brings along. `workspace` is the agent's lasting folder, made by the caller."""

    task_id: str
    tenant: str
    call_id: str
    key: str
    trace_id: str
    attempt: int
    workspace: Path
    timeout_seconds: float

    def shared(self) -> dict[str, Any]:
        """What the skill's code sees of it."""
        values = asdict(self) | {"workspace": str(self.workspace)}
        del values["timeout_seconds"]
        return values


class Checked(TypedDict):
    """What a `check` probe found out about a call that may have happened."""

    outcome: Literal["done", "not_done", "unknown"]
    value: Json


class SkillRunner:
    """Runs skills for one worker. Built-in code runs in this process, a project's own in processes kept warm for it."""

    def __init__(
        self,
        blobs: BlobStore,
        home: Path,
        environ: Mapping[str, str],
        project_python: str | None = None,
        builtin: Path = BUILTIN,
    ) -> None:
        """Secrets are looked up in `environ`; `project_python` runs a project's skills, by default our own does."""
        self._builtin = builtin
        self._blobs, self._home, self._environ = blobs, home, environ
        self._python = interpreter(project_python)
        self._pool = RunnerPool()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="skill")
        self._modules: dict[str, ModuleType] = {}
        self._importing = threading.Lock()

    async def run(self, skill: CatalogueSkill, arguments: dict[str, Json], context: SkillContext) -> Json:
        """The answer of a call, checked against the skill's output schema.

        Raises:
            SkillInputError: the arguments do not fit. Nothing was run.
            SkillFailed: its code raised; SkillRefused if it says that trying again cannot help.
            SkillTimeout, SkillCrashed, SkillOutputError: see errors.py.
            NoModel, SecretMissing, SettingsInvalid: the operator can mend it. Nothing was run.
        """
        filled = skill.check_input(arguments)
        value = await self._call(skill, skill.spec.function, filled, context)
        await asyncio.to_thread(skill.check_output, value)
        return value

    async def check(self, skill: CatalogueSkill, arguments: dict[str, Json], context: SkillContext) -> Checked:
        """Ask the skill's probe whether a call happened, of which nobody knows.

        Raises:
            as `run`; SkillOutputError also if the probe answers with anything that is no outcome.
        """
        if skill.spec.check is None:
            return Checked(outcome="unknown", value=None)
        filled = skill.check_input(arguments)
        found = _outcome(skill, await self._call(skill, skill.spec.check, filled, context))
        if found["outcome"] == "done" and found["value"] is not None:
            skill.check_output(found["value"])
        return found

    async def close(self) -> None:
        """End all processes, those of running calls too, and wait until they are gone."""
        await self._pool.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(
        self, skill: CatalogueSkill, function: str | None, arguments: dict[str, Json], context: SkillContext
    ) -> Json:
        if skill.spec.kind in ("prompt", "hybrid"):
            raise NoModel(
                f"skill {skill.name!r} is of kind {skill.spec.kind!r}: it needs a language model, none is set up"
            )
        assert skill.spec.kind == "script", f"{skill.name} is answered by the workflow"
        where = self._in_worker if skill.origin == "builtin" else self._in_process
        try:
            async with asyncio.timeout(context.timeout_seconds):
                return await where(skill, function, arguments, context)
        except TimeoutError:
            limit = f"{context.timeout_seconds:g} s (timeout_seconds)"
            raise SkillTimeout(f"skill {skill.name!r} ran longer than its {limit}") from None

    async def _in_worker(
        self, skill: CatalogueSkill, function: str | None, arguments: dict[str, Json], context: SkillContext
    ) -> Json:
        """Built-in code. A thread cannot be ended: what it does after a timeout has no effect on the task."""
        secrets = secrets_of(skill, self._environ)
        seen = SimpleNamespace(**context.shared(), secrets=secrets, log=partial(_log, skill.name))
        folder = self._builtin / skill.name
        try:
            module = await self._in_thread(self._module, skill)
            called = runner.find_function(module, skill.spec.handler or "", function)
            args, kwargs = runner.positional_and_named(called, arguments, seen)
            if inspect.iscoroutinefunction(called):
                value = await called(*args, **kwargs)
            else:
                value = await self._in_thread(called, *args, **kwargs)
            return await self._in_thread(lambda: _hidden_answer(runner.encoded(value), secrets))
        except HoldfastError:
            raise
        except Exception as exc:  # noqa: BLE001 - our code ends here: any error of a skill's own is its answer
            log.debug("skill.raised", skill=skill.name, trace="".join(traceback.format_exception(exc))[-4000:])
            # A cause travels into histories as it is, and this one may hold a secret.
            raise _raised(skill, runner.describe(exc, str(folder)), secrets) from (None if secrets else exc)

    async def _in_thread(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        context = contextvars.copy_context()
        call = partial(context.run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _module(self, skill: CatalogueSkill) -> ModuleType:
        with self._importing:
            if skill.name not in self._modules:
                name = f"holdfast_builtin_{skill.spec.identifier}"
                self._modules[skill.name] = runner.load_module(
                    str(self._builtin / skill.name), skill.spec.handler or "", name
                )
            return self._modules[skill.name]

    async def _in_process(
        self, skill: CatalogueSkill, function: str | None, arguments: dict[str, Json], context: SkillContext
    ) -> Json:
        secrets = secrets_of(skill, self._environ)
        folder = await asyncio.to_thread(materialised, skill, self._blobs, self._home)
        environment = clean_environment(self._environ, secrets)
        key = RunnerKey(self._python, folder, skill.spec.handler or "", environment, context.tenant)
        shared = context.shared() | {"secrets": secrets}
        frame = json.dumps({"function": function, "arguments": arguments, "context": shared}).encode() + b"\n"
        line = await self._ask(skill, key, frame, secrets)
        answer = await self._in_thread(_hidden_answer, line, secrets)
        if "error" in answer:
            raise _raised(skill, answer["error"], secrets)
        return answer["value"]

    async def _ask(self, skill: CatalogueSkill, key: RunnerKey, frame: bytes, secrets: Mapping[str, str]) -> bytes:
        process = await self._started(key)
        try:
            line = await process.ask(frame)
        except Gone as gone:
            process.kill()
            raise _crashed(skill, gone, secrets) from None
        except AnswerTooLarge:
            process.kill()
            raise SkillOutputError(f"skill {skill.name!r} answered more than {runner.MAX_ANSWER_BYTES} bytes") from None
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.tail:
            log.debug("skill.printed", skill=skill.name, tail=hidden(process.tail, secrets))
        self._pool.give(key, process)
        return line

    async def _started(self, key: RunnerKey) -> RunnerProcess:
        try:
            return await self._pool.take(key)
        except OSError as exc:
            raise SettingsInvalid(f"the skills' interpreter {key.python!r} cannot be started: {exc.strerror}") from exc


def _hidden_answer(line: bytes, secrets: Mapping[str, str]) -> Json:
    value = json.loads(line)
    return hidden_in(value, secrets) if secrets else value


def _raised(skill: CatalogueSkill, failure: Mapping[str, Any], secrets: Mapping[str, str]) -> HoldfastError:
    """The error of ours that stands for what the skill's code raised."""
    place = f" ({failure['place']})" if failure["place"] else ""
    message = hidden(f"skill {skill.name!r} raised {failure['type']}: {failure['message']}{place}", secrets)
    match failure["kind"]:
        case "input":
            return SkillInputError(message)
        case "answer":
            return SkillOutputError(hidden(f"skill {skill.name!r}: {failure['message']}", secrets))
        case _:
            return SkillFailed(message) if failure["retryable"] else SkillRefused(message)


def _crashed(skill: CatalogueSkill, gone: Gone, secrets: Mapping[str, str]) -> SkillCrashed:
    last = f"; it printed last: {shown(hidden(gone.tail[-180:], secrets))}" if gone.tail.strip() else ""
    return SkillCrashed(f"the process of skill {skill.name!r} died: {gone.how}{last}")


def _outcome(skill: CatalogueSkill, found: Json) -> Checked:
    match found:
        case True:
            return Checked(outcome="done", value=None)
        case False:
            return Checked(outcome="not_done", value=None)
        case None:
            return Checked(outcome="unknown", value=None)
        case {"outcome": "done" | "not_done" | "unknown" as outcome}:
            return Checked(outcome=outcome, value=found.get("value"))
    allowed = 'True, False, None or {"outcome": "done" | "not_done" | "unknown", "value": …}'
    raise SkillOutputError(f"check of skill {skill.name!r} answered {shown(found)}; allowed: {allowed}")


def _log(skill: str, event: str, **values: Any) -> None:
    log.debug("skill.log", skill=skill, said=event, values=values)
