"""Ports, settings and dev servers for tests."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from holdfast.config import Settings
from holdfast.temporal.devserver import DevServer, start


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings_for(home: Path, **changes: Any) -> Settings:
    """Settings of a project in `home`, with a Temporal address of its own."""
    values = {"temporal_address": f"127.0.0.1:{free_port()}", "temporal_ui_port": free_port()}
    database = {"database_url": f"sqlite:///{home / 'holdfast.db'}"}
    return Settings(project=home, home=home, **{**values, **database, **changes})


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[DevServer]:
    """A dev server without a UI, gone at the end."""
    server = await start(settings, headless=True)
    try:
        yield server
    finally:
        server.kill()
