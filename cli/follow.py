"""Watch one task until it ends: lines as they settle, what is open below them, questions asked where we are."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.live import Live
from rich.markup import escape
from rich.text import Text

from cli import screen, tree
from cli.budget import answered, how
from cli.client import Client
from cli.groups import Group, grouped, is_open, line
from cli.news import News
from cli.views import options
from holdfast.contracts.program import FINAL
from holdfast.contracts.question import Question
from holdfast.contracts.task import Step, Task
from holdfast.errors import NoTemporal, UserError

_SHORTEST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
"""So often we look without news too: of a call that fails and is tried again, no event tells."""
_REDRAW_S = 0.25
_LINES = 8


class Follower:
    """Shows a task's steps on stderr. Each line is printed once, when nothing can be added to it any more."""

    def __init__(self, client: Client, task_id: str, inline: bool) -> None:
        self._client = client
        self._id = task_id
        self._inline = inline
        self._news = News(Client(client.settings), task_id)
        self._printed = 0
        self._open: list[Group] = []
        self._phase = self._counted = ""
        self._told: set[str] = set()

    def run(self) -> Task:
        """The task once it is final. KeyboardInterrupt flies: who follows may go at any time."""
        with _live() as live:
            while True:
                began = time.monotonic()
                task = self._client.task(self._id)
                is_shown = self._show(live, task)
                self._notes(task)
                if task.state in FINAL and is_shown:
                    return task
                self._questions(live, task)
                # A task of thousands of calls has long step lists: never spend more than a fifth of the time on them.
                self._pause(live, max(_SHORTEST_PAUSE_S, 4 * (time.monotonic() - began)))

    @property
    def retries(self) -> int:
        """How often its program was begun again, as far as there was a stream to hear it from."""
        return self._news.retries

    def _pause(self, live: Live | None, seconds: float) -> None:
        """At least so long; then until something happens."""
        if not self._news.is_open:
            self._client.task(self._id, wait_s=seconds)
            return
        earliest = time.monotonic() + seconds
        latest, happened = earliest + _LONGEST_PAUSE_S, False
        while time.monotonic() < (earliest if happened else latest):
            happened = self._news.wait(_REDRAW_S) or happened
            self._draw(live)

    def _show(self, live: Live | None, task: Task) -> bool:
        """False if nobody can tell its steps now. Without a worker, or a server, the task waits, and so do we."""
        try:
            steps = self._client.steps(self._id)
        except NoTemporal as exc:
            self._note(str(exc))
            return False
        groups = [group for group in grouped(steps) if group.kind != "question"]
        settled = self._printed + _settled(groups[self._printed :], task.state in FINAL)
        done, self._open = groups[self._printed : settled], groups[settled:]
        self._printed, self._phase = settled, task.phase
        self._counted = tree.counted(task.subtasks) if task.subtasks else ""
        self._draw(live)
        for group in done:
            screen.progress.print(self._styled(group))
        return True

    def _draw(self, live: Live | None) -> None:
        """What is still open, and the end of what the model says."""
        if live:
            now = [] if self._open or not self._phase else [Text(f"    {self._phase} …", style="dim")]
            now += [Text(f"    {self._counted}", style="dim")] if self._counted else []
            said = [Text(line, style="dim") for line in self._news.answer.splitlines()[-_LINES:]]
            live.update(Text("\n").join([*map(self._styled, self._open[-_LINES:]), *now, *said]), refresh=True)

    def _styled(self, group: Group) -> Text:
        """With the ends of calls that events have told of since the steps were read."""
        newest = Group(group.kind, group.name, [self._newest(step) for step in group.steps])
        return Text(line(newest, time.time(), self._news.chosen), style="yellow" if group.failed else "")

    def _newest(self, step: Step) -> Step:
        ended = self._news.ended.get(step.id or "")
        return step.model_copy(update={"state": "answered", "ended_at": ended}) if ended and is_open(step) else step

    def _notes(self, task: Task) -> None:
        """Why what we see may be old, and what is tried again: said once, not with each look."""
        for note in (task.note, *task.waiting):
            self._note(note)

    def _note(self, note: str) -> None:
        if note and note not in self._told:
            self._told.add(note)
            screen.progress.print(f"    [bold yellow]![/]  {escape(note)}")

    def _questions(self, live: Live | None, task: Task) -> None:
        for question in task.questions:
            if question.state == "open" and question.id not in self._told:
                self._told.add(question.id)
                self._meet(live, question)

    def _meet(self, live: Live | None, question: Question) -> None:
        later, typed = how(question, self._id)
        screen.progress.print(f"    [bold yellow]?[/]  {escape(question.text)}{escape(options(question))}")
        if not self._inline:
            screen.say(f"       answer with: {later}", "dim")
            return
        screen.say(f"       ({typed or 'or'} {'; or ' if typed else ''}answer later, from anywhere: {later})", "dim")
        with _paused(live):
            self._ask(question)

    def _ask(self, question: Question) -> None:
        """Until an answer is taken; an empty line leaves the question open for somebody else."""
        while text := input("       > ").strip():
            try:
                self._client.answer(self._id, question.id, parsed(question, text))
                return
            except UserError as exc:
                screen.fail(exc)
        screen.say("       left open", "dim")


def parsed(question: Question, text: str) -> Any:
    """What a person typed, as a value: an option by its text or number, JSON if it is JSON, else the text; at a
    question for a top-up, what is added; at an approval also a mapping with a decision.

    Raises:
        UserError: the question has options, and this is none of them; or this adds nothing.
    """
    if question.kind == "budget":
        return answered(text)
    typed = _json_or_text(text)
    if not question.options or (question.kind in ("approval", "outcome") and isinstance(typed, dict)):
        return typed
    by_number = {str(number): option for number, option in enumerate(question.options, 1)}
    match = [option for option in question.options if option.lower() == text.lower()]
    if not match and text not in by_number:
        raise UserError(f"{text!r} is no option of this question; allowed: {', '.join(question.options)}")
    return match[0] if match else by_number[text]


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _settled(groups: list[Group], is_final: bool) -> int:
    """How many groups from the front can be printed for good: complete, and no later call can join them."""
    count = 0
    for group in groups:
        can_grow = group is groups[-1] and group.kind not in ("program", "llm") and not is_final
        if can_grow or not (group.is_complete or is_final):
            break
        count += 1
    return count


@contextmanager
def _live() -> Iterator[Live | None]:
    if not screen.progress.is_terminal:
        yield None
        return
    with Live(console=screen.progress, auto_refresh=False, transient=True) as live:
        yield live


@contextmanager
def _paused(live: Live | None) -> Iterator[None]:
    if live is None:
        yield
        return
    live.stop()
    try:
        yield
    finally:
        live.start()


def at_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
