"""Between us and the API: where it is, how often to try, and errors of the one tree from all that can go wrong."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from holdfast.config import Settings
from holdfast.errors import Forbidden, HoldfastError, NotFound, OperatorError, TooManyTasks, UserError

TIMEOUT = httpx2.Timeout(10.0, read=75.0)
"""The API holds a `wait` for 60 s at most, and pings a stream of events each 15 s."""
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Between tries of what is safe to send again, after its connection broke: an API that restarts is back by then."""


BUSY_S = 60.0
"""So long, all in all, a request waits for a holdfast that has too many tasks in work."""


class NoHoldfast(OperatorError):
    """Nothing that speaks our API listens at the URL."""

    code = "UNREACHABLE"


@dataclass(frozen=True)
class Door:
    """Where the API is, and the key that opens it. The key goes nowhere else: redirects are not followed."""

    url: str
    api_key: str | None

    @classmethod
    def found(cls, url: str | None, api_key: str | None) -> "Door":
        """What is not given is what the current folder's settings say: environment, `.env`, `holdfast.yaml`."""
        if url is None or api_key is None:
            settings = Settings.load()
            url, api_key = url or settings.url, settings.api_key if api_key is None else api_key
        return cls(url.rstrip("/"), api_key or None)

    def options(self) -> dict[str, Any]:
        """Arguments of an HTTP client.

        Raises:
            NoHoldfast: the URL is none.
        """
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        # A proxy from the environment never knows the way to this machine's own loopback.
        return {"base_url": self.url, "headers": key, "timeout": TIMEOUT, "trust_env": not self._is_loopback()}

    def _is_loopback(self) -> bool:
        try:
            return httpx2.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        except httpx2.InvalidURL as exc:
            raise self.lost(exc, "") from None

    def lost(self, exc: httpx2.HTTPError | httpx2.InvalidURL, what: str) -> NoHoldfast:
        """Why no answer came to `what`, for people."""
        match exc:
            case httpx2.ConnectError():
                return NoHoldfast(f"no holdfast at {self.url}; start it with `holdfast up`, or set HOLDFAST_URL")
            case httpx2.TimeoutException():
                return NoHoldfast(f"{self.url} did not answer {what} in {TIMEOUT.read:.0f} s; see `holdfast doctor`")
            case httpx2.InvalidURL() | httpx2.UnsupportedProtocol():
                return NoHoldfast(f"HOLDFAST_URL {self.url!r} is no URL: {exc}; for instance http://127.0.0.1:8000")
        return NoHoldfast(f"the connection to {self.url} broke during {what}: {exc}; try again")


def pause(exc: httpx2.HTTPError | httpx2.InvalidURL, tried: int, is_safe: bool) -> float | None:
    """Seconds until the same request may get through, after it was tried so often; None: it will not.

    Only what is safe to send twice is sent again, and only after a broken connection. Where nothing listens at the
    first try, nothing will: that is told at once. After a broken connection it is an API that restarts.
    """
    is_broken = isinstance(exc, (httpx2.NetworkError, httpx2.RemoteProtocolError))
    is_refused = isinstance(exc, httpx2.ConnectError) and tried == 1
    return PAUSES_S[tried - 1] if is_safe and is_broken and not is_refused and tried <= len(PAUSES_S) else None


Busy = Callable[[TooManyTasks, float], None]


class Patience:
    """How long one request may wait where the API says that it is full: as it is told, up to `seconds` in all."""

    def __init__(self, seconds: float, tell: Busy | None = None) -> None:
        self._until = time.monotonic() + seconds
        self._tell = tell

    def pause(self, exc: TooManyTasks) -> float | None:
        """Seconds until the same request may get through; None: that is later than the wait may last."""
        wait_s = float(exc.retry_after)
        if time.monotonic() + wait_s > self._until:
            return None
        if self._tell:
            self._tell(exc, wait_s)
        return wait_s


def body(response: httpx2.Response) -> Any:
    """The JSON of a good answer.

    Raises:
        HoldfastError: the error that the API raised.
        NoHoldfast: whoever answers is no holdfast.
    """
    found = json(response)
    if response.is_success:
        return found
    failed = error(response.status_code, found if isinstance(found, dict) else {})
    if isinstance(failed, TooManyTasks):
        failed.retry_after = _seconds(response.headers.get("Retry-After", ""))
    raise failed


def _seconds(retry_after: str) -> int:
    return max(1, int(retry_after)) if retry_after.isdecimal() else 1


def json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        found = f"{response.status_code} {response.text[:80].strip()!r}"
        raise NoHoldfast(f"{response.url} is no holdfast API: it answered {found}; check HOLDFAST_URL") from None


def error(status: int, problem: dict[str, Any]) -> HoldfastError:
    """The error that the server raised, by its code; a code that we do not know goes by its status.

    Its `details` also hold `code` and `trace_id`, as the API said them.
    """
    said = problem.get("error")
    inner: dict[str, Any] = said if isinstance(said, dict) else {}
    message = str(inner.get("message") or problem.get("message") or problem.get("detail") or f"the API said {status}")
    known = {kind.code: kind for kind in _tree(HoldfastError)}
    found = (known.get(str(inner.get("code"))) or _by_status(status))(message)
    found.details = {**(inner.get("details") or {}), "code": inner.get("code"), "trace_id": inner.get("trace_id")}
    if trace := inner.get("trace_id"):
        found.add_note(f"trace id {trace}")
    return found


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
