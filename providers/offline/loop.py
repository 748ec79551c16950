"""Turns of a loop without a model: the calls that the task's words and the skills' examples give, then what came."""

from holdfast.contracts.message import ResultPart
from providers.base import Called, ModelRequest
from providers.offline.choose import Choice, Step
from providers.offline.text import HOW_TO, LINE, notes, refusal

_NO_CALL = (
    "No skill can be called with what this task says alone. Strategy `loop` needs a language model for it; strategy "
    "`ptc` writes a program by rule, which can look for files and read them."
)


def turn(request: ModelRequest, choice: Choice) -> tuple[str, list[Called]]:
    """Words, and the calls of the first turn."""
    given = [part for message in request.messages for part in message.parts if isinstance(part, ResultPart)]
    if given:
        return _report(choice, given), []
    if not choice.steps:
        return refusal(request.known.skills), []
    able = [step for step in choice.steps if _is_whole(step)]
    if not able:
        return f"{LINE}\n\n{_NO_CALL}\n\n{HOW_TO}\n", []
    return LINE, [Called("", step.name, dict(step.filled.arguments)) for step in able]


def _is_whole(step: Step) -> bool:
    needed = step.skill.spec.input_schema.get("required", [])
    return not (step.filled.program or step.filled.text_parameter or set(needed) - set(step.filled.arguments))


def _report(choice: Choice, given: list[ResultPart]) -> str:
    left = [f"`{step.name}` was not called: it needs more than this task says." for step in choice.steps]
    left = [line for step, line in zip(choice.steps, left, strict=True) if not _is_whole(step)]
    parts = [f"## `{one.skill}` {'failed' if one.is_error else 'answered'}\n\n{one.text}" for one in given]
    return "\n\n".join([LINE, *(line for line in notes(choice) if line), *left, *parts])
