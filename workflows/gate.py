"""A person's word before a step of a delegation begins, where rules of approval mean its agent."""

from collections.abc import Coroutine
from typing import Any

from temporalio import workflow

from holdfast.contracts.approval import ApprovalState
from holdfast.contracts.base import Value
from holdfast.contracts.flow import StepSpec
from holdfast.contracts.skill import SkillCall, SkillFacts
from holdfast.contracts.work import TaskSpec
from holdfast.ids import call_hash, call_id
from workflows.approvals import Approvals
from workflows.children import Failed
from workflows.questions import Questions

SCOPE = "delegate"


class Gate:
    """The approvals of a master's steps. A step counts as a call of its agent with the argument `task`."""

    def __init__(self, spec: TaskSpec, questions: Questions) -> None:
        self._spec, self._questions = spec, questions
        self._team = {facts.name: facts for facts in spec.team}
        self._approvals = Approvals(spec.brief.task, spec.brief.agent, questions, ApprovalState())

    def word(self, step: StepSpec, task: str) -> Coroutine[Any, Any, None] | None:
        """What it waits for; None: no rule means its agent.

        Raises, when awaited:
            Failed: it may not begin.
        """
        facts = self._team.get(step.who)
        return None if facts is None else self._allowed(self._call(step, facts, task), facts)

    async def _allowed(self, call: SkillCall, facts: SkillFacts) -> None:
        try:
            why = await self._approvals.refusal(call, facts, workflow.now().timestamp())
        finally:
            self._questions.withdraw(call.call_id)
        if why is not None:
            raise Failed(why)

    def _call(self, step: StepSpec, facts: SkillFacts, task: str) -> SkillCall:
        brief, arguments = self._spec.brief, {"task": task}
        return SkillCall(
            task=brief.task,
            call_id=call_id(call_hash(f"{SCOPE}:{step.name}", facts.name, arguments), 1),
            skill=facts.name,
            arguments=Value(inline=arguments),
            catalogue=brief.catalogue,
            effect=facts.effect,
        )
