"""One turn of a chat, followed to its end: its steps, its questions, and the pauses in which nothing can be heard."""

import time

from cli import chatquestions, screen
from cli.chatinput import Reader
from cli.chatline import Ear, Pause, is_passing, patiently
from cli.chatshow import Show
from cli.client import Client
from holdfast.client import Event
from holdfast.contracts.program import FINAL
from holdfast.contracts.question import Question
from holdfast.contracts.task import Task
from holdfast.errors import Conflict, OperatorError, UserError

_TICK_S = 0.2
_QUIET_S = 2.0
"""After so long without a word we look whether somebody is away; and so often again."""
AWAY = "no worker or server answers; the turn goes on as soon as they are back"


class Turn:
    """Follows the task of a turn. `reader` answers its questions; None: nobody is there, they are only shown."""

    def __init__(self, client: Client, task_id: str, show: Show, reader: Reader | None, pause: Pause) -> None:
        self._client, self._id = client, task_id
        self._show, self._reader, self._pause = show, reader, pause
        self._met: set[str] = set()
        self._heard_at = self._looked_at = time.monotonic()
        self._drawn_at = 0.0
        self._is_over = False

    def follow(self) -> Task:
        """The task once it is over. KeyboardInterrupt flies: who follows may go at any time.

        Raises:
            GaveUp: the API has been away for too long.
            Ended: it asks something, and nobody is there any more to answer.
        """
        with self._show, Ear(Client(self._client.settings), self._id) as ear:
            while not self._is_over:
                event = ear.next(_TICK_S)
                if event is not None:
                    self._hear(event)
                elif time.monotonic() - self._looked_at > _QUIET_S:
                    self._look()
                self._draw()
        return patiently(self._pause, lambda: self._client.task(self._id))

    def _draw(self) -> None:
        """Not for each of the many events that are told again to one who comes back."""
        if time.monotonic() - self._drawn_at > _TICK_S / 2:
            self._show.draw()
            self._drawn_at = time.monotonic()

    def _hear(self, event: Event) -> None:
        self._heard_at = self._looked_at = time.monotonic()
        self._pause.ends()
        self._show.hear(event)
        self._is_over = event.name == "done"
        if event.name == "question" and event.data["state"] == "open":
            self._meet(event.data["id"])

    def _look(self) -> None:
        """Ask how it stands, and say who is away."""
        try:
            task = self._client.task(self._id)
        except OperatorError as exc:
            if not is_passing(exc):
                raise
            self._pause.is_lost(exc)
        else:
            self._is_over = task.state in FINAL
            self._judge(task)
        self._looked_at = time.monotonic()

    def _judge(self, task: Task) -> None:
        """A pause of the API is over now; that of a worker only when something happens to the turn."""
        if task.note:
            # Why is not known for sure: a query that no worker takes looks like a server that is slow.
            self._pause.begins(AWAY, self._heard_at)
        elif task.waiting:
            self._pause.begins(task.waiting[0], self._heard_at)
        else:
            self._pause.is_found()

    # questions

    def _meet(self, question_id: str) -> None:
        """Ask what is still open: the stream tells also of questions that were answered long ago."""
        if question_id in self._met:
            return
        self._met.add(question_id)
        asked = patiently(self._pause, lambda: self._client.questions(self._id))
        for question in asked:
            if question.id == question_id and question.state == "open":
                with self._show.aside():
                    self._ask(question)

    def _ask(self, question: Question) -> None:
        chatquestions.show(question, self._id)
        if self._reader is None:
            return
        try:
            while not self._told(question, chatquestions.answer(question, self._reader.answer)):
                pass
        except chatquestions.LeftOpen:
            screen.say("       left open", "dim")

    def _told(self, question: Question, value: object) -> bool:
        """Whether the question is closed now. An answer that got lost is sent again: the first one wins."""
        try:
            patiently(self._pause, lambda: self._client.answer(self._id, question.id, value))
        except Conflict as exc:
            screen.say(f"       {exc}", "dim")
        except UserError as exc:
            screen.fail(exc)
            return False
        return True
