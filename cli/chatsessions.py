"""Sessions that are there: a list to choose from, and what was said last in one."""

import time

from cli import screen
from cli.chatinput import Ended, Reader
from cli.client import Client
from cli.follow import at_a_terminal
from cli.views import count
from holdfast.contracts.chat import SessionLine, SessionShown
from holdfast.contracts.session import Turn
from holdfast.errors import NotFound, UserError

_LISTED = 10
_SEARCHED = 1000
_SHOWN_TURNS = 3
_SHOWN_LINES = 12


def recent(client: Client, limit: int = _LISTED) -> list[SessionLine]:
    return list(client.sessions(limit))


def find(client: Client, session_id: str) -> SessionShown | None:
    """None: it does not exist yet; the first message makes it."""
    try:
        return client.session(session_id)
    except NotFound:
        return None


def chosen(client: Client, prefix: str, reader: Reader | None) -> str:
    """The id of a session that begins with `prefix`; of all, the one that the person picks, else the newest.

    Raises:
        NotFound: there is none.
        UserError: several begin so.
    """
    if not prefix:
        return _picked(recent(client), reader)
    if find(client, prefix) is not None:
        return prefix
    found = [one.id for one in client.sessions(_SEARCHED) if one.id.startswith(prefix)]
    if not found:
        raise NotFound(
            f"no session whose id begins with {prefix!r} at {client.url}; `holdfast chat --resume` lists them"
        )
    if len(found) > 1:
        raise UserError(f"{len(found)} sessions begin with {prefix!r}; give more of the id: {', '.join(found[:5])}")
    return found[0]


def _picked(sessions: list[SessionLine], reader: Reader | None) -> str:
    if not sessions:
        raise NotFound("no session yet; begin one: holdfast chat")
    if reader is None or not at_a_terminal():
        return sessions[0].id
    for number, one in enumerate(sessions, 1):
        screen.say(f"  {number:>2}  {one.title[:50]:<50}  {_facts(one)}")
    while text := _typed(reader):
        if text.isdecimal() and 1 <= int(text) <= len(sessions):
            return sessions[int(text) - 1].id
        screen.say(f"{text!r} is none of 1 to {len(sessions)}")
    return sessions[0].id


def _typed(reader: Reader) -> str:
    try:
        return reader.answer("  which one? [1] ")
    except Ended:
        return ""


def _facts(one: SessionLine) -> str:
    seen = screen.seconds(max(0.0, time.time() - one.seen_at.timestamp()))
    return f"{count(one.turns, 'turn'):>9}, {seen} ago  {one.id}"


def show(session: SessionShown) -> None:
    """What was said last, as far as it fits."""
    earlier = session.turns - len(session.recent[-_SHOWN_TURNS:])
    if earlier > 0:
        screen.say(f"({count(earlier, 'earlier turn')})", "dim")
    for turn in session.recent[-_SHOWN_TURNS:]:
        show_turn(turn)
    if session.running is not None:
        screen.say(f"> {session.running.said}")


def show_turn(turn: Turn) -> None:
    screen.say(f"> {turn.said}")
    lines = (turn.answer or turn.error or turn.state).splitlines()
    more = [f"… ({len(lines) - _SHOWN_LINES} more lines)"] if len(lines) > _SHOWN_LINES else []
    screen.say("\n".join([*lines[:_SHOWN_LINES], *more]), "dim")
