"""The activity `llm.turn`: one turn of a loop in which a model calls skills and reads what they gave.

A call that cannot be made, of a skill that is not there or not granted or with arguments that do not fit, is a result:
its `problem` goes back to the model.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from temporalio import activity

from activities import conversation
from activities.asking import Asked, Asker
from activities.context import Context, keeping, told_names
from activities.conversation import Conversation
from activities.notes import HINT, Cut, Keep
from activities.replies import utf8
from activities.toolcalls import Written, as_object, written_calls
from activities.values import loaded, stored
from activities.wording import bound, prompted, structured, system_text
from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue, CatalogueSkill
from holdfast.contracts.base import INLINE_ANSWER_BYTES, INLINE_ARGUMENT_BYTES, NATIVE_BYTES, Json, Value
from holdfast.contracts.llm import LLM_TURN, Brief, LoopTurn, ToolResult, ToolUse, TurnRequest
from holdfast.contracts.message import CallPart, Message, Part, ResultPart, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.errors import HoldfastError, ModelFailed, SkillInputError, UnknownSkill, shown
from holdfast.ids import call_hash, canonical
from holdfast.names import RECALL, canonical_name, listed, suggestion
from providers.base import Called, Known, ModelReply, ModelRequest, Tool

SCOPE = "loop"
MAX_CALLS = 100
"""Calls in one reply; more are answered with an error."""
SHOWN_CHARACTERS = 16 << 10
"""So much of an answer the model gets to read."""
_SAID = 200
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOP_LEVEL = ("anyOf", "oneOf", "allOf", "enum", "not", "$schema", "title", "description")
"""Keys that providers refuse, or that say nothing to a model, at the top of a tool's schema. We check the whole one."""

log = structlog.stdlib.get_logger(__name__)


class Turns:
    """Asks models to call the skills of the catalogue that a task pinned."""

    def __init__(self, asker: Asker, blobs: BlobStore) -> None:
        self._asker, self._blobs = asker, blobs

    @activity.defn(name=LLM_TURN.name)
    async def turn(self, request: TurnRequest) -> LoopTurn:
        """What the model does next: it answers, or it calls."""
        brief = bound(request.brief)
        asked = Asked.of(brief, "turn")
        keep = keeping(self._blobs, brief)
        results = [await self._result(one, keep) for one in request.results]
        turn = await asyncio.to_thread(_Turn, self._blobs, request, results)
        reply = await self._asker.ask(asked, turn.asks())
        read = await asyncio.to_thread(turn.read, reply)
        uses = [await self._use(turn.granted, one) for one in read]
        head = await asyncio.to_thread(turn.ended, reply, read)
        told: dict[str, Any] = {"head": head, "usage": [reply.usage]}
        told |= {"prompt": turn.prompt} if turn.prompt else {}
        if uses:
            told |= {"text": reply.text.strip()[:_SAID]} if reply.text.strip() else {}
            return LoopTurn(kind="calls", calls=uses, **told)
        try:
            value = await asyncio.to_thread(structured, reply, request.output_schema)
        except ModelFailed as exc:
            raise self._asker.unusable(exc, asked) from exc
        return LoopTurn(kind="answer", answer=await stored(self._blobs, value, INLINE_ANSWER_BYTES), **told)

    async def _result(self, result: ToolResult, keep: Keep) -> ResultPart:
        if result.error is not None:
            return ResultPart(id=result.id, skill=result.skill, text=f"Error: {result.error.message}", is_error=True)
        value = await loaded(self._blobs, result.value)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        shown = await asyncio.to_thread(cut, text, keep)
        return ResultPart(id=result.id, skill=result.skill, text=shown or "(an empty text)")

    async def _use(self, granted: "_Granted", call: "_Call") -> ToolUse:
        """The call as the workflow makes it, or why it cannot be made."""
        try:
            found = granted.find(call)
            arguments = _bound_arguments(found, call)
            value = await self._kept(found, arguments)
        except HoldfastError as exc:
            name, asked = call.name[:_SAID], shown(call.arguments)
            if isinstance(exc, UnknownSkill):
                log.warning("skill.denied", skill=name, reason=exc.code)
            digest = call_hash(SCOPE, name, {"": asked})
            return ToolUse(id=call.id, skill=name, digest=digest, problem=str(exc), summary=asked)
        return ToolUse(id=call.id, skill=found.name, digest=call_hash(SCOPE, found.name, arguments), arguments=value)

    async def _kept(self, skill: CatalogueSkill, arguments: dict[str, Json]) -> Value:
        is_native = skill.spec.kind == "native"
        filled = skill.check_input(arguments)
        value = await stored(
            self._blobs, filled if is_native else arguments, NATIVE_BYTES if is_native else INLINE_ARGUMENT_BYTES
        )
        if is_native and value.ref:
            text = f"arguments of {skill.name!r} have {value.size_bytes} bytes; the limit is {NATIVE_BYTES}"
            raise SkillInputError(text)
        return value


