"""Watch the backlog of a conversation being worked: each item as a task that is followed, then what came of it."""

import time

from cli import screen
from cli.client import Client
from cli.follow import Follower, at_a_terminal
from cli.groups import gist
from holdfast.contracts.backlog import Worked, WorkView
from holdfast.errors import NoTemporal

_LOOK_S = 0.5
_SHOWN = 80


def watched(client: Client, session_id: str) -> WorkView:
    """The order to work once it has ended. KeyboardInterrupt flies: who watches may go at any time."""
    begun = over = 0
    while True:
        view = _told(client, session_id)
        for number, item in enumerate(view.items[over:], over + 1):
            if number > begun:
                begun = number
                _begin(client, number, item)
            if item.state != "taken":
                over = number
                _end(item)
        if view.ended:
            return view
        time.sleep(_LOOK_S)


def came(note: str) -> str:
    """What came of an item, in one line."""
    line = gist(note)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _begin(client: Client, number: int, item: Worked) -> None:
    """Say which item this is, and follow its task while it is in work. The item is marked some seconds after that."""
    screen.say(f"{number}. {screen.first_line(item.text)}", "bold")
    if item.state == "taken":
        screen.say(f"   task {item.task_id}", "dim")
        Follower(client, item.task_id, inline=at_a_terminal()).run()


def _end(item: Worked) -> None:
    screen.say(f"    {item.state:<8}  {came(item.note)}".rstrip(), "yellow" if item.state == "failed" else "")


def _told(client: Client, session_id: str) -> WorkView:
    """How it stands, as soon as somebody can tell. Without a worker or a server nobody can; that is said once."""
    said = ""
    while True:
        try:
            return client.backlog_work(session_id)
        except NoTemporal as exc:
            if str(exc) != said:
                said = str(exc)
                screen.say(f"    !  {said}", "yellow")
        time.sleep(_LOOK_S)
