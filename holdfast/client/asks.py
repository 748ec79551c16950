"""What each method of a client sends, and how its answer is read: once, for the sync and the async client."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx2
from pydantic import BaseModel, ValidationError

from holdfast.client import wire
from holdfast.contracts.agent import Planning, Strategy
from holdfast.contracts.base import Json
from holdfast.contracts.budget import Budget, BudgetState
from holdfast.contracts.chat import MessageTaken, Said, SessionLine, SessionMessage, SessionShown
from holdfast.contracts.file import File, Uploaded
from holdfast.contracts.journal import JournalExport
from holdfast.contracts.message import BlobPart
from holdfast.contracts.program import Version
from holdfast.contracts.question import Question
from holdfast.contracts.task import Step, Task, TaskRequest
from holdfast.errors import UserError, shown

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

PAGE = 100
_PIECE_BYTES = 256 << 10
WORDS = "prompt"
"""Where the words stand in the input of a task that has more than words."""
Rows = list[dict[str, Any]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Ask(Generic[T]):
    """One request. `file` is sent as its body. `is_safe`: sending it twice does no more than sending it once."""

    method: str
    path: str
    read: Callable[[httpx2.Response], T]
    body: Json = None
    file: Path | None = None
    params: Mapping[str, str | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_safe: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the request. Empty ones are left out: empty parameters would erase those in the path."""
        content = self.file and _pieces(self.file)
        sent = {"params": self.params, "headers": self.headers, "json": self.body, "content": content}
        return {"method": self.method, "url": self.path, **{name: value for name, value in sent.items() if value}}

    @property
    def async_options(self) -> dict[str, Any]:
        """The same for an async HTTP client."""
        return self.options | ({"content": _pieces_async(self.file)} if self.file else {})

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class AgentOptions(TypedDict, total=False):
    """All that may be said of a task in plain words, beside the words.

    `agent` is a name; without one it is holdfast's own. `skills` are all that it may use. `model` is `provider:model`.
    `inputs` is what its program sees as `inputs`, beside the words: an object, or anything else as `data` in one. With
    a `key`, the same request is the same task, however often it is sent. `files` were sent by `upload`: its program
    finds them in its folder `in`. `budget` holds limits of the task and all that it starts, together: any of `tokens`,
    `usd`, `calls` and `seconds`. `priority` is 1 (done first, where work has to wait) to 5; default 3. With a
    `session_id` it is the next turn of that conversation, which begins with it if it is new.
    """

    agent: str | None
    skills: Sequence[str] | None
    system_prompt: str | None
    model: str | None
    inputs: Json
    strategy: Strategy | None
    planning: Planning | None
    limits: Mapping[str, float | str] | None
    files: Sequence[Uploaded] | None
    key: str | None
    priority: int | str | None
    budget: Budget | Mapping[str, float | str] | None
    session_id: str | None


class MessageOptions(TypedDict, total=False):
    """What may be said of a message beside its words. `parts` are images: see `Client.upload`. `agent` is a name and
    `model` is `provider:model`: of this turn, instead of the session's. With a `key`, the same message is one turn,
    however often it is sent."""

    parts: Sequence[BlobPart] | None
    agent: str | None
    model: str | None
    strategy: Strategy | None
    skills: Sequence[str] | None
    budget: Budget | Mapping[str, float | str] | None
    key: str | None


class Limits(TypedDict, total=False):
    """Units of a budget: tokens of all LLM requests, USD for them, calls of skills, seconds of wall time."""

    tokens: int
    usd: float | Decimal | str
    calls: int
    seconds: float


def added(limits: Mapping[str, Any]) -> Budget:
    """What is to be added to a budget.

    Raises:
        UserError: nothing, a unit that is none, or a value that is no number.
    """
    if not any(limits.values()):
        raise UserError(f"nothing to add; give any of: {', '.join(Budget.model_fields)}")
    return limited(limits)


def limited(limits: Mapping[str, Any]) -> Budget:
    """A budget with these limits.

    Raises:
        UserError: a unit that is none, or a value that is no number.
    """
    if unknown := sorted(set(limits) - set(Budget.model_fields)):
        raise UserError(f"{unknown[0]!r} is no unit of a budget; allowed: {', '.join(Budget.model_fields)}")
    try:
        return Budget.model_validate(limits)
    except ValidationError as exc:
        raise UserError("; ".join(problem(error) for error in exc.errors())) from None