@dataclass(frozen=True)
class _Call:
    """A call of a reply, with the id that its result will have. `arguments` is a text where they are no JSON object;
    `problem` says what is wrong with one that is not even a call."""

    id: str
    name: str
    arguments: dict[str, Json] | str
    args: Sequence[Json] = ()
    problem: str = ""


class _Granted:
    """The skills that a task may use, and their names on the wire."""

    def __init__(self, blobs: BlobStore, brief: Brief) -> None:
        self._catalogue = Catalogue.open(blobs, brief.catalogue)
        self.skills = [self._catalogue.find(name) for name in told_names(brief.skills, brief)]
        every = [self._catalogue.find(name) for name in brief.skills]
        self._by_name = {canonical_name(skill.name): skill for skill in every}
        self._by_wire = {_wire(skill.name): skill for skill in every}

    def find(self, call: _Call) -> CatalogueSkill:
        """
        Raises:
            UnknownSkill: there is no such skill, or the task may not use it.
            SkillInputError: it is no call.
        """
        if call.problem:
            raise SkillInputError(call.problem)
        name = call.name
        wanted = canonical_name(name)
        found = self._by_name.get(wanted) or self._by_wire.get(name)
        if found is not None:
            return found
        allowed = listed(sorted(canonical_name(skill.name) for skill in self.skills))
        if wanted in self._catalogue.skills:
            raise UnknownSkill(f"skill {wanted!r} is not granted to this task; it may use: {allowed}")
        raise UnknownSkill(f"no skill named {shown(name)};{suggestion(wanted[:100], self._by_name)} known: {allowed}")

    def written(self, text: str) -> list[Written | str]:
        return written_calls(text, self._catalogue.skills)

    def tools(self) -> tuple[Tool, ...]:
        return tuple(map(_tool, self.skills))

    @property
    def recall(self) -> Tool | None:
        found = self._by_name.get(RECALL)
        return _tool(found) if found else None


class _Turn:
    """One turn of a conversation: what is said to the model now, behind what was said before."""

    def __init__(self, blobs: BlobStore, request: TurnRequest, results: list[ResultPart]) -> None:
        self._blobs, self._request = blobs, request
        self.granted = _Granted(blobs, request.brief)
        self._before: Conversation = conversation.read(blobs, request.head)
        self._session: Conversation = conversation.read(blobs, request.brief.before)
        self._said = conversation.text(request.say)
        words, self.prompt = "", ""
        if request.head is None:
            words, self.prompt = prompted("loop", form=_form(request.output_schema))
        parts = [*results, *([TextPart(text=words)] if words else []), *request.say]
        self._message = Message(role="user", parts=parts)

    def asks(self) -> ModelRequest:
        brief, said = self._request.brief, [*self._before.said, self._said]
        context = Context.of(self._session, self._before, self._message, keeping(self._blobs, brief))
        offered = replace(context, recall=self.granted.recall)
        skills = tuple(skill for skill in self.granted.skills if skill.name != RECALL)
        return ModelRequest(
            purpose="turn",
            messages=context.messages,
            settings=ModelSettings(),
            read=self._blobs.get,
            system=system_text(self._blobs, brief),
            tools=self._tools(),
            known=Known(task=said[0], skills=skills, said=tuple(said[1:])),
            trace_id=brief.task.trace_id,
            fit=offered.fit,
        )

    def _tools(self) -> tuple[Tool, ...]:
        """Those of the skills that are told, and what reads on where a result was cut."""
        told, recall = self.granted.tools(), self.granted.recall
        if recall is None or recall in told or not any(map(_is_cut, [*self._parts(), *self._message.parts])):
            return told
        return (*told, recall)

    def read(self, reply: ModelReply) -> list[_Call]:
        """The calls of a reply: those that the provider tells, else those that stand in its text."""
        used = {part.id for part in self._parts() if isinstance(part, CallPart | ResultPart)}
        if reply.calls:
            return [_native(one, _unused(one.id, used), reply) for one in reply.calls]
        found = self.granted.written(reply.text)
        return [_in_words(one, _unused("", used)) for one in found]

    def ended(self, reply: ModelReply, calls: list[_Call]) -> str:
        """The conversation's new head, with the reply."""
        text = [TextPart(text=reply.text)] if reply.text.strip() else []
        parts: list[Part] = [*text, *(_part(one) for one in calls if reply.calls)]
        messages = [self._message, Message(role="assistant", parts=parts)]
        return conversation.add(self._blobs, self._request.head, messages, self._said)

    def _parts(self) -> Iterable[Part]:
        said = (self._session, self._before)
        return (part for one in said for message in one.messages for part in message.parts)


