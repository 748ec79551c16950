"""Turns of a loop without a model: the calls that the task's words and the skills' examples give, then what came."""

from holdfast.contracts.base import Json
from holdfast.contracts.message import ResultPart
from holdfast.errors import SkillInputError
from providers.base import Called, ModelRequest
from providers.offline.choose import Choice, Step
from providers.offline.places import is_file
from providers.offline.recipes import recipe
from providers.offline.text import HOW_TO, LINE, notes, refusal

_NO_CALL = (
    "No skill can be called with what this task says alone. Strategy `loop` needs a language model for it; strategy "
    "`ptc` writes a program by rule, which can look for files and read them."
)

_TAKE_FOLDERS = ("list_all", "find_text", "scan_security")
_MOST = 10


def turn(request: ModelRequest, choice: Choice) -> tuple[str, list[Called]]:
    """Words, and the calls of the first turn."""
    given = [part for message in request.messages for part in message.parts if isinstance(part, ResultPart)]
    if given:
        return _report(choice, given), []
    if not choice.steps:
        return refusal(request.known.skills), []
    calls = [Called("", step.name, arguments) for step in choice.steps for arguments in _arguments(choice, step)]
    return (LINE, calls) if calls else (f"{LINE}\n\n{_NO_CALL}\n\n{HOW_TO}\n", [])


def _arguments(choice: Choice, step: Step) -> list[dict[str, Json]]:
    """What a skill is called with, once for each file that the task names; nothing if that is not enough for it."""
    if step.filled.program or step.filled.text_parameter:
        return []
    how, given = recipe(step.skill), dict(step.filled.arguments)
    found = [given]
    if how is not None and "path" not in given:
        paths = [place.path for place in choice.places if is_file(place) or how.function in _TAKE_FOLDERS]
        found = [{**given, "path": path} for path in paths[:_MOST]]
    if how is not None and not choice.places and how.function in _TAKE_FOLDERS:
        found = [given]
    return [arguments for arguments in found if _fits(step, arguments)]


def _fits(step: Step, arguments: dict[str, Json]) -> bool:
    try:
        step.skill.check_input(arguments)
    except SkillInputError:
        return False
    return True


def _report(choice: Choice, given: list[ResultPart]) -> str:
    left = [step.name for step in choice.steps if not _arguments(choice, step)]
    lines = [f"`{name}` was not called: it needs more than this task says." for name in left]
    parts = [f"## `{one.skill}` {'failed' if one.is_error else 'answered'}\n\n{one.text}" for one in given]
    return "\n\n".join([LINE, *(line for line in notes(choice) if line), *lines, *parts])
