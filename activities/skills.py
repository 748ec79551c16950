"""The activities `skill.run` and `skill.check`: one call of one skill."""

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities import engine
from activities.alive import beating, refuse_overtaken, refuse_unwanted
from activities.engine import Engine
from activities.nested import Asking, Nests
from activities.values import loaded, stored
from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue, CatalogueSkill
from holdfast.contracts.base import INLINE_ANSWER_BYTES, Json, Value
from holdfast.contracts.skill import ANSWER_LOST, SKILL_CHECK, SKILL_RUN, CheckAnswer, SkillAnswer, SkillCall
from holdfast.errors import HoldfastError, StoreUnavailable
from skills.run import SkillContext, SkillRunner

log = structlog.stdlib.get_logger(__name__)


class Skills:
    """Runs calls of skills as they stood in the catalogue that the task pinned."""

    def __init__(
        self,
        runner: SkillRunner,
        blobs: BlobStore,
        workspaces: Path,
        project: Path,
        nests: Nests,
        engines: Mapping[str, Engine],
    ) -> None:
        """The tenant `default` may read the project folder below its workspace; nobody may write there. `engines` is
        the code of engine skills by name."""
        self.runner, self.blobs, self._nests, self._engines = runner, blobs, nests, engines
        self._workspaces, self._project = workspaces, project

    @activity.defn(name=SKILL_RUN.name)
    async def run(self, call: SkillCall) -> SkillAnswer:
        """The skill's answer, by reference above 256 bytes.

        Raises:
            ApplicationError: the skill failed; its `type` is the error's class name, and whether a retry may help
                is that class's own word.
        """
        return await self.performed(call, self._run)

    async def _run(self, call: SkillCall, arguments: Json) -> SkillAnswer:
        skill = self._skill(call)
        if skill.spec.kind == "engine":
            value = await engine.answered(self._engines, skill, call, arguments)
        else:
            value = await self.runner.run(skill, arguments, self.context(call, self.asking(call)))
        return SkillAnswer(value=await self.kept(value))

    async def performed(
        self, call: SkillCall, work: Callable[[SkillCall, Json], Awaitable[SkillAnswer]]
    ) -> SkillAnswer:
        """The answer of work on a call and its arguments. Raises as `run`."""
        _bind(call)
        async with beating():
            try:
                arguments = await loaded(self.blobs, call.arguments)
                await refuse_overtaken()
                began = time.monotonic()
                answer = await work(call, arguments)
                log.info("skill.run", attempt=activity.info().attempt, ms=round((time.monotonic() - began) * 1000, 1))
                return answer
            except HoldfastError as exc:
                raise _failed(exc) from exc

    async def kept(self, value: Json) -> Value:
        """The answer, stored. A call that ran and whose answer is lost did not fail: nobody knows its outcome."""
        try:
            return await stored(self.blobs, value, INLINE_ANSWER_BYTES)
        except StoreUnavailable as exc:
            raise ApplicationError(f"the skill ran, and its answer was lost: {exc}", type=ANSWER_LOST) from exc

    @activity.defn(name=SKILL_CHECK.name)
    async def check(self, call: SkillCall) -> CheckAnswer:
        """What the skill's own `check` finds out about a call that began and was lost."""
        _bind(call)
        async with beating():
            try:
                skill = self._skill(call)
                arguments = await loaded(self.blobs, call.arguments)
                found = await self.runner.check(skill, arguments, self.context(call, self.asking(call)))
                value = await stored(self.blobs, found["value"], INLINE_ANSWER_BYTES)
                return CheckAnswer(outcome=found["outcome"], value=value)
            except HoldfastError as exc:
                raise _failed(exc) from exc

    def _skill(self, call: SkillCall) -> CatalogueSkill:
        return Catalogue.open(self.blobs, call.catalogue).find(call.skill)

    def asking(self, call: SkillCall) -> Asking:
        """How the code of a call asks models and skills."""
        info = activity.info()
        assert info.workflow_id and info.workflow_run_id
        return self._nests(info.workflow_id, info.workflow_run_id, call.call_id)

    def context(self, call: SkillCall, asking: Asking) -> SkillContext:
        """What a call brings along."""
        tenant = call.task.principal.tenant
        workspace = self._workspaces / tenant / "default"
        workspace.mkdir(parents=True, exist_ok=True)
        return SkillContext(
            task_id=call.task.task_id,
            tenant=tenant,
            call_id=call.call_id,
            key=call.key,
            trace_id=call.task.trace_id,
            attempt=activity.info().attempt,
            workspace=workspace,
            timeout_seconds=call.timeout_seconds,
            project=self._project if tenant == "default" else None,
            ask_model=asking,
            refuse_unwanted=refuse_unwanted,
        )


def _bind(call: SkillCall) -> None:
    task = call.task
    structlog.contextvars.bind_contextvars(
        trace_id=task.trace_id, task_id=task.task_id, call_id=call.call_id, skill=call.skill
    )


def _failed(exc: HoldfastError) -> ApplicationError:
    """The failure as Temporal keeps it. Benign, so that the SDK logs no traceback: it is logged here, once, by type."""
    log.warning("skill.failed", attempt=activity.info().attempt, error=type(exc).__name__, retryable=exc.retryable)
    return ApplicationError(
        str(exc),
        {"code": exc.code},
        type=type(exc).__name__,
        non_retryable=not exc.retryable,
        category=ApplicationErrorCategory.BENIGN,
    )
