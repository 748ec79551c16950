"""The activity `agent.run`: one run of an agent in Python, in a process of the project's own interpreter."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from pydantic import ValidationError
from temporalio import activity

from activities.skills import Skills
from holdfast.catalogue import Catalogue, CatalogueSkill
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Json
from holdfast.contracts.model import Usage
from holdfast.contracts.skill import AGENT_RUN, SkillAnswer, SkillCall
from holdfast.errors import SkillOutputError, UnknownAgent, shown
from holdfast.names import OWN_RUN
from holdfast.schemas import compiled

REPORTED = "reported"
"""The provider of usage that an agent tells of itself, when it names none."""
_KEYS = ("model_used", "input_tokens", "output_tokens", "total_cost", "generation_id")


class OwnAgents:
    """Runs agents as their code stood in the catalogue that the task pinned."""

    def __init__(self, skills: Skills) -> None:
        self._skills = skills

    @activity.defn(name=AGENT_RUN.name)
    async def run(self, call: SkillCall) -> SkillAnswer:
        """What the agent gives, and what it says that it took. Raises as `skill.run`.

        What it asks of models and skills is recorded in the workflow's journal, so that a run that begins again gets
        the same answers.
        """
        return await self._skills.performed(call, self._run)

    async def _run(self, call: SkillCall, given: Json) -> SkillAnswer:
        catalogue = Catalogue.open(self._skills.blobs, call.catalogue)
        agent, run = _found(catalogue, call.skill)
        asking = self._skills.asking(call)

        async def ask_model(prompt: str, system: str) -> str:
            return await asking(prompt, system or agent.system_prompt)

        async def call_skill(name: str, arguments: dict[str, Json]) -> Json:
            return await asking.call(catalogue.find(name), arguments)

        context = replace(
            self._skills.context(call, asking),
            ask_model=ask_model,
            call_skill=call_skill,
            user_hash=call.task.principal.user_hash,
            config=agent.extra.get("config") or {},
        )
        said = await self._skills.runner.run(run, {"input": as_input(given)}, context)
        output, usage = parted(said)
        _check(agent, output)
        return SkillAnswer(value=await self._skills.kept(output), usage=usage)


def _found(catalogue: Catalogue, name: str) -> tuple[AgentSpec, CatalogueSkill]:
    agent = catalogue.find_agent(name.removeprefix(OWN_RUN))
    run = catalogue.runs.get(name.removeprefix(OWN_RUN))
    if run is None:
        raise UnknownAgent(f"agent {agent.name!r} has no class in the catalogue of this task")
    return agent, run


def as_input(given: Json) -> Json:
    """The `input_data` of an agent: a mapping as it is; plain words under the names by which agents look for them."""
    if isinstance(given, Mapping):
        return given
    return {} if given is None else {"text": given, "prompt": given, "task": given}


def parted(said: Json) -> tuple[Json, list[Usage]]:
    """{output, usage} in two; of any other mapping, `usage` is split off.

    Raises:
        SkillOutputError: the usage is none.
    """
    if not isinstance(said, dict):
        return said, []
    rest = {name: value for name, value in said.items() if name != "usage"}
    output = rest.get("output", rest)
    return output, [_usage(said["usage"])] if said.get("usage") else []


def _usage(found: Json) -> Usage:
    if not isinstance(found, dict):
        raise SkillOutputError(f"usage: found {shown(found)}; allowed is a mapping of {', '.join(_KEYS)}")
    cost = found.get("total_cost")
    provider, model = _named(str(found.get("model_used") or ""))
    try:
        return Usage(
            provider=provider,
            model=model,
            input_tokens=found.get("input_tokens") or 0,
            output_tokens=found.get("output_tokens") or 0,
            cost=None if cost is None else Decimal(str(cost)),
        )
    except (ValidationError, ArithmeticError) as exc:
        raise SkillOutputError(f"usage: found {shown(found)}; allowed are whole numbers of tokens, and USD") from exc


def _named(model: str) -> tuple[str, str]:
    """`openai/gpt-5` and `openai:gpt-5` -> openai, gpt-5."""
    for separator in (":", "/"):
        provider, found, name = model.partition(separator)
        if found and provider and name:
            return provider, name
    return REPORTED, model or "unknown"


def _check(agent: AgentSpec, output: Json) -> None:
    problems = compiled(agent.output_schema).problems(output, "output") if agent.output_schema else []
    if problems:
        raise SkillOutputError(f"agent {agent.name!r} answered outside of its output_schema: {'; '.join(problems)}")
