"""What is asked about the backlog of a session: follow-up work, and what works through it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from holdfast.client.asks import Ask, limited, model_of, models_of, session_path
from holdfast.contracts.backlog import Item, ItemState, Next, WorkView
from holdfast.contracts.budget import Budget

BudgetOf = Budget | Mapping[str, float | str]


def items(session_id: str, state: ItemState | None) -> Ask[list[Item]]:
    return Ask("GET", _backlog(session_id), models_of(Item), params={"state": state} if state else {})


def add(session_id: str, text: str, key: str | None) -> Ask[Item]:
    """With a key of its own, where none is given, so that one that got lost is sent again and stays one item."""
    return Ask("POST", _backlog(session_id), model_of(Item), {"text": text, **_keyed(key)})


def take(session_id: str, key: str | None) -> Ask[Next]:
    """The same: sent again, it gives the same item."""
    return Ask("POST", f"{_backlog(session_id)}/next", model_of(Next), _keyed(key))


def finish(session_id: str, item_id: str, note: str) -> Ask[Item]:
    """Safe to repeat: the same word on an item changes nothing."""
    return Ask("POST", f"{_item(session_id, item_id)}/done", model_of(Item), {"note": note})


def fail(session_id: str, item_id: str, note: str) -> Ask[Item]:
    """Safe to repeat: the same word on an item changes nothing."""
    return Ask("POST", f"{_item(session_id, item_id)}/fail", model_of(Item), {"note": note})


def work(session_id: str, max_items: int | None, budget: BudgetOf | None) -> Ask[WorkView]:
    """Not safe to repeat: the second one would be told that somebody works already.

    Raises:
        UserError: a limit of the budget is not allowed (says which are).
    """
    body: dict[str, Any] = {} if max_items is None else {"max_items": max_items}
    if budget:
        limits = budget if isinstance(budget, Budget) else limited(budget)
        body["budget"] = limits.model_dump(mode="json", exclude_none=True)
    return Ask("POST", _work(session_id), model_of(WorkView), body, is_safe=False)


def look(session_id: str) -> Ask[WorkView]:
    return Ask("GET", _work(session_id), model_of(WorkView))


def stop(session_id: str) -> Ask[WorkView]:
    """Not safe to repeat: after its end there is nothing to stop, and the second one would be told so."""
    return Ask("DELETE", _work(session_id), model_of(WorkView), is_safe=False)


def _backlog(session_id: str) -> str:
    return f"{session_path(session_id)}/backlog"


def _item(session_id: str, item_id: str) -> str:
    return f"{_backlog(session_id)}/{quote(item_id, safe='')}"


def _work(session_id: str) -> str:
    return f"{session_path(session_id)}/work"


def _keyed(key: str | None) -> dict[str, str]:
    return {"idempotency_key": key or uuid4().hex}
