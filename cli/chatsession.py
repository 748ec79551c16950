"""A session and who talks in it: what is sent, what holds for the next turns, what came of the last ones."""

from dataclasses import dataclass, field
from pathlib import Path

from cli import chatimages, chatsessions, screen, views
from cli.chatinput import Ended, Reader
from cli.chatline import Pause, patiently
from cli.chatshow import Drawn, JsonLines, Show
from cli.chatturn import Turn
from cli.client import Client
from cli.follow import at_a_terminal
from holdfast.contracts.message import BlobPart
from holdfast.contracts.task import Task
from holdfast.errors import UserError
from holdfast.ids import new_task_id


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line. `resume` is a session's id or its beginning; empty: it is chosen."""

    agent: str | None = None
    model: str | None = None
    session: str | None = None
    resume: str | None = None
    images: list[Path] = field(default_factory=list)
    as_json: bool = False


class Chat:
    """`turns` are the tasks that ended before our eyes, `left` the one that was left running. `model` (None: the
    agent's own) and `agent` hold for the next messages, `images` go with the next one."""

    def __init__(self, client: Client, wanted: Wanted, reader: Reader | None) -> None:
        self.client, self.reader = client, reader
        self.agent, self.model = wanted.agent, model_name(wanted.model)
        self.session_id = wanted.session or new_task_id()
        self.turns: list[Task] = []
        self.left: str | None = None
        self.images: list[Path] = []
        self._as_json = wanted.as_json
        for path in wanted.images:
            self.attach(path)

    @property
    def back(self) -> str:
        return f"come back with: holdfast chat --resume {self.session_id}"

    def begin(self, session_id: str) -> None:
        """Talk in this session from now on."""
        self.session_id, self.turns, self.left = session_id, [], None
        screen.say(f"session {session_id}", "bold")

    def enter(self, session_id: str) -> None:
        """The same, with what was said last, and what runs."""
        found = chatsessions.find(self.client, session_id)
        self.begin(session_id)
        if found is not None:
            chatsessions.show(found)
            for turn in [found.running, *found.queued]:
                if turn is not None:
                    self.follow(turn.task_id)

    def attach(self, path: Path) -> None:
        """Let an image go with the next message.

        Raises:
            UserError: it is none, or too large.
        """
        chatimages.checked(path)
        self.images.append(path)

    def say(self, text: str) -> None:
        """Send a message and follow its turn."""
        self.follow(self.sent(text))

    def sent(self, text: str) -> str:
        """The id of the task that is its turn."""
        text, mentioned = chatimages.mentioned(text)
        pause, key = self._pause(self._show()), new_task_id()
        parts = patiently(pause, lambda: [self._part(path) for path in [*self.images, *mentioned]])
        taken = patiently(
            pause,
            lambda: self.client.say(self.session_id, text, parts=parts, agent=self.agent, model=self.model, key=key),
        )
        self.images = []
        if taken.answered:
            screen.say(f"that answered the open question {taken.answered}", "dim")
        elif taken.ahead:
            screen.say(f"{views.count(taken.ahead, 'turn')} ahead of it", "dim")
        return taken.task_id

    def _part(self, path: Path) -> BlobPart:
        return chatimages.sent(path, self.client.upload)

    def follow(self, task_id: str) -> None:
        """Watch a turn to its end; ctrl-c leaves it running, or cancels it."""
        try:
            self.turns.append(self.watched(task_id))
            self.left = None
        except KeyboardInterrupt:
            self._leave(task_id)

    def watched(self, task_id: str) -> Task:
        """A turn once it is over: its answer on stdout, how it went on stderr."""
        show = self._show()
        task = Turn(self.client, task_id, show, self.reader, self._pause(show)).follow()
        if task.state == "CANCELLED":
            screen.say(views.failure(task))
        elif task.state != "DONE":
            screen.fail(screen.RunFailed(views.failure(task)))
        elif not self._as_json:
            screen.result(task.output)
        screen.say(views.closing(task), "dim")
        return task

    def _leave(self, task_id: str) -> None:
        self.left = task_id
        if self.reader is None or not at_a_terminal():
            screen.say(f"\ndetached; the turn goes on. {self.back}")
            raise KeyboardInterrupt
        if self._is_to_be_cancelled():
            patiently(self._pause(Drawn()), lambda: self.client.cancel(task_id))
            self.follow(task_id)
        else:
            screen.say("the turn goes on; /follow shows it again", "dim")

    def _is_to_be_cancelled(self) -> bool:
        assert self.reader is not None
        try:
            return self.reader.answer("\n    cancel this turn? [y/N] ").lower() in ("y", "yes")
        except (KeyboardInterrupt, Ended):
            return False

    def _show(self) -> Show:
        return JsonLines() if self._as_json else Drawn()

    def _pause(self, show: Show) -> Pause:
        return Pause(show.note, f"nothing is lost, {self.back}")


def model_name(text: str | None) -> str | None:
    """`provider:model`.

    Raises:
        UserError: it is not.
    """
    if text is None:
        return None
    provider, _, model = text.partition(":")
    if not (provider and model):
        raise UserError(f"model {text!r}: expected PROVIDER:MODEL, such as anthropic:claude-sonnet-5-5 or {OFFLINE}")
    return text


OFFLINE = "offline:offline"
"""The planner without a model."""
