"""An agent in Python: its run is the one call of a program that has no text.

    RUN (activity `agent.run`) -> what it asks, each a call of the same journal, by the update `nest`

So it has all that programs have: the journal, and with it the answers that stand when the run begins again.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from holdfast.contracts.base import Failure
from holdfast.contracts.program import Ask, Author, ProgramSpec
from holdfast.contracts.skill import AGENT_RUN, SkillAnswer, SkillCall, SkillFacts
from holdfast.contracts.work import TaskSpec
from holdfast.ids import call_hash, call_id
from holdfast.names import listed, own_run
from workflows import policies
from workflows.effects import failure


def own_program(spec: TaskSpec, left_seconds: float) -> ProgramSpec:
    """The program that is the run of this task's agent. Its own time is limited by `run_seconds`, as a program's is."""
    task, name = spec.brief.task, own_run(spec.brief.agent)
    given = spec.inputs.model_dump(mode="json")
    facts = SkillFacts(
        name=name, kind="own", timeout_seconds=spec.limits.run_seconds, max_retries=spec.brief.max_retries
    )
    return ProgramSpec(
        task=task,
        type=spec.type,
        call=Ask(id=call_id(call_hash("own", name, given), 1), skill=name, arguments=spec.inputs),
        author=Author(brief=spec.brief),
        catalogue=spec.brief.catalogue,
        skills=[facts, *spec.skills],
        models=spec.brief.models,
        limits=spec.limits.model_copy(update={"task_seconds": max(0.001, left_seconds)}),
        tuning=spec.tuning,
        depth=spec.depth,
        is_budgeted=spec.is_budgeted,
        clarification=spec.clarification,
        above=spec.above,
    ).pinned()


async def run_own(call: SkillCall, facts: SkillFacts) -> SkillAnswer:
    """What the agent gives, or the error that stands. It holds no slot, and reserves nothing: what it asks does.

    What its code does wrong is tried `max_retries` times more. That workers are lost, or leave, is not counted: it may
    wait for people for longer than any of them lives.
    """
    for failures in range(facts.max_retries + 1):
        if failures:
            await workflow.sleep(policies.OWN_PAUSE)
        answer = await _once(call, facts)
        if answer.error is None or answer.error.type not in policies.OWN_FAULTS:
            break
    return answer


async def _once(call: SkillCall, facts: SkillFacts) -> SkillAnswer:
    try:
        answer: SkillAnswer = await workflow.execute_activity(
            AGENT_RUN.name,
            call,
            result_type=SkillAnswer,
            activity_id=call.call_id,
            summary=f"run {call.skill}",
            **policies.own(facts),
        )
        return answer
    except ActivityError as exc:
        if is_cancelled_exception(exc):
            raise asyncio.CancelledError from exc
        return SkillAnswer(error=failure(exc.cause))


def denied(skill: str, spec: ProgramSpec) -> Failure:
    """Why an agent's call is recorded as failed, and not made. It is told by name in the log, too."""
    allowed = listed(facts.name for facts in spec.skills if facts.kind != "own")
    agent = spec.author.brief.agent if spec.author else ""
    told = {"skill": skill, "agent_name": agent, "task_id": spec.task.task_id, "trace_id": spec.task.trace_id}
    workflow.logger.warning("skill.denied", extra=told)
    text = f"skill {skill!r} is not granted to this task; it may use: {allowed}"
    return Failure(type="SkillDenied", message=text)
