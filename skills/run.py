"""One call of one skill: checked before, run where its kind of code belongs, checked after."""

import asyncio
import contextvars
import inspect
import json
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from holdfast.blobs import BlobStore
from holdfast.catalogue import BUILTIN, CatalogueSkill
from holdfast.contracts.base import Json
from holdfast.errors import HoldfastError, NoModel, SettingsInvalid, SkillCrashed, SkillOutputError, SkillTimeout
from holdfast.log import get_logger
from skills import runner
from skills.asking import AskModel, CallSkill, Model
from skills.cache import materialised
from skills.outcomes import Checked, Garbled, checked, crashed, raised, said
from skills.process import AnswerTooLarge, Gone, RunnerKey, RunnerPool, RunnerProcess, clean_environment, interpreter
from skills.quota import Quota
from skills.secrets import hidden, hidden_in, secrets_of
from skills.workspace import readable_project

log = get_logger(__name__)

_THREADS = 64


@dataclass(frozen=True)
class SkillContext:
    """What a call brings along. `workspace` is the agent's lasting folder, made by the caller.

    `project` is a folder that skills may read below the workspace. `ask_model` gives the model's text for (prompt,
    system), or raises a HoldfastError; without it, whoever asks gets NoModel. `call_skill`, `user_hash` and `config`
    are for agents. `refuse_unwanted` is asked before code is begun later than it was told to: it raises if somebody
    else has taken the call over meanwhile.
    """

    task_id: str
    tenant: str
    call_id: str
    key: str
    trace_id: str
    attempt: int
    workspace: Path
    timeout_seconds: float
    project: Path | None = None
    ask_model: AskModel | None = None
    call_skill: CallSkill | None = None
    user_hash: str | None = None
    config: dict[str, Json] = field(default_factory=dict)
    refuse_unwanted: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True)
class _Call:
    """One function of a skill's code, about to run. `shared` is what its code sees of the context."""

    skill: CatalogueSkill
    function: str | None
    arguments: dict[str, Json]
    shared: dict[str, Any]
    secrets: dict[str, str]
    model: Model
    refuse_unwanted: Callable[[], Awaitable[None]] | None
    of_class: dict[str, Any] | None = None


