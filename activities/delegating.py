"""The activities `llm.delegate` and `llm.merge`: who does what of a task, and one answer made of what they gave."""

import asyncio
import json
from typing import Any

from temporalio import activity

from activities.asking import Asker
from activities.delegations import Team, read_delegation
from activities.describe import catalogue_lines
from activities.dialogue import Dialogue, Turn
from activities.values import loaded, stored
from activities.wording import bound, prompted
from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import INLINE_ANSWER_BYTES
from holdfast.contracts.llm import (
    LLM_DELEGATE,
    LLM_MERGE,
    Answer,
    Brief,
    Contribution,
    DelegationPlan,
    DelegationRequest,
    MergeRequest,
)
from holdfast.names import canonical_name
from providers.base import Given, Known

_SHOWN_SKILLS = 30
_SHOWN_CHARACTERS = 64 << 10
"""So much of one step's result the model gets to read."""

_STEP: dict[str, Any] = {
    "type": "object",
    "properties": {
        "task": {"type": "string"},
        "delegateTo": {"type": "string"},
        "reason": {"type": "string"},
        "after": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["task"],
    "additionalProperties": False,
}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "steps": {"type": "array", "items": _STEP},
        "reasoning": {"type": "string"},
        "answer": {"type": "string"},
        "ask": {"type": "string"},
        "options": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}


class Delegating:
    """Plans over the agents of the catalogue that a task pinned."""

    def __init__(self, asker: Asker, blobs: BlobStore) -> None:
        self._blobs, self._dialogue = blobs, Dialogue(asker, blobs)

    @activity.defn(name=LLM_DELEGATE.name)
    async def delegate(self, request: DelegationRequest) -> DelegationPlan:
        """Who does what. What is wrong with a reply is a result with `problems`: it is asked for again with that."""
        brief = bound(request.brief)
        catalogue = await asyncio.to_thread(Catalogue.open, self._blobs, brief.catalogue)
        team = Team(brief.agent, [catalogue.find_agent(name) for name in brief.subagents])
        skills = tuple(catalogue.find(name) for name in brief.skills)
        words, prompt = "", ""
        if request.head is None:
            words, prompt = _planning(team, catalogue, brief, request.max_steps)
        turn = Turn(self._blobs, request.head, words, request.say)
        known = Known(skills=skills, agents=tuple(team.agents))
        reply = await self._dialogue.ask(brief, "delegate", turn, known, schema=_SCHEMA)
        read = await asyncio.to_thread(read_delegation, reply.text, team, request.max_steps, request.before)
        return DelegationPlan(
            kind=read.kind,
            steps=read.steps,
            reasoning=read.reasoning,
            answer=await stored(self._blobs, read.answer, INLINE_ANSWER_BYTES) if read.kind == "answer" else None,
            question=read.question,
            options=read.options,
            problems=read.problems,
            head=await turn.ended(reply),
            prompt=prompt,
            usage=[reply.usage],
        )

    @activity.defn(name=LLM_MERGE.name)
    async def merge(self, request: MergeRequest) -> Answer:
        """One answer to the task, made of what the steps gave."""
        brief = bound(request.brief)
        given = [await self._given(part) for part in request.parts]
        words, prompt = prompted("merge", parts="\n\n".join(map(_told, given)))
        turn = Turn(self._blobs, request.head, words, [])
        known = Known(given=tuple(given))
        return await self._dialogue.answer(brief, "merge", turn, known, prompt, request.output_schema)

    async def _given(self, part: Contribution) -> Given:
        error = part.error.message if part.error else ""
        return Given(part.who, part.task, await loaded(self._blobs, part.value), error)


def _planning(team: Team, catalogue: Catalogue, brief: Brief, max_steps: int) -> tuple[str, str]:
    agents = "\n".join(_line(agent, catalogue) for agent in team.agents) or "(none)"
    own = catalogue_lines([catalogue.find(name) for name in brief.skills[:_SHOWN_SKILLS]])
    more = f"\n… and {len(brief.skills) - _SHOWN_SKILLS} more" if len(brief.skills) > _SHOWN_SKILLS else ""
    return prompted("delegate", agents=agents, skills=own + more, max_steps=max_steps)


def _line(agent: AgentSpec, catalogue: Catalogue) -> str:
    """Name, description and the names of its skills, in one line."""
    all_of_them = [name for name, skill in sorted(catalogue.skills.items()) if skill.spec.kind != "engine"]
    skills = all_of_them if agent.skills is None else agent.skills
    shown = ", ".join(skills[:_SHOWN_SKILLS]) + (", …" if len(skills) > _SHOWN_SKILLS else "")
    about = " ".join(agent.description.split())
    return f"- {canonical_name(agent.name)}: {about}{f' (skills: {shown})' if shown else ''}"


def _told(part: Given) -> str:
    """One step's result as the model reads it."""
    head = f"## {part.who}: {part.task}"
    if part.error:
        return f"{head}\n\nFAILED: {part.error}"
    text = part.value if isinstance(part.value, str) else json.dumps(part.value, ensure_ascii=False)
    cut = f"{text[:_SHOWN_CHARACTERS]}\n(cut)" if len(text) > _SHOWN_CHARACTERS else text
    return f"{head}\n\n{cut}"
