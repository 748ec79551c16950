"""`holdfast budget`: how the budget of a task stands, and more of it."""

from cli import screen
from cli.client import Client
from holdfast.client import asks
from holdfast.config import Settings
from holdfast.contracts.budget import STOP, BudgetState
from holdfast.contracts.question import Question
from holdfast.errors import UserError


def budget(settings: Settings, prefix: str, add: asks.Limits, as_json: bool) -> None:
    """Show it, after adding what is to be added."""
    with Client(settings) as client:
        task_id = client.find(prefix)
        state = client.top_up(task_id, **add) if add else client.budget(task_id)
    if as_json:
        screen.result(state.model_dump(mode="json"))
    else:
        screen.rows(lines(state))


def lines(state: BudgetState) -> list[tuple[str, ...]]:
    """A unit with a limit each: what is taken, and of how much."""
    rows = [(unit, _stands(state, unit)) for unit in type(state.limit).model_fields if _limit(state, unit) is not None]
    waiting = [("waiting", f"{state.waiting} for a top-up")] if state.waiting else []
    return [*rows, *waiting]


def brief(state: BudgetState) -> str:
    """The same in one line."""
    return "; ".join(f"{name}: {text}" for name, text in lines(state))


def answered(text: str) -> dict[str, object] | str:
    """What a person typed at a question for a top-up: `tokens=5000 usd=0.5`, or `stop`.

    Raises:
        UserError: it is neither.
    """
    if text.strip().lower() == STOP:
        return STOP
    pairs = [word.partition("=") for word in text.replace(",", " ").split()]
    if not all(sign for _, sign, _ in pairs):
        raise UserError(f"{text!r} adds nothing; say for instance tokens=5000 or usd=0.5, or {STOP}")
    add = asks.added({unit: value for unit, _, value in pairs})
    return {"add": add.model_dump(mode="json", exclude_none=True)}


def how(question: Question, task_id: str) -> tuple[str, str]:
    """The command that answers a question, and what is typed to answer it here, where that is not obvious."""
    if question.kind == "budget":
        return f"holdfast budget {task_id} --add-tokens N", f"tokens=N, usd=N, calls=N, seconds=N, or {STOP}"
    return f"holdfast answer {task_id} {question.id} VALUE", ""


def _limit(state: BudgetState, unit: str) -> object:
    return getattr(state.limit, unit)


def _stands(state: BudgetState, unit: str) -> str:
    if unit == "seconds":
        return f"{state.seconds:,.1f} of {state.limit.seconds:,g}"
    reserved = getattr(state.reserved, unit)
    more = f", {reserved:,} reserved" if reserved else ""
    return f"{getattr(state.taken, unit):,} of {_limit(state, unit):,}{more}"
