"""The docker engine's HTTP API over its unix socket: requests, and the raw streams that attach and exec become.

The API and not the `docker` command: a box of the pool would cost a process of 30 MB to wait for it.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from holdfast.errors import HoldfastError, NoIsolation, shown

SECONDS = 60.0
STDOUT, STDERR = 1, 2

_READ_BYTES = 64 * 1024
_SCHEME = "unix://"
_FIX = (
    "Install docker (apt-get install docker.io), start it (systemctl start docker), and let this user open its socket: "
    "usermod -aG docker NAME, then log in again. Another engine: DOCKER_HOST=unix:///path/to/docker.sock"
)


class EngineRefused(HoldfastError):
    """The engine answered with an error; `answered` is the status of HTTP."""

    code = "BOX_LOST"

    def __init__(self, message: str, answered: int = 500) -> None:
        super().__init__(message)
        self.answered = answered


class Engine:
    """One docker engine. Holds no connection: a box lives longer than one would."""

    def __init__(self, host: str) -> None:
        """
        Raises:
            NoIsolation: `host` is no unix socket.
        """
        if not host.startswith(_SCHEME):
            raise NoIsolation(f"DOCKER_HOST is {shown(host)}; only {_SCHEME}/path will do. Forward the socket here")
        self.socket = host.removeprefix(_SCHEME)
        self._prefix = ""

    async def version(self) -> dict[str, Any]:
        """
        Raises:
            NoIsolation: nobody answers; says what to do.
        """
        found: dict[str, Any] = await self._call("GET", "/version")
        self._prefix = f"/v{found['ApiVersion']}"
        return found

    async def call(self, method: str, path: str, body: object = None, **parameters: str) -> Any:
        """The answer's JSON, or its text.

        Raises:
            EngineRefused: with the engine's own words.
            NoIsolation: nobody answers.
        """
        return await self._call(method, await self._path(path), parameters, json=body)

    async def upload(self, path: str, tar: AsyncIterator[bytes], seconds: float, **parameters: str) -> str:
        """Send a tar; the answer's text, one JSON object a line.

        Raises:
            EngineRefused, NoIsolation: as `call`.
        """
        headers = {"content-type": "application/x-tar"}
        where = await self._path(path)
        answer = await self._call("POST", where, parameters, seconds, content=tar, headers=headers)
        return answer if isinstance(answer, str) else json.dumps(answer)

    async def stream(self, path: str, body: object = None) -> "Stream":
        """A connection that has stopped speaking HTTP: what we write goes in, what comes out is framed.

        Raises:
            EngineRefused: with the engine's own words.
            NoIsolation: nobody answers.
        """
        content = json.dumps(body).encode() if body is not None else b""
        head = f"POST {await self._path(path)} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket, limit=_READ_BYTES)
        except OSError as exc:
            raise self._unreachable(exc) from exc
        try:
            writer.write(head.encode("ascii") + content)
            await self._upgraded(reader, path)
        except BaseException:
            # Whoever gives up here (a box that is killed while it starts) has no stream yet that could be closed.
            await _close(writer)
            raise
        return Stream(reader, writer)

    async def _upgraded(self, reader: asyncio.StreamReader, path: str) -> None:
        try:
            said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (OSError, asyncio.IncompleteReadError) as exc:
            raise self._unreachable(exc) from exc
        status = int(said.split(" ", 2)[1])
        if status not in (101, 200):
            message = (await reader.read(2000)).decode("utf-8", "replace")
            raise EngineRefused(f"docker refused {path}: {message}", status)

    async def _path(self, path: str) -> str:
        if not self._prefix:
            await self.version()
        return self._prefix + path

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
        **content: Any,
    ) -> Any:
        # No TLS on a unix socket, so no certificates to read either: that would take longer than the request.
        transport = httpx2.AsyncHTTPTransport(uds=self.socket, verify=False, trust_env=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://docker", timeout=seconds) as client:
            try:
                answer = await client.request(method, path, params=query, **content)
            except httpx2.TransportError as exc:
                raise self._unreachable(exc) from exc
        if answer.is_success:
            return _content(answer)
        raise EngineRefused(f"docker answered {answer.status_code}: {_message(answer)}", answer.status_code)

    def _unreachable(self, exc: Exception) -> NoIsolation:
        return NoIsolation(f"no docker engine answers at {self.socket}: {str(exc) or type(exc).__name__}. {_FIX}")


def _content(answer: httpx2.Response) -> Any:
    with contextlib.suppress(ValueError):
        return answer.json()
    return answer.text


def _message(answer: httpx2.Response) -> str:
    found = _content(answer)
    return str(found.get("message") if isinstance(found, dict) else found).strip()[:1000]


class Stream:
    """What the engine has made of a connection: our bytes are the process's stdin, its stdout and stderr are framed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._head = b""
        self._left = 0

    async def write(self, data: bytes) -> None:
        """
        Raises:
            ConnectionError: it is closed.
        """
        if self._writer.is_closing():
            raise BrokenPipeError
        self._writer.write(data)
        await self._writer.drain()

    def end_input(self) -> None:
        self._writer.write_eof()

    async def read(self) -> tuple[int, bytes]:
        """STDOUT or STDERR, and some bytes of it; no bytes once it is over. Giving up (a timeout) loses nothing."""
        while not self._left:
            piece = await self._some(8 - len(self._head))
            if not piece:
                return STDOUT, b""
            self._head += piece
            if len(self._head) == 8:
                self._left = int.from_bytes(self._head[4:], "big")
        data = await self._some(min(self._left, _READ_BYTES))
        self._left = self._left - len(data) if data else 0
        kind = self._head[0]
        if not self._left:
            self._head = b""
        return kind, data

    async def aclose(self) -> None:
        await _close(self._writer)

    async def _some(self, size: int) -> bytes:
        try:
            return await self._reader.read(size)
        except ConnectionError:
            return b""


async def _close(writer: asyncio.StreamWriter) -> None:
    # Not close: that waits until what is still to be written has been read.
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
