"""What happens to a task, heard from its stream of events while the terminal does something else."""

import contextlib
import threading

from cli.client import Client
from holdfast.client import Event
from holdfast.errors import HoldfastError

_KEPT = 4000


class News:
    """A listener in a thread of its own. Where there is no stream, `is_open` is false, and one has to ask.

    The client is the listener's own, and closed at the end. `answer` is the last part of what the model has said so far
    of its answer: a nicety, the recorded answer is the truth. `chosen` are the skills of the last plan; `retries` says
    how often the program was begun again because its sandbox or worker was lost; `ended` are calls and when they ended.
    """

    def __init__(self, client: Client, task_id: str) -> None:
        self.is_open = True
        self.answer = ""
        self.chosen: list[str] = []
        self.ended: dict[str, float] = {}
        self.retries = 0
        self._client = client
        self._id = task_id
        self._happened = threading.Event()
        # A daemon: who follows a task may go at any time, also while this thread waits for the next event.
        threading.Thread(target=self._listen, daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether something happened, as soon as it has."""
        happened = self._happened.wait(seconds)
        self._happened.clear()
        return happened

    def _listen(self) -> None:
        # What is wrong with the API is told by the follower, who asks it itself from now on.
        with contextlib.suppress(HoldfastError), self._client as client:
            for event in client.events(self._id):
                self._heard(event)
        self.is_open = False
        self._happened.set()

    def _heard(self, event: Event) -> None:
        match event.name, event.data:
            case "delta", {"step": "answer", "text": str(text)}:
                self.answer = (self.answer + text)[-_KEPT:]
            case "plan", {"state": "done", "skills": [*skills]}:
                self.chosen = [str(name) for name in skills]
            case "call", {"id": str(call), "state": "done" | "failed", "at": float(at)}:
                self.ended[call] = at
            case "attempt", {"attempt": int(number), "state": "started"}:
                self.retries += number > 1
        if event.name != "delta":
            self._happened.set()
