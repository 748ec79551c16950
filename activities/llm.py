"""The activities that ask models: `llm.plan`, `llm.program`, `llm.answer`, `llm.skill`, `llm.ask`.

Each makes one request, reads the reply, and gives back what a workflow decides on. What is wrong with a reply is a
result with `problems`: the workflow asks again with it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import conversation
from activities.asking import Asked, Asker
from activities.context import told_names
from activities.describe import catalogue_lines, reference, told_files
from activities.dialogue import Dialogue, Turn
from activities.replies import read_plan, read_program
from activities.toolcalls import as_program, read_calls
from activities.values import loaded, stored
from activities.wording import bound, prompted
from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue, CatalogueSkill
from holdfast.contracts.base import INLINE_ANSWER_BYTES
from holdfast.contracts.llm import (
    LLM_ANSWER,
    LLM_ASK,
    LLM_PLAN,
    LLM_PROGRAM,
    LLM_SKILL,
    Answer,
    AnswerRequest,
    Brief,
    Draft,
    DraftRequest,
    ModelAsk,
    Plan,
    PlanRequest,
    SkillPrompt,
)
from holdfast.contracts.program import MAX_SOURCE_BYTES, MAX_VARIABLES_BYTES
from holdfast.contracts.skill import SkillAnswer
from holdfast.errors import HoldfastError
from holdfast.names import RECALL
from holdfast.source import Problem, Source, check, describe, normalise
from holdfast.templates import answer_schema, parsed_answer, skill_prompt
from holdfast.typecheck import check_calls
from providers.base import Known, ModelReply, Purpose

_PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "selected_skills": {"type": "array", "items": {"type": "string"}},
        "reasoning": {"type": "string"},
        "answer": {"type": "string"},
        "ask": {"type": "string"},
        "options": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}

_SESSION = (
    " `session` is a dict of what programs of earlier turns saved; what you leave in it (JSON, at most "
    f"{MAX_VARIABLES_BYTES >> 10} KiB) is there for those of later turns."
)


class Llm:
    """Asks models with the prompts of `prompts/`, over the skills of the catalogue that a task pinned."""

    def __init__(self, asker: Asker, blobs: BlobStore, packages: Sequence[str] = ()) -> None:
        self._asker, self._blobs, self._dialogue = asker, blobs, Dialogue(asker, blobs)
        self._packages = f" and {', '.join(packages)}" if packages else ""

    @activity.defn(name=LLM_PLAN.name)
    async def plan(self, request: PlanRequest) -> Plan:
        """Which way a task goes."""
        brief = bound(request.brief)
        skills = await asyncio.to_thread(self._skills, brief, told_names(brief.skills, brief))
        words, prompt = "", ""
        if request.head is None:
            files = await asyncio.to_thread(told_files, self._blobs, brief.files_ref)
            words, prompt = prompted("plan", skills=catalogue_lines(skills) + files)
        turn = Turn(self._blobs, request.head, words, request.say)
        reply = await self._dialogue.ask(brief, "plan", turn, Known(skills=_known(skills)), schema=_PLAN_SCHEMA)
        read = await asyncio.to_thread(read_plan, reply.text, brief.skills)
        return Plan(
            kind=read.kind,
            selected_skills=read.selected_skills,
            reasoning=read.reasoning,
            answer=await stored(self._blobs, read.answer, INLINE_ANSWER_BYTES) if read.kind == "answer" else None,
            question=read.question,
            options=read.options,
            problems=read.problems,
            head=await turn.ended(reply, keep=read.kind == "ask"),
            prompt=prompt,
            usage=[reply.usage],
        )

    @activity.defn(name=LLM_PROGRAM.name)
    async def program(self, request: DraftRequest) -> Draft:
        """A program, or its mended version, checked as far as it can be without running it."""
        brief = bound(request.brief)
        skills = await asyncio.to_thread(self._skills, brief, told_names(request.skills, brief))
        words, prompt = await asyncio.to_thread(self._program_prompt, request, skills)
        turn = Turn(self._blobs, request.head, words, request.say)
        known = Known(skills=_known(skills), why=request.why, source=turn.before.last_program if request.why else "")
        reply = await self._dialogue.ask(brief, "repair" if request.why else "program", turn, known)
        drafted = await self._drafted(request, reply)
        head = await turn.ended(reply, keep=bool(words) and not request.why)
        return Draft(**drafted, head=head, prompt=prompt, usage=[reply.usage])

    @activity.defn(name=LLM_ANSWER.name)
    async def answer(self, request: AnswerRequest) -> Answer:
        """The model's own answer to a task, or its words for a program's result."""
        brief = bound(request.brief)
        words, prompt, known = "", "", Known()
        purpose: Purpose = "answer" if request.result is None else "phrase"
        if request.result is not None:
            result = await loaded(self._blobs, request.result)
            words, prompt = prompted("phrase", result=result)
            known = Known(result=result)
        turn = Turn(self._blobs, request.head, words, request.say)
        return await self._dialogue.answer(brief, purpose, turn, known, prompt, request.output_schema)

    @activity.defn(name=LLM_SKILL.name)
    async def skill(self, request: SkillPrompt) -> SkillAnswer:
        """The model's answer to a call of a prompt skill, checked against its output schema.

        Raises:
            ApplicationError: `SkillInputError` before anything is asked; `SkillOutputError`: tried again.
        """
        call = request.call
        structlog.contextvars.bind_contextvars(trace_id=call.task.trace_id, task_id=call.task.task_id)
        skill = await asyncio.to_thread(lambda: Catalogue.open(self._blobs, call.catalogue).find(call.skill))
        try:
            arguments = skill.check_input(await loaded(self._blobs, call.arguments))
            words = skill_prompt(skill, arguments, skill.instructions(self._blobs))
        except HoldfastError as exc:
            raise ApplicationError(str(exc), type=type(exc).__name__, non_retryable=True) from exc
        asked = Asked(call.task, f"skill:{skill.name}", request.models, request.max_retries, call.call_id)
        known = Known(skill=skill, arguments=arguments)
        schema = answer_schema(skill)
        reply = await self._dialogue.one(asked, "skill", [conversation.of("user", words)], known, schema=schema)
        try:
            value = parsed_answer(skill, reply.text, arguments)
        except HoldfastError as exc:
            raise self._asker.unusable(exc, asked) from exc
        return SkillAnswer(value=await stored(self._blobs, value, INLINE_ANSWER_BYTES), usage=[reply.usage])

    @activity.defn(name=LLM_ASK.name)
    async def ask(self, request: ModelAsk) -> SkillAnswer:
        """The model's words to what the code of a hybrid skill asks."""
        structlog.contextvars.bind_contextvars(trace_id=request.task.trace_id, task_id=request.task.task_id)
        arguments = await loaded(self._blobs, request.arguments)
        messages = [conversation.of("user", arguments["prompt"])]
        asked = Asked(request.task, f"skill:{request.skill}", request.models, request.max_retries, request.call_id)
        reply = await self._dialogue.one(
            asked, "ask", messages, Known(arguments=arguments), arguments.get("system") or ""
        )
        return SkillAnswer(value=await stored(self._blobs, reply.text, INLINE_ANSWER_BYTES), usage=[reply.usage])

    async def _drafted(self, request: DraftRequest, reply: ModelReply) -> dict[str, Any]:
        """The fields of a draft that say what the reply is."""
        source = await asyncio.to_thread(read_program, reply.text)
        if request.fused and not request.why and (source is None or source.lstrip().startswith("{")):
            read = await asyncio.to_thread(read_plan, reply.text if source is None else source)
            if read.kind == "answer":
                value = await stored(self._blobs, read.answer, INLINE_ANSWER_BYTES)
                return {"kind": "answer", "answer": value}
            if read.kind == "ask":
                return {"kind": "ask", "question": read.question, "options": read.options}
        if source is None:
            called = await asyncio.to_thread(read_calls, reply.text, request.brief.skills)
            source = as_program(called.calls) if called.calls and not called.problems else None
            problems = called.problems
        if source is None and problems:
            return {"problems": problems}
        if source is None:
            problems = f"found no program in the reply {reply.text.strip()[:200]!r}; write it in one ```python block"
            return {"problems": problems}
        if len(source) > MAX_SOURCE_BYTES:
            return {"problems": f"the program has {len(source)} characters; {MAX_SOURCE_BYTES} bytes are allowed"}
        mended = await asyncio.to_thread(normalise, source)
        problems = describe(check(mended, request.brief.skills) or await self._wrong_calls(mended, request.brief))
        if problems and reply.stop == "length":
            problems += (
                "\nthe reply was cut at the model's length limit (llm_config.max_tokens): write a shorter program"
            )
        return {"source": mended.source, "first_line": mended.first_line, "problems": problems}

    async def _wrong_calls(self, source: Source, brief: Brief) -> list[Problem]:
        return await asyncio.to_thread(lambda: check_calls(source, self._skills(brief, brief.skills)))

    def _program_prompt(self, request: DraftRequest, skills: Sequence[CatalogueSkill]) -> tuple[str, str]:
        if request.why:
            return prompted("repair", why=request.why)
        if request.fused and request.head is not None:
            return "", ""
        told = reference(skills, self._blobs) + told_files(self._blobs, request.brief.files_ref)
        session = _SESSION if request.in_session else ""
        return prompted("fused" if request.fused else "program", skills=told, packages=self._packages, session=session)

    def _skills(self, brief: Brief, names: list[str]) -> list[CatalogueSkill]:
        catalogue = Catalogue.open(self._blobs, brief.catalogue)
        return [catalogue.find(name) for name in names]


def _known(skills: Sequence[CatalogueSkill]) -> tuple[CatalogueSkill, ...]:
    """Skills that the `offline` provider may choose: it never needs what was cut."""
    return tuple(skill for skill in skills if skill.name != RECALL)
