"""The HTTP API as an ASGI app.

`uvicorn api.main:app --reload` serves it with the settings of the current folder; `holdfast up` and
`python -m api.server` do the same with the port checked first and a quiet end.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import problems
from api.changes import Changes
from api.door import Door
from api.feed import Streams
from api.guard import refuse_open_door
from api.house import House, opened
from api.routes import (
    agent,
    agents,
    audit,
    backlog,
    budget,
    bus,
    clarifications,
    collaborative,
    configs,
    events,
    files,
    health,
    invoke,
    journal,
    questions,
    running,
    sandboxes,
    schedules,
    sessions,
    skills,
    system,
    tasks,
    workflows,
    ws,
)
from api.unbegun import watching
from holdfast import __version__, log
from holdfast.config import Settings


def create_app(settings: Settings, house: House | None = None) -> FastAPI:
    """The app. Without an open house it opens one of its own when it starts, and closes it when it ends.

    Raises:
        SettingsInvalid: it would listen off loopback without a key.
    """
    refuse_open_door(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if house is not None:
            yield
            return
        async with opened(settings) as app.state.house, watching(app.state.house):
            yield

    app = FastAPI(
        title="holdfast",
        version=__version__,
        description="Ordinary Python programs, made durable. Errors are application/problem+json; see `ErrorBody`.",
        lifespan=lifespan,
        responses=problems.DECLARED,
    )
    app.state.house = house
    app.state.streams = Streams()
    app.state.changes = Changes()
    problems.install(app)
    for each in (
        health,
        tasks,
        files,
        events,
        journal,
        bus,
        collaborative,
        running,
        questions,
        clarifications,
        audit,
        backlog,
        budget,
        agent,
        agents,
        invoke,
        configs,
        workflows,
        schedules,
        sandboxes,
        sessions,
        skills,
        system,
        ws,
    ):
        app.include_router(each.router)
    app.add_middleware(Door, settings=settings)
    return app


def app() -> FastAPI:
    """The factory that `uvicorn api.main:app` (also with `--factory`) calls."""
    settings = Settings.load()
    log.configure("api", settings.log_level, settings.log_format)
    return create_app(settings)
