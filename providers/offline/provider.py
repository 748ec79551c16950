"""The port: which text answers which purpose."""

import asyncio
import json
from decimal import Decimal

from holdfast.contracts.base import Json
from holdfast.contracts.llm import ANSWERED
from holdfast.contracts.message import TextPart
from holdfast.contracts.model import Usage
from holdfast.errors import NoModel
from providers.base import Called, Known, ModelReply, ModelRequest, OnDelta
from providers.offline import delegate
from providers.offline.choose import Choice, choose
from providers.offline.loop import turn
from providers.offline.program import CAREFUL, write
from providers.offline.prompts import answer
from providers.offline.recap import recap
from providers.offline.text import NO_MENDING, no_model, question, reasoning, refusal

_USAGE = Usage(provider="offline", model="offline", cost=Decimal(0))


class Offline:
    """A provider without a model: it chooses skills by the words of the task, and writes programs by rule.

    Its answers have the form that a model's have. The same request has the same answer. Where it would have to think
    it says so; where nobody would read that, it raises.

    Raises:
        NoModel: a prompt skill that does not summarise, a hybrid skill's question, an answer by a schema.
    """

    async def complete(self, request: ModelRequest, on_delta: OnDelta | None = None) -> ModelReply:
        text, calls = await asyncio.to_thread(_said, request)
        if on_delta is not None:
            await on_delta(text)
        return ModelReply(text, _USAGE, calls=tuple(calls))

    async def close(self) -> None:
        """There is nothing to close."""


def _said(request: ModelRequest) -> tuple[str, list[Called]]:
    if request.purpose == "turn":
        return turn(request, _choice(request.known))
    if request.purpose == "summary":
        return recap(request.messages, int(request.known.arguments["words"])), []
    return _reply(request), []


def _reply(request: ModelRequest) -> str:
    known = request.known
    match request.purpose:
        case "plan":
            return _plan(known)
        case "delegate":
            return _json(delegate.plan(known))
        case "merge" if request.schema is None:
            return delegate.merged(known.given)
        case "program":
            return _program(known)
        case "repair":
            return _repair(request)
        case "phrase":
            return _phrased(known.result)
        case "answer" if request.schema is None:
            return refusal(known.skills)
        case "answer" | "merge":
            raise NoModel(no_model("an answer that fits an output schema"))
        case "skill" if known.skill is not None:
            return answer(known.skill, known.arguments)
        case _:
            raise NoModel(no_model("a question of a skill's code"))


def _plan(known: Known) -> str:
    choice = _choice(known)
    if choice.steps:
        return _json({"selected_skills": [*choice.names], "reasoning": reasoning(choice)})
    if choice.lacking:
        return _json({"ask": question(choice.lacking), "options": []})
    return _json({"answer": refusal(known.skills)})


def _program(known: Known) -> str:
    """After a plan, the program; without one before, what a plan would have said instead."""
    choice = _choice(known)
    return _fenced(write(choice)) if choice.steps else _plan(known)


def _repair(request: ModelRequest) -> str:
    """The careful form of the program, once."""
    choice = _choice(request.known)
    written = "".join(part.text for each in request.messages for part in each.parts if isinstance(part, TextPart))
    if not choice.steps or choice.steps[0].filled.program or CAREFUL in request.known.source + written:
        return NO_MENDING
    return _fenced(write(choice, careful=True))


def _choice(known: Known) -> Choice:
    """What was said is more than answers: a plan that was no plan is complained of in the same place."""
    answers = tuple(each.removeprefix(ANSWERED) for each in known.said if each.startswith(ANSWERED))
    return choose(delegate.own_words(known.task), known.skills, answers)


def _phrased(result: Json) -> str:
    return result if isinstance(result, str) else _json(result, indent=2)


def _fenced(program: str) -> str:
    """In a fence that nothing in it can close."""
    fence = "```"
    while fence in program:
        fence += "`"
    return f"{fence}python\n{program}{fence}\n"


def _json(value: Json, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
