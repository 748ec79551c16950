"""Ports, settings and dev servers for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from holdfast.config import Settings
from holdfast.ports import free_port
from holdfast.temporal.devserver import DevServer, start


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
