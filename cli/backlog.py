"""`backlog`: follow-up work of a conversation, and what works through it."""

from collections.abc import Mapping
from shlex import quote

from cli import screen
from cli.backlogwatch import came, watched
from cli.client import Client
from cli.groups import money
from cli.request import read
from cli.views import count
from holdfast.config import Settings
from holdfast.contracts.backlog import Item, ItemState, Worked, WorkView


def list_(settings: Settings, session: str, state: ItemState | None, as_json: bool) -> None:
    with Client(settings) as client:
        found = client.backlog(session, state)
    if as_json:
        screen.result([item.model_dump(mode="json") for item in found])
    elif found:
        screen.rows([_row(item) for item in found])
    else:
        screen.say(f'no {state or "follow-up"} work; put some aside: holdfast backlog add {quote(session)} "…"')


def add(settings: Settings, session: str, text: str, as_json: bool) -> None:
    with Client(settings) as client:
        item = client.add_to_backlog(session, read(text) if text == "-" else text)
    screen.result(item.model_dump(mode="json") if as_json else item.id)


def take(settings: Settings, session: str, as_json: bool) -> None:
    """Id and whole text on stdout; nothing there if nothing is open."""
    with Client(settings) as client:
        found = client.take_from_backlog(session)
    if as_json:
        screen.result(found.model_dump(mode="json"))
    elif found.item is None:
        screen.say("nothing is open")
    else:
        screen.result(f"{found.item.id}  {found.item.text}")
        screen.say(f"{found.open} open; mark it: holdfast backlog done {quote(session)} {found.item.id}", "dim")


def finish(settings: Settings, session: str, item_id: str, note: str, as_json: bool) -> None:
    with Client(settings) as client:
        _marked(client.finish_backlog_item(session, item_id, note), as_json)


def fail(settings: Settings, session: str, item_id: str, note: str, as_json: bool) -> None:
    with Client(settings) as client:
        _marked(client.fail_backlog_item(session, item_id, note), as_json)


def work(
    settings: Settings,
    session: str,
    max_items: int | None,
    budget: Mapping[str, float | str],
    wait: bool,
    as_json: bool,
) -> None:
    """Begin to work; with `wait`, follow it to its end.

    Raises:
        RunFailed: an item failed.
        KeyboardInterrupt: ctrl-c; the work goes on.
    """
    with Client(settings) as client:
        view = client.work_backlog(session, max_items, budget)
        screen.say(f"in work; how it stands: holdfast backlog status {quote(session)}", "dim")
        if wait:
            _finish(_followed(client, session), as_json)
        elif as_json:
            screen.result(view.model_dump(mode="json"))


def status(settings: Settings, session: str, as_json: bool) -> None:
    with Client(settings) as client:
        view = client.backlog_work(session)
    _show(view, as_json)


def stop(settings: Settings, session: str, as_json: bool) -> None:
    with Client(settings) as client:
        view = client.stop_backlog_work(session)
    if as_json:
        screen.result(view.model_dump(mode="json"))
    else:
        screen.say(f"it ended: {view.ended}" if view.ended else "no further item is taken; the one in work is finished")


def _followed(client: Client, session: str) -> WorkView:
    try:
        return watched(client, session)
    except KeyboardInterrupt:
        screen.say(f"\ndetached; the work goes on. How it stands: holdfast backlog status {quote(session)}")
        screen.say(f"stop it: holdfast backlog stop {quote(session)}", "dim")
        raise


def _finish(view: WorkView, as_json: bool) -> None:
    _show(view, as_json)
    if failed := sum(one.state == "failed" for one in view.items):
        raise screen.RunFailed(f"{failed} of {count(len(view.items), 'item')} failed")


def _show(view: WorkView, as_json: bool) -> None:
    """The items on stdout, what they took and why it ended on stderr."""
    if as_json:
        screen.result(view.model_dump(mode="json"))
        return
    screen.rows([_worked(one) for one in view.items])
    took = [
        f"{view.took.tokens:,} tokens",
        money(None if view.took.usd is None else float(view.took.usd)),
        count(view.took.calls, "call"),
    ]
    over = sum(one.state != "taken" for one in view.items)
    screen.say(f"{count(over, 'item')} worked, {', '.join(took)}; {view.ended or 'it goes on'}", "dim")


def _marked(item: Item, as_json: bool) -> None:
    if as_json:
        screen.result(item.model_dump(mode="json"))
    else:
        screen.say(f"item {item.id} is {item.state}")


def _row(item: Item) -> tuple[str, ...]:
    by = f"by {item.taken_by}" if item.state == "taken" else ""
    return (item.id, item.state, screen.first_line(item.text), came(item.note) or by)


def _worked(one: Worked) -> tuple[str, ...]:
    return (one.item_id, one.state, one.task_id, screen.first_line(one.text), came(one.note))