class SkillRunner:
    """Runs skills for one worker. Built-in code runs in this process, a project's own in processes kept warm for it."""

    def __init__(
        self,
        blobs: BlobStore,
        home: Path,
        environ: Mapping[str, str],
        project_python: str | None = None,
        builtin: Path = BUILTIN,
        workspace_bytes: int = 5 << 30,
    ) -> None:
        """Secrets are looked up in `environ`; `project_python` runs a project's skills, by default our own does. Skills
        that write are refused once their workspace holds `workspace_bytes`."""
        self._quota = Quota(workspace_bytes)
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
            SkillRefused also, before anything is run, if the workspace is full.
        """
        filled = skill.check_input(arguments)
        if skill.spec.writes:
            await asyncio.to_thread(self._quota.check, context.workspace)
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
        found = checked(skill, await self._call(skill, skill.spec.check, filled, context))
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
        if skill.spec.kind == "prompt":
            raise NoModel(f"skill {skill.name!r} is of kind 'prompt': a language model answers it, none is set up")
        assert skill.spec.kind not in ("native", "agent", "engine"), f"{skill.name} is answered elsewhere"
        where = self._in_worker if skill.origin == "builtin" else self._in_process
        secrets = secrets_of(skill, self._environ)
        shared = self._shared(context) | {"secrets": secrets}
        try:
            async with asyncio.timeout(context.timeout_seconds) as limit:
                with Model(skill, arguments, context.ask_model, secrets, limit, context.call_skill) as model:
                    own = _of_class(skill, context)
                    return await where(
                        _Call(skill, function, arguments, shared, secrets, model, context.refuse_unwanted, own)
                    )
        except TimeoutError:
            name = "limits.run_seconds" if skill.spec.kind == "own" else "timeout_seconds"
            seconds = f"{context.timeout_seconds:g} s ({name})"
            raise SkillTimeout(f"{skill.label} ran longer than its {seconds}") from None

    def _shared(self, context: SkillContext) -> dict[str, Any]:
        names = ("task_id", "tenant", "call_id", "key", "trace_id", "attempt")
        folders = {
            "workspace": str(context.workspace),
            "project": readable_project(context.project, self._home),
        }
        return {name: getattr(context, name) for name in names} | folders

    async def _in_worker(self, call: _Call) -> Json:
        """Built-in code. A thread cannot be ended: what it does after a timeout has no effect on the task."""
        skill, secrets = call.skill, call.secrets
        log_it, llm = partial(_log, skill.name), call.model.llm
        seen = SimpleNamespace(**call.shared, log=log_it, llm=llm, ModelError=runner.ModelError)
        try:
            module = await self._in_thread(self._module, skill)
            called = runner.find_function(module, skill.spec.handler or "", call.function)
            args, kwargs = runner.positional_and_named(called, call.arguments, seen)
            if inspect.iscoroutinefunction(called):
                value = await called(*args, **kwargs)
            else:
                value = await self._in_thread(called, *args, **kwargs)
            return await self._in_thread(lambda: _hidden_answer(json.loads(runner.encoded(value)), secrets))
        except HoldfastError:
            raise
        except runner.ModelError as exc:
            # Not its cause: that is this very error, and who follows causes would go round in circles.
            raise raised(skill, runner.describe(exc, ""), secrets, call.model.failure) from None
        except Exception as exc:  # noqa: BLE001 - our code ends here: any error of a skill's own is its answer
            log.debug("skill.raised", skill=skill.name, trace="".join(traceback.format_exception(exc))[-4000:])
            failure = runner.describe(exc, str(self._builtin / skill.name))
            # A cause travels into histories as it is, and this one may hold a secret.
            raise raised(skill, failure, secrets, call.model.failure) from (None if secrets else exc)

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

    async def _in_process(self, call: _Call) -> Json:
        skill, secrets = call.skill, call.secrets
        folder = await asyncio.to_thread(materialised, skill, self._blobs, self._home)
        environment = clean_environment(self._environ, secrets)
        key = RunnerKey(self._python, folder, skill.spec.handler or "", environment, call.shared["tenant"])
        frame = {"function": call.function, "arguments": call.arguments, "context": call.shared}
        if call.of_class is not None:
            frame["class"] = call.of_class
        answer = await self._answer(call, key, frame)
        if "error" in answer:
            raise raised(skill, answer["error"], secrets, call.model.failure)
        return await self._in_thread(_hidden_answer, answer["value"], secrets)

    async def _answer(self, call: _Call, key: RunnerKey, frame: dict[str, Any]) -> dict[str, Any]:
        """What the process says in the end; what it asks on the way is answered."""
        skill, process = call.skill, await self._started(key)
        try:
            heard = await self._begun(process, call, frame)
            while "ask" in heard or "call" in heard:
                heard = await self._heard(process, await call.model.reply(heard))
        except Gone as gone:
            process.kill()
            raise crashed(skill, gone, call.secrets) from None
        except AnswerTooLarge:
            process.kill()
            raise SkillOutputError(f"{skill.label} answered more than {runner.MAX_ANSWER_BYTES} bytes") from None
        except Garbled as exc:
            process.kill()
            found = hidden(str(exc), call.secrets)
            raise SkillCrashed(f"the process of {skill.label} broke the protocol: it wrote {found}") from None
        except BaseException:
            process.kill()
            raise
        if process.tail:
            log.debug("skill.printed", skill=skill.name, tail=hidden(process.tail, call.secrets))
        self._pool.give(key, process)
        return heard

    async def _begun(self, process: RunnerProcess, call: _Call, frame: dict[str, Any]) -> dict[str, Any]:
        """The first word of the code. A process that was paused on its way to it does not begin without a new order."""
        while "late" in (heard := await self._heard(process, {**frame, "sent_at": time.monotonic()})):
            if call.refuse_unwanted is not None:
                await call.refuse_unwanted()
        return heard

    async def _heard(self, process: RunnerProcess, frame: dict[str, Any]) -> dict[str, Any]:
        line = await process.ask(json.dumps(frame).encode() + b"\n")
        return await self._in_thread(said, line)  # type: ignore[no-any-return]

    async def _started(self, key: RunnerKey) -> RunnerProcess:
        try:
            return await self._pool.take(key)
        except OSError as exc:
            raise SettingsInvalid(f"the skills' interpreter {key.python!r} cannot be started: {exc.strerror}") from exc


def _of_class(skill: CatalogueSkill, context: SkillContext) -> dict[str, Any] | None:
    """How a runner's process runs an agent or a tool in Python; None for a function."""
    if skill.spec.kind not in ("class", "own"):
        return None
    asker = {"user_id_hash": context.user_hash, "config": context.config}
    return {"name": skill.spec.function, "kind": skill.spec.kind, **asker}


def _hidden_answer(value: Json, secrets: Mapping[str, str]) -> Json:
    return hidden_in(value, secrets) if secrets else value


def _log(skill: str, event: str, **values: Any) -> None:
    log.debug("skill.log", skill=skill, said=event, values=values)
