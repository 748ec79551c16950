"""`run`, `exec`, `show`, `list`, `answer`, `cancel`: thin wrappers over the API."""

from typing import Literal

from cli import files, screen, tree, views
from cli.budget import how
from cli.client import Client
from cli.follow import Follower, at_a_terminal, parsed
from holdfast.config import Settings
from holdfast.contracts.program import FINAL
from holdfast.contracts.question import Question
from holdfast.contracts.task import Subtask, Task, TaskRequest
from holdfast.errors import Conflict, NotFound, UserError

View = Literal["task", "steps", "journal", "program", "result"]


def start(settings: Settings, request: TaskRequest, paths: list[str], detach: bool, as_json: bool) -> None:
    """Submit a task with these files of ours, and follow it to its end.

    Raises:
        RunFailed: it ended in another state than DONE.
        KeyboardInterrupt: ctrl-c; the task goes on.
    """
    with Client(settings) as client:
        task = client.send(files.with_files(client, request, paths))
        views.headline(settings, task)
        if detach:
            screen.result(task.model_dump(mode="json") if as_json else task.id)
        else:
            _watch(client, task.id, as_json)


def show(settings: Settings, prefix: str, view: View, as_json: bool) -> None:
    with Client(settings) as client:
        task_id = client.find(prefix)
        match view:
            case "task":
                _show_task(client, client.task(task_id), as_json)
            case "steps":
                _show_steps(client, task_id, as_json)
            case "journal":
                screen.result(client.journal(task_id).model_dump(mode="json"))
            case "program":
                _show_program(client, task_id, as_json)
            case "result":
                _finish(client.task(task_id), as_json)


def follow(settings: Settings, prefix: str, as_json: bool) -> None:
    with Client(settings) as client:
        task = client.task(client.find(prefix))
        views.headline(settings, task)
        _watch(client, task.id, as_json)


def list_(settings: Settings, limit: int, as_json: bool) -> None:
    with Client(settings) as client:
        tasks = list(client.tasks(limit))
    if as_json:
        screen.result([task.model_dump(mode="json") for task in tasks])
    elif tasks:
        screen.rows([views.task_row(task) for task in tasks])
    else:
        screen.say('no tasks yet; start one with: holdfast run "…"')


def answer(settings: Settings, prefix: str, question_id: str | None, value: str) -> None:
    """Answer an open question of a task; which one must be said only when several are open."""
    with Client(settings) as client:
        task_id = client.find(prefix)
        question = _chosen(client.questions(task_id), task_id, question_id)
        client.answer(task_id, question.id, parsed(question, value))
    screen.say(f"answered: {question.text}")
    screen.say(f"follow it: holdfast show {task_id} --follow", "dim")


def reject(settings: Settings, prefix: str, question_id: str | None) -> None:
    """Close an open question without an answer; which one must be said only when several are open."""
    with Client(settings) as client:
        task_id = client.find(prefix)
        question = _chosen(client.questions(task_id), task_id, question_id)
        client.reject(task_id, question.id)
    screen.say(f"rejected: {question.text}")


def cancel(settings: Settings, prefix: str, as_json: bool) -> None:
    with Client(settings) as client:
        task = client.cancel(client.find(prefix))
    if as_json:
        screen.result(task.model_dump(mode="json"))
    else:
        screen.say(f"task {task.id} {'is' if task.state in FINAL else 'will soon be'} CANCELLED")


def _watch(client: Client, task_id: str, as_json: bool) -> None:
    try:
        follower = Follower(client, task_id, inline=at_a_terminal())
        task = follower.run()
    except KeyboardInterrupt:
        screen.say(f"\ndetached; the task goes on. Follow it again: holdfast show {task_id} --follow")
        screen.say(f"stop it: holdfast cancel {task_id}", "dim")
        raise
    _finish(task, as_json, follower.retries)


def _finish(task: Task, as_json: bool, retries: int = 0) -> None:
    """The result on stdout, how it went on stderr; a task that is over and not DONE is a failed run."""
    if task.state not in FINAL:
        raise Conflict(f"task {task.id} is {task.state}: no result yet; wait for it: holdfast show {task.id} --follow")
    if as_json:
        screen.result(task.model_dump(mode="json"))
    if task.state != "DONE":
        views.printed(task)
        raise screen.RunFailed(views.failure(task))
    if not as_json:
        views.printed(task)
        screen.result(task.output)
    screen.say(f"{views.closing(task, retries)}    holdfast show {task.id}", "dim")


def _show_task(client: Client, task: Task, as_json: bool) -> None:
    if as_json:
        screen.result(task.model_dump(mode="json"))
        return
    screen.rows(views.facts(client.settings, task))
    if task.subtasks:
        screen.result("\n".join(tree.lines(task.subtasks, lambda step: _inner(client, step))))
    for question in task.questions:
        if question.state == "open":
            screen.say(f"?  {question.text}{views.options(question)}", "bold yellow")
            screen.say(f"   answer with: {how(question, task.id)[0]}")


def _inner(client: Client, step: Subtask) -> list[Subtask]:
    """What a step started in its turn. Only flows are asked: of other steps few start any."""
    return client.task(step.id).subtasks if step.kind == "flow" and step.created_at else []


def _show_steps(client: Client, task_id: str, as_json: bool) -> None:
    steps = client.steps(task_id)
    if as_json:
        screen.result([step.model_dump(mode="json") for step in steps])
    else:
        screen.rows([views.step_row(step) for step in steps])


def _show_program(client: Client, task_id: str, as_json: bool) -> None:
    found = client.program(task_id)
    screen.result(found.model_dump(mode="json") if as_json else found.source)


def _chosen(questions: list[Question], task_id: str, question_id: str | None) -> Question:
    open_ = [question for question in questions if question.state == "open"]
    listed = "; ".join(f"{question.id} {question.text!r}" for question in open_) or "none"
    chosen = [question for question in open_ if question_id is None or question.id.startswith(question_id)]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise UserError(f"task {task_id} has several open questions; say which: {listed}")
    named = f"no open question {question_id!r}" if question_id else "no open question"
    raise NotFound(f"task {task_id} has {named}; open: {listed}")
