"""Agents that are called as skills: each call is a child task, with its agent's prompt, skills and limits."""

import asyncio
from collections.abc import Callable
from typing import Any

from holdfast.approvals import on_behalf
from holdfast.contracts.base import Value
from holdfast.contracts.flow import PREPARE, Around, Prepared, PrepareStep, StepSpec
from holdfast.contracts.journal import Entry
from holdfast.contracts.principal import PROGRAM, TaskRef
from holdfast.contracts.program import ProgramSpec
from holdfast.contracts.skill import SkillAnswer
from holdfast.contracts.work import TASK_WORKFLOW
from workflows import saving
from workflows.children import Children, Failed

_NAME = 64


class AgentCalls:
    """Calls of agents by one workflow. The child's id is `<this workflow's id>/<call id>`: the same call is the same
    child, also after a continue-as-new."""

    def __init__(self, spec: ProgramSpec, task: TaskRef, children: Children, left: Callable[[], float]) -> None:
        self._spec, self._task, self._children, self._left = spec, task, children, left
        self._slots = asyncio.Semaphore(spec.limits.max_parallel)
        self._queued: set[str] = set()

    async def answer(self, entry: Entry) -> SkillAnswer:
        """What the agent answered, or why it did not; at most `max_parallel` run at once."""
        self._queued.add(entry.id)
        try:
            async with self._slots:
                self._queued.discard(entry.id)
                return await self._answer(entry)
        finally:
            self._queued.discard(entry.id)

    def is_long(self, entry: Entry) -> bool:
        """Whether it runs, or waits for a slot, so that this workflow may continue as new without it."""
        return entry.id in self._queued or self._children.is_outliving(entry.id)

    def asks(self, entry: Entry) -> bool:
        """Whether it waits for people."""
        report = self._children.reports.get(entry.id)
        return report is not None and report.state == "WAITING"

    async def _answer(self, entry: Entry) -> SkillAnswer:
        prepared = Prepared() if self._children.is_outliving(entry.id) else await self._prepared(entry)
        if prepared.refused is not None:
            return SkillAnswer(error=prepared.refused)
        task = {**prepared.task, "reports_end": True} if isinstance(prepared.task, dict) else None
        try:
            result = await self._children.outlive(entry.id, TASK_WORKFLOW, task, prepared.summary)
        except Failed as exc:
            return SkillAnswer(error=exc.failure, spent=exc.result.spent if exc.result else None)
        return SkillAnswer(value=result.value or Value(), spent=result.spent)

    async def _prepared(self, entry: Entry) -> Prepared:
        spec = self._spec
        request = PrepareStep(
            task=self._task,
            child=entry.id,
            catalogue=spec.catalogue,
            step=StepSpec(name=entry.skill[:_NAME], kind="agent", who=entry.skill, timeout_seconds=self._limit()),
            around=Around(input=entry.arguments),
            said_as="plain",
            models=spec.models,
            left_seconds=max(0.001, self._left()),
            depth=spec.depth + 1,
            is_budgeted=spec.is_budgeted,
            above=on_behalf(spec.above, spec.by),
        )
        options: dict[str, Any] = {"result_type": Prepared, "summary": f"prepare {entry.id}"}
        prepared: Prepared = await saving.locally(PREPARE.name, request, **options)
        return prepared

    def _limit(self) -> float | None:
        return self._spec.limits.call_seconds


def place(spec: ProgramSpec) -> TaskRef:
    """What children of a program's workflow are children of: a program of an agent's task has a place of its own."""
    return spec.task.child(PROGRAM) if spec.author is not None else spec.task
