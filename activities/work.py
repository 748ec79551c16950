"""Local activities between steps: `work.prepare`, `work.judge`, `work.collect`. They read what a workflow may not."""

import asyncio
from typing import Any

import structlog
from temporalio import activity

from activities.alive import beating
from activities.values import loaded, stored
from holdfast import cel
from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue
from holdfast.childstarts import Child, start_child
from holdfast.contracts.base import INLINE_ANSWER_BYTES, Failure, Json
from holdfast.contracts.flow import (
    COLLECT,
    JUDGE,
    MAX_DEPTH,
    PREPARE,
    Around,
    AskSpec,
    Collect,
    Collected,
    Judge,
    Prepared,
    PrepareStep,
    Verdict,
)
from holdfast.contracts.principal import PROGRAM, TaskRef
from holdfast.contracts.program import ProgramSpec
from holdfast.contracts.question import Question
from holdfast.contracts.work import FlowTask, TaskSpec
from holdfast.errors import InvalidRequest, UserError
from holdfast.outputs import as_json, filled, passed_on
from holdfast.starts import Start, kept
from store.records import NewTask, Records

log = structlog.stdlib.get_logger(__name__)


class Steps:
    """Makes steps ready to be started. What cannot be started, as it is, is an answer: `refused`."""

    def __init__(self, records: Records, blobs: BlobStore, max_file_bytes: int) -> None:
        self._records, self._blobs, self._max_file_bytes = records, blobs, max_file_bytes

    @activity.defn(name=PREPARE.name)
    async def prepare(self, request: PrepareStep) -> Prepared:
        """A step's child, with its row; or that there is none. Repeating it changes nothing."""
        structlog.contextvars.bind_contextvars(trace_id=request.task.trace_id, task_id=request.task.task_id)
        async with beating():
            try:
                return await self._prepared(request)
            except UserError as exc:
                log.info("step.refused", step=request.step.name, error=type(exc).__name__)
                return Prepared(refused=Failure(type=exc.code, message=str(exc), details={"kind": "refused"}))

    async def _prepared(self, request: PrepareStep) -> Prepared:
        step = request.step
        if request.depth > MAX_DEPTH:
            text = (
                f"tasks start tasks {request.depth} deep; allowed are {MAX_DEPTH}: does a flow or an agent call itself?"
            )
            raise InvalidRequest(text)
        names = await self._names(request.around)
        if step.condition and not _holds(step.condition, names):
            return Prepared(skipped=f"its condition is false: {step.condition}")
        if step.ask is not None:
            return Prepared(question=_question(step.name, step.ask, request, names))
        given = self._given(request, names)
        begins = await asyncio.to_thread(self._started, request, given)
        await self._recorded(request, begins, given)
        kind = {TaskSpec: "task", ProgramSpec: "program", FlowTask: "flow"}[type(begins.spec)]
        spec = begins.spec.model_dump(mode="json")
        return Prepared.model_validate({"summary": f"{step.name}: {begins.summary}"[:200], kind: spec})

    @activity.defn(name=JUDGE.name)
    async def judge(self, request: Judge) -> Verdict:
        """Whether an expression is true. One that cannot be evaluated is not, and says why."""
        try:
            return Verdict(is_true=cel.is_true(request.expression, await self._names(request.around)))
        except ValueError as exc:
            return Verdict(is_true=False, error=str(exc))

    @activity.defn(name=COLLECT.name)
    async def collect(self, request: Collect) -> Collected:
        """Outputs, put together as one value."""
        found: dict[str, Json] = dict(request.plain)
        for name, value in request.fields.items():
            found[name] = as_json(await loaded(self._blobs, value))
        for name, values in request.lists.items():
            found[name] = [as_json(await loaded(self._blobs, value)) for value in values]
        for name, mapped in request.maps.items():
            found[name] = {key: as_json(await loaded(self._blobs, value)) for key, value in mapped.items()}
        return Collected(value=await stored(self._blobs, found, INLINE_ANSWER_BYTES))

    async def _names(self, around: Around) -> dict[str, Json]:
        """What conditions and inputs can name."""

        async def read(value: Any) -> Json:
            return None if value is None else as_json(await loaded(self._blobs, value))

        outputs = {name: await read(value) for name, value in around.outputs.items()}
        steps = {
            name: {"state": state, "output": outputs.get(name), "error": around.errors.get(name)}
            for name, state in around.states.items()
        }
        previous = await read(around.previous)
        return {
            "input": await loaded(self._blobs, around.input),
            "steps": steps,
            "output": previous,
            "iteration": around.iteration,
            "previous_output": previous,
            "research_findings": await read(around.first),
            "previous_feedback": await read(around.feedback),
        }

    def _given(self, request: PrepareStep, names: dict[str, Json]) -> Json:
        step = request.step
        if step.input is not None:
            return filled(step.input, names)
        if request.said_as == "plain":
            return names["input"]
        if len(step.depends_on) > 1:
            names["previous_output"] = {name: names["steps"].get(name, {}).get("output") for name in step.depends_on}
        return passed_on(names, is_first=not step.depends_on)

    def _started(self, request: PrepareStep, given: Json) -> Start:
        child = Child(
            step=request.step,
            given=given,
            task=request.task.child(request.child),
            models=request.models,
            left_seconds=min(request.left_seconds, request.step.timeout_seconds or request.left_seconds),
            depth=request.depth,
            is_budgeted=request.is_budgeted,
            max_file_bytes=self._max_file_bytes,
            above=request.above,
        )
        return start_child(child, Catalogue.open(self._blobs, request.catalogue), request.catalogue, self._blobs)

    async def _recorded(self, request: PrepareStep, begins: Start, given: Json) -> None:
        child: TaskRef = request.task.child(request.child)
        value = await asyncio.to_thread(kept, self._blobs, given)
        new = NewTask(
            tenant=child.principal.tenant,
            id=child.task_id,
            type=begins.type,
            name=begins.name,
            trace_id=child.trace_id,
            user_hash=child.principal.user_hash,
            parent_id=request.task.task_id.removesuffix(f"/{PROGRAM}"),
            step=request.step.name,
            iteration=request.around.iteration,
            position=request.position,
            catalogue=request.catalogue,
            input=value.inline,
            input_ref=value.ref,
        )
        await self._records.create(new)


def _holds(condition: str, names: dict[str, Json]) -> bool:
    try:
        return cel.is_true(condition, names)
    except ValueError as exc:
        raise InvalidRequest(f"condition: {exc}") from None


def _question(name: str, ask: AskSpec, request: PrepareStep, names: dict[str, Json]) -> Question:
    now = activity.info().scheduled_time.timestamp()
    limits = [one for one in (ask.deadline_seconds, request.step.timeout_seconds) if one is not None]
    return Question(
        id=request.child,
        text=str(filled(ask.text, names)),
        options=ask.options,
        default=ask.default,
        asked_at=now,
        deadline=now + min(limits) if limits else None,
        on_timeout=ask.on_timeout,
        form=ask.form,
    )
