"""The API as users run it: a process of its own on a real port, with its log in a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from holdfast.ports import free_port

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"


class Api:
    """`python -m api.server` with these environment variables. `http` is a client of it."""

    def __init__(self, home: Path, project: Path = PROJECT, **environment: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.project = home, project
        self.log = home / "api.log"
        self.port = int(environment.get("HOLDFAST_PORT") or free_port())
        kept = {
            name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and name != "API_KEY"
        }
        self.environment = {
            **kept,
            "HOLDFAST_HOME": str(home),
            "HOLDFAST_PORT": str(self.port),
            "HOLDFAST_URL": f"http://127.0.0.1:{self.port}",
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30)

    def spawn(self) -> "subprocess.Popen[bytes]":
        """The process, which may not come up."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api.server"], cwd=self.project, env=self.environment, stdout=out, stderr=out
            )
        return self.process

    def start(self, seconds: float = 30) -> "Api":
        process = self.spawn()
        deadline = time.monotonic() + seconds
        while not self._alive():
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return self

    def stop(self) -> int:
        """Send SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def close(self) -> None:
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def submit(self, program: str, **fields: Any) -> dict[str, Any]:
        """The task of a program that is taken."""
        response = self.http.post("/tasks", json={"type": "program", "program": program, **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    def get(self, path: str, **params: Any) -> Any:
        response = self.http.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def _alive(self) -> bool:
        try:
            return self.http.get("/health/live").status_code == 200
        except httpx2.TransportError:
            return False


def until(look: Callable[[], Any], seconds: float = 40) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r}"
        time.sleep(0.05)
    return found


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The body of an error answer, after a look at its every member."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    error = body["error"]
    assert error["code"] == code, body
    assert body["type"] == f"urn:holdfast:error:{code}"
    assert body["status"] == status
    assert body["title"]
    assert body["instance"] == response.url.path
    assert body["message"] == body["detail"] == error["message"]
    assert error["trace_id"] == response.headers["x-trace-id"]
    assert len(error["trace_id"]) == 32
    assert error["timestamp"].endswith("Z")
    return body