def of_agent(text: str, options: AgentOptions) -> TaskRequest:
    """A task in plain words.

    Raises:
        UserError: a value is not allowed (says which are).
    """
    fields: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    agent = fields.pop("agent", None)
    if "files" in fields:
        fields["files"] = given(fields["files"])
    if "key" in fields:
        fields["idempotency_key"] = fields.pop("key")
    try:
        words = _words(text, fields.pop("inputs", None))
        return TaskRequest.model_validate({"type": f"agent:{agent}" if agent else "agent", "input": words, **fields})
    except ValidationError as exc:
        raise UserError("; ".join(problem(error) for error in exc.errors())) from None


def given(files: Sequence[Uploaded]) -> Rows:
    """Files as a task's request names them."""
    return [{"ref": file.ref, "name": file.name} for file in files]


def _words(text: str, inputs: Json) -> Json:
    if inputs is None:
        return text
    beside = inputs if isinstance(inputs, dict) else {"data": inputs}
    if WORDS in beside:
        raise UserError(f"inputs has a key {WORDS!r}, which is where the task's words stand; name it otherwise")
    return {WORDS: text, **beside}


def problem(error: Any) -> str:
    """An error of pydantic in our words."""
    return f"{'.'.join(str(part) for part in error['loc'])}: found {shown(error['input'])}; {error['msg']}"


def send(request: TaskRequest) -> Ask[Task]:
    """With a key of its own, where the request has none, so that one that got lost is sent again and stays one task."""
    body = request.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    key = {} if request.idempotency_key else {"Idempotency-Key": uuid4().hex}
    return Ask("POST", "/tasks", model_of(Task), body, headers=key)


def task(task_id: str, wait_s: float = 0) -> Ask[Task]:
    return _of(task_id, "", model_of(Task), wait_s)


def at(task_id: str, below: str = "") -> tuple[str, dict[str, str | float]]:
    """Where a task is found, and the parameter that leads to one that another task started: its id holds '/'."""
    root, _, path = task_id.partition("/")
    return f"/tasks/{root}{below}", {"path": path} if path else {}


def _of(task_id: str, below: str, read: Callable[[httpx2.Response], T], wait_s: float = 0) -> Ask[T]:
    path, params = at(task_id, below)
    return Ask("GET", path, read, params=params | ({"wait": wait_s} if wait_s else {}))


def tasks(limit: int, path: str | None = None) -> Ask[tuple[list[Task], str | None]]:
    """A page, newest first, and the path of the next one."""
    return Ask("GET", path or f"/tasks?limit={min(limit, PAGE)}", _page_of(Task))


def steps(task_id: str) -> Ask[list[Step]]:
    return _of(task_id, "/steps", models_of(Step))


def program(task_id: str) -> Ask[Version]:
    return _of(task_id, "/program", model_of(Version))


def journal(task_id: str) -> Ask[JournalExport]:
    return _of(task_id, "/journal", model_of(JournalExport))


def result(task_id: str, wait_s: float = 0) -> Ask[Json]:
    return _of(task_id, "/result", _output, wait_s)


def questions(task_id: str) -> Ask[list[Question]]:
    return Ask("GET", f"/tasks/{task_id}/questions", models_of(Question))


def answer(task_id: str, question_id: str, value: Json) -> Ask[Question]:
    """Not safe to repeat: the first answer wins, and the second would be told that it came late."""
    path = f"/tasks/{task_id}/questions/{question_id}"
    return Ask("POST", path, model_of(Question), {"value": value}, is_safe=False)


def reject(task_id: str, question_id: str) -> Ask[Question]:
    """The same: whoever comes second is told so."""
    path = f"/tasks/{task_id}/questions/{question_id}/reject"
    return Ask("POST", path, model_of(Question), {}, is_safe=False)


def top_up(task_id: str, add: Budget) -> Ask[BudgetState]:
    """Not safe to repeat: it would be added twice."""
    body = {"add": add.model_dump(mode="json", exclude_none=True)}
    return Ask("POST", f"/tasks/{task_id}/budget", model_of(BudgetState), body, is_safe=False)