def cut(text: str, keep: Keep) -> str:
    """A long text's beginning and end, with what lies between them counted, and a handle if it can be recalled."""
    if len(text) <= SHOWN_CHARACTERS:
        return text
    most = SHOWN_CHARACTERS * 3 // 4
    left = len(text) - SHOWN_CHARACTERS
    if handle := keep(text):
        return Cut(text[:most], len(text), handle, text[most + left :]).text
    note = f"\n[… {left} of {len(text)} characters are not shown: ask for a part, or for less …]\n"
    return f"{text[:most]}{note}{text[most + left :]}"


def _is_cut(part: Part) -> bool:
    return isinstance(part, ResultPart) and HINT in part.text


def _form(schema: dict[str, Json] | None) -> str:
    if schema is None:
        return ""
    return f" The answer is one JSON object that fits this JSON Schema: {json.dumps(schema, ensure_ascii=False)}"


def _wire(name: str) -> str:
    """A skill's name where only letters of ASCII, digits, `_` and `-` are allowed."""
    plain = name.replace("-", "_")
    return plain if _NAME.fullmatch(plain) else f"skill_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _tool(skill: CatalogueSkill) -> Tool:
    return Tool(_wire(skill.name), _about(skill), _arguments(skill))


def _about(skill: CatalogueSkill) -> str:
    text = " ".join(skill.spec.description.split()) or skill.name
    return text if _wire(skill.name) == skill.name.replace("-", "_") else f"{skill.name}: {text}"


def _arguments(skill: CatalogueSkill) -> dict[str, Any]:
    schema = {name: part for name, part in skill.spec.input_schema.items() if name not in _TOP_LEVEL}
    return {"properties": {}, **schema, "type": "object"}


def _unused(one: str, used: set[str]) -> str:
    """The provider's id, or another one where it has none, uses one twice, or uses letters that others refuse."""
    if one in used or not _NAME.fullmatch(one):
        number = len(used) + 1
        while (one := f"call_{number}") in used:
            number += 1
    used.add(one)
    return one


def _native(call: Called, one: str, reply: ModelReply) -> _Call:
    read = _read(call.arguments)
    if isinstance(read, str) and reply.stop == "length":
        read = f"(cut at the model's length limit, llm_config.max_tokens) {read}"
    return _Call(one, utf8(call.name), read)


def _in_words(found: Written | str, one: str) -> _Call:
    if isinstance(found, str):
        return _Call(one, "", {}, problem=found)
    return _Call(one, utf8(found.name), _read(found.arguments), found.args)


def _read(arguments: Any) -> dict[str, Json] | str:
    """Arguments by name, as JSON that can be stored; else their text."""
    found = as_object(arguments)
    try:
        canonical(found)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else utf8(arguments if isinstance(arguments, str) else repr(arguments))


def _bound_arguments(skill: CatalogueSkill, call: _Call) -> dict[str, Json]:
    if not isinstance(call.arguments, dict):
        raise SkillInputError(f"the arguments of {skill.name!r} are no JSON object: {shown(call.arguments)}")
    return skill.bind(list(call.args), call.arguments)


def _part(call: _Call) -> CallPart:
    return CallPart(id=call.id, skill=call.name, arguments=call.arguments if isinstance(call.arguments, dict) else {})
