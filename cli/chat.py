"""`holdfast chat`: a conversation at a terminal or through a pipe. It is a session: it outlives every process here."""

from cli import chatcommands, chatsessions, screen
from cli.chatinput import Ended, Reader, open_reader
from cli.chatline import GaveUp
from cli.chatsession import OFFLINE, Chat, Wanted
from cli.chatshow import JsonLines
from cli.client import Client
from cli.follow import at_a_terminal
from cli.request import read
from holdfast.config import Settings
from holdfast.errors import HoldfastError

ENDS = ("quit", "exit")


__all__ = ["OFFLINE", "Wanted", "chat"]


def chat(settings: Settings, wanted: Wanted, text: str | None) -> None:
    """Say `text` alone (`-`: stdin), or talk until `exit`."""
    if text is None:
        talk(settings, wanted)
    else:
        once(settings, (read(text) if text == "-" else text).strip(), wanted)


def talk(settings: Settings, wanted: Wanted) -> None:
    """Talk until `exit`, ctrl-d or the end of stdin.

    Raises:
        NoHoldfast: nothing listens.
        GaveUp: the API went away, and did not come back.
    """
    reader = open_reader(settings.home / "chat_history")
    with Client(settings) as client:
        one = Chat(client, wanted, reader)
        _open(one, wanted)
        while _goes_on(one, reader):
            pass
    screen.say(one.back, "dim")


def once(settings: Settings, text: str, wanted: Wanted) -> None:
    """One message; its answer on stdout, or all that happens as JSON lines.

    Raises:
        RunFailed: the turn ended without an answer.
    """
    with Client(settings) as client:
        one = Chat(client, wanted, None)
        if wanted.resume is not None:
            one.session_id = chatsessions.chosen(client, wanted.resume, None)
        task_id = one.sent(text)
        try:
            task = one.watched(task_id)
        except KeyboardInterrupt:
            screen.say(f"\ndetached; the turn goes on. {one.back}")
            raise
    if wanted.as_json:
        JsonLines().say("answer", **task.model_dump(mode="json") | {"session_id": one.session_id})
    if task.state != "DONE":
        raise screen.RunFailed


def _open(one: Chat, wanted: Wanted) -> None:
    """Where we are. Nothing is waited for yet: an API that is not there now was never started."""
    if wanted.agent:
        one.client.agent(wanted.agent)
    if wanted.resume is not None:
        one.enter(chatsessions.chosen(one.client, wanted.resume, one.reader))
    elif wanted.session is not None:
        one.enter(wanted.session)
    else:
        chatsessions.recent(one.client, 1)
        one.begin(one.session_id)
    screen.say("/help says what else there is; exit ends the chat, and the session stays", "dim")


def _goes_on(one: Chat, reader: Reader) -> bool:
    """Take the next line; whether there may be another."""
    try:
        text = reader.message()
        if text.lower() in ENDS:
            return False
        _take(one, text)
    except Ended:
        return False
    except KeyboardInterrupt:
        if not at_a_terminal():
            raise
        screen.say("exit or ctrl-d ends the chat", "dim")
    return True


def _take(one: Chat, text: str) -> None:
    """A command, or a message. What is wrong with it is told, and the chat goes on."""
    try:
        if text and not chatcommands.run(one, text):
            one.say(text)
    except GaveUp:
        raise
    except HoldfastError as exc:
        screen.fail(exc)