def budget(task_id: str) -> Ask[BudgetState]:
    return Ask("GET", f"/tasks/{task_id}/budget", model_of(BudgetState))


def cancel(task_id: str) -> Ask[Task]:
    return Ask("POST", f"/tasks/{task_id}/cancel", model_of(Task), is_safe=False)


def say(session_id: str, text: str, options: MessageOptions) -> Ask[MessageTaken]:
    """With a key of its own, where none is given, so that one that got lost is sent again and stays one turn.

    Raises:
        UserError: a value is not allowed (says which are).
    """
    fields: dict[str, Any] = {name: value for name, value in options.items() if value}
    key = {"Idempotency-Key": fields.pop("key", None) or uuid4().hex}
    try:
        message = SessionMessage.model_validate({"text": text, **fields})
    except ValidationError as exc:
        raise UserError("; ".join(problem(error) for error in exc.errors())) from None
    body = message.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    return Ask("POST", f"{session_path(session_id)}/messages", model_of(MessageTaken), body, headers=key)


def session(session_id: str) -> Ask[SessionShown]:
    return Ask("GET", session_path(session_id), model_of(SessionShown))


def sessions(limit: int, path: str | None = None) -> Ask[tuple[list[SessionLine], str | None]]:
    """A page, newest first, and the path of the next one."""
    return Ask("GET", path or f"/sessions?limit={min(limit, PAGE)}", _page_of(SessionLine))


def messages(session_id: str, limit: int, path: str | None = None) -> Ask[tuple[list[Said], str | None]]:
    """A page, newest first, and the path of the next one."""
    return Ask("GET", path or f"{session_path(session_id)}/messages?limit={min(limit, PAGE)}", _page_of(Said))


def close_session(session_id: str) -> Ask[SessionLine]:
    """Safe to repeat: a session that is closed stays so."""
    return Ask("DELETE", session_path(session_id), model_of(SessionLine))


def session_path(session_id: str) -> str:
    return f"/sessions/{quote(session_id, safe='')}"


def upload(path: Path, name: str | None = None) -> Ask[Uploaded]:
    """Sent piece by piece, and safe to repeat: the same content is the same file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        path.open("rb").close()
    except OSError as exc:
        raise UserError(f"cannot read {str(path)!r}: {exc.strerror}") from None
    return Ask("POST", "/files", model_of(Uploaded), file=path, params={"name": name or path.name})


def files(task_id: str) -> Ask[list[File]]:
    return _of(task_id, "/files", models_of(File))


def download(task_id: str, name: str) -> Ask[bytes]:
    return _of(task_id, f"/files/{quote(name)}", _bytes)


def rows(path: str, **params: str | None) -> Ask[Rows]:
    return Ask("GET", path, _raw, params={name: value for name, value in params.items() if value is not None})


def row(path: str) -> Ask[Row]:
    return Ask("GET", path, _raw)


def agents() -> Ask[Rows]:
    return Ask("GET", "/agents", lambda response: list(wire.body(response)["agents"]))


def flows() -> Ask[Rows]:
    return Ask("GET", "/workflows", lambda response: list(wire.body(response)["workflows"]))


def health() -> Ask[Row]:
    """Also that of a holdfast that is not well, which answers 503."""
    return Ask("GET", "/health", wire.json)


def ready() -> Ask[Row]:
    """The same, of what is needed to take tasks."""
    return Ask("GET", "/health/ready", wire.json)


def model_of(kind: type[Model]) -> Callable[[httpx2.Response], Model]:
    return lambda response: kind.model_validate(wire.body(response))


def models_of(kind: type[Model]) -> Callable[[httpx2.Response], list[Model]]:
    return lambda response: [kind.model_validate(item) for item in wire.body(response)]


def _bytes(response: httpx2.Response) -> bytes:
    if not response.is_success:
        wire.body(response)
    return response.content


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


async def _pieces_async(path: Path) -> AsyncIterator[bytes]:
    for piece in _pieces(path):
        yield piece


def _page_of(kind: type[Model]) -> Callable[[httpx2.Response], tuple[list[Model], str | None]]:
    return lambda response: (models_of(kind)(response), response.links.get("next", {}).get("url"))


def _output(response: httpx2.Response) -> Json:
    return wire.body(response)["output"]


def _raw(response: httpx2.Response) -> Any:
    return wire.body(response)
