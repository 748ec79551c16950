"""What begins with a slash in a chat."""

import re
from collections.abc import Callable
from pathlib import Path

from cli import chatcost, chatsessions, screen
from cli.chatinput import BLOCK
from cli.chatsession import Chat, model_name
from holdfast.errors import UserError
from holdfast.ids import new_task_id

_FURTHER = "alt-enter, \\ at the end"
_COMMAND = re.compile(r"/([a-z]+)(?:\s+(.*))?", re.DOTALL)


def run(chat: Chat, text: str) -> bool:
    """Whether it was a command; then it is done. A path such as `/etc/hosts` is none.

    Raises:
        UserError: there is no such command, or what stands behind it is wrong.
    """
    found = _COMMAND.fullmatch(text)
    if found is None:
        return False
    name, rest = found[1], (found[2] or "").strip()
    if name not in _COMMANDS:
        raise UserError(f"no command /{name}; there are: {', '.join(f'/{known}' for known in _COMMANDS)}")
    _COMMANDS[name][0](chat, rest)
    return True


def _help(_chat: Chat, _rest: str) -> None:
    for name, (_, takes, told) in _COMMANDS.items():
        screen.say(f"  {f'/{name} {takes}':<24} {told}")
    screen.say(f"  {'exit, quit, ctrl-d':<24} end the chat; the session stays")
    screen.say(f"  {'ctrl-c':<24} leave the turn that runs: it goes on, or is cancelled")
    screen.say(f"  {_FURTHER:<24} a further line; so does an open block of {BLOCK}")
    screen.say(f"  {'@path':<24} an image by its path, anywhere in a message")


def _model(chat: Chat, rest: str) -> None:
    if rest:
        chat.model = None if rest == "default" else model_name(rest)
    last = chat.turns[-1].model_used if chat.turns else None
    screen.say(f"next turns: {chat.model or 'the model of the agent'}{f'; the last one: {last}' if last else ''}")


def _skills(chat: Chat, rest: str) -> None:
    for skill in chat.client.skills():
        if rest in skill["name"]:
            screen.say(f"  {skill['name']:<24} {screen.first_line(skill['description'])}")


def _cost(chat: Chat, _rest: str) -> None:
    chatcost.show(chat)


def _resume(chat: Chat, rest: str) -> None:
    chat.enter(chatsessions.chosen(chat.client, rest, chat.reader))


def _new(chat: Chat, _rest: str) -> None:
    chat.begin(new_task_id())


def _image(chat: Chat, rest: str) -> None:
    if not rest:
        raise UserError("which one? /image PATH")
    chat.attach(Path(rest.strip("\"'")).expanduser())
    screen.say(f"{Path(rest).name} goes with the next message")


def _follow(chat: Chat, _rest: str) -> None:
    if chat.left is None:
        raise UserError("no turn of this chat was left running; see `/resume`")
    chat.follow(chat.left)


_Command = tuple[Callable[[Chat, str], None], str, str]
_COMMANDS: dict[str, _Command] = {
    "help": (_help, "", "this list"),
    "model": (_model, "[PROVIDER:MODEL]", "the model of the next turns; `default`: the agent's own"),
    "skills": (_skills, "[WORD]", "what there is to use"),
    "cost": (_cost, "", "of the last turn and of the session"),
    "resume": (_resume, "[ID]", "choose a session, and go on there"),
    "new": (_new, "", "begin a new session"),
    "image": (_image, "PATH", "an image for the next message"),
    "follow": (_follow, "", "watch the turn again that was left running"),
}
