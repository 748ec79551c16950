"""The HTTP API as typed calls. A connection that fails, and a problem body, become errors of the one tree."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx2

from holdfast.config import Settings
from holdfast.contracts.journal import JournalExport
from holdfast.contracts.program import Version
from holdfast.contracts.question import Question
from holdfast.contracts.task import Step, Task, TaskRequest
from holdfast.errors import Forbidden, HoldfastError, NotFound, OperatorError, UserError

SHORTEST_PREFIX = 6
_PAGE = 100
_TIMEOUT = httpx2.Timeout(10.0, read=60.0)


class NoHoldfast(OperatorError):
    """Nothing that speaks our API listens at the URL."""

    code = "UNREACHABLE"


class Client:
    """A connection to one holdfast. Usable as a context manager; every method raises `HoldfastError` only."""

    def __init__(self, settings: Settings) -> None:
        key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self.url = settings.url.rstrip("/")
        # A proxy from the environment never knows the way to this machine's own loopback.
        loopback = httpx2.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        self._http = httpx2.Client(base_url=self.url, headers=key, timeout=_TIMEOUT, trust_env=not loopback)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, request: TaskRequest) -> Task:
        body = request.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return Task.model_validate(self._ask("POST", "/tasks", json=body))

    def task(self, task_id: str, wait_s: float = 0) -> Task:
        """The task now, or as soon as it is final or `wait_s` have passed."""
        return Task.model_validate(self._ask("GET", f"/tasks/{task_id}", params={"wait": wait_s} if wait_s else None))

    def tasks(self, limit: int = 50) -> Iterator[Task]:
        """Newest first, page after page, until `limit` are given."""
        path: str | None = f"/tasks?limit={min(limit, _PAGE)}"
        while path and limit > 0:
            response = self._send("GET", path)
            items = _body(response)[:limit]
            yield from (Task.model_validate(item) for item in items)
            limit, path = limit - len(items), response.links.get("next", {}).get("url")

    def find(self, prefix: str) -> str:
        """The full id of the one task whose id begins with `prefix`.

        Raises:
            UserError: the prefix is too short, or fits several tasks.
            NotFound: it fits none of the newest 1,000 tasks.
        """
        if len(prefix) >= 36:
            return prefix
        if len(prefix) < SHORTEST_PREFIX:
            raise UserError(f"task id {prefix!r} is too short; give at least its first {SHORTEST_PREFIX} characters")
        found = [task.id for task in self.tasks(1000) if task.id.startswith(prefix)]
        if not found:
            raise NotFound(f"no task whose id begins with {prefix!r} at {self.url}; see `holdfast list`")
        if len(found) > 1:
            raise UserError(f"{len(found)} tasks begin with {prefix!r}; give more of the id: {', '.join(found[:5])}")
        return found[0]

    def steps(self, task_id: str) -> list[Step]:
        return [Step.model_validate(step) for step in self._ask("GET", f"/tasks/{task_id}/steps")]

    def questions(self, task_id: str) -> list[Question]:
        return [Question.model_validate(one) for one in self._ask("GET", f"/tasks/{task_id}/questions")]

    def answer(self, task_id: str, question_id: str, value: Any) -> Any:
        return self._ask("POST", f"/tasks/{task_id}/questions/{question_id}", json={"value": value})

    def program(self, task_id: str) -> Version:
        return Version.model_validate(self._ask("GET", f"/tasks/{task_id}/program"))

    def journal(self, task_id: str) -> JournalExport:
        return JournalExport.model_validate(self._ask("GET", f"/tasks/{task_id}/journal"))

    def cancel(self, task_id: str) -> Task:
        return Task.model_validate(self._ask("POST", f"/tasks/{task_id}/cancel"))

    def skills(self, tag: str | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/skills", params={"tag": tag} if tag else None)
        return found

    def skill(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", f"/skills/{name}")
        return found

    def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/workers")
        return found

    def ailing(self) -> str:
        """What the API itself says it lacks to take tasks; empty if nothing."""
        found = self._send("GET", "/health/ready")
        needs: dict[str, str] = _json(found).get("dependencies", {})
        return "; ".join(f"{name}: {state}" for name, state in needs.items() if state != "ok")

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        return _body(self._send(method, path, **options))

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx2.ConnectError:
            raise NoHoldfast(f"no holdfast at {self.url}; start it with `holdfast up`, or set HOLDFAST_URL") from None
        except httpx2.TimeoutException:
            waited = f"{_TIMEOUT.read:.0f} s"
            raise NoHoldfast(f"{self.url} did not answer {method} {path} in {waited}; see `holdfast doctor`") from None
        except httpx2.HTTPError as exc:
            raise NoHoldfast(f"the connection to {self.url} broke during {method} {path}: {exc}; try again") from None
        except httpx2.InvalidURL as exc:
            raise NoHoldfast(
                f"HOLDFAST_URL {self.url!r} is no URL: {exc}; for instance http://127.0.0.1:8000"
            ) from None


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        found = f"{response.status_code} {response.text[:80].strip()!r}"
        raise NoHoldfast(f"{response.url} is no holdfast API: it answered {found}; check HOLDFAST_URL") from None


def _body(response: httpx2.Response) -> Any:
    body = _json(response)
    if response.is_success:
        return body
    raise _error(response.status_code, body if isinstance(body, dict) else {})


def _error(status: int, body: dict[str, Any]) -> HoldfastError:
    """The error that the server raised, by its code; a code that we do not know goes by its status."""
    problem = body.get("error")
    inner: dict[str, Any] = problem if isinstance(problem, dict) else {}
    message = str(inner.get("message") or body.get("message") or body.get("detail") or f"the API answered {status}")
    known = {kind.code: kind for kind in _tree(HoldfastError)}
    kind = known.get(str(inner.get("code"))) or _by_status(status)
    error = kind(message)
    error.details = inner.get("details") or {}
    if trace := inner.get("trace_id"):
        error.add_note(f"trace id {trace}")
    return error


def _tree(kind: type[HoldfastError]) -> Iterator[type[HoldfastError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _by_status(status: int) -> type[HoldfastError]:
    if status in (401, 403):
        return Forbidden
    if status == 404:
        return NotFound
    if status in (502, 503, 504):
        return OperatorError
    return UserError if status < 500 else HoldfastError
