"""What the activities of a queue need, opened once for a worker and closed with it."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client

from activities.admitting import Admitting
from activities.asking import Asker
from activities.auditing import Auditor
from activities.backlog import BacklogWork
from activities.backlogskills import BacklogSkills
from activities.delegating import Delegating
from activities.dialogue import Dialogue
from activities.engine import Engine
from activities.estimating import Estimating, Measurer, Thinking
from activities.events import Posting, Routing
from activities.llm import Llm
from activities.memory import Summing
from activities.nested import Nests
from activities.notes import Recall
from activities.ownagents import OwnAgents
from activities.ownflows import OwnFlows
from activities.program import TEMPLATE, Programs
from activities.records import Recorder
from activities.sending import Sending
from activities.sessions import Remembering
from activities.skills import Skills
from activities.turns import Turns
from activities.work import Steps
from holdfast import __version__
from holdfast.blobs import BlobStore
from holdfast.catalogue import Library
from holdfast.config import Settings
from holdfast.contracts.llm import (
    LLM_ANSWER,
    LLM_ASK,
    LLM_DELEGATE,
    LLM_MERGE,
    LLM_PLAN,
    LLM_PROGRAM,
    LLM_SKILL,
    LLM_TURN,
)
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.program import QUEUE_AGENTS, QUEUE_LLM, QUEUE_OWN, QUEUE_SANDBOX, QUEUE_SKILLS
from holdfast.contracts.session import LLM_SUMMARY
from holdfast.errors import NoModel, StoreUnavailable
from holdfast.names import RECALL
from providers.seen import seen
from providers.table import Models
from sandbox.base import Probe, choose
from sandbox.pool import Pool
from sandbox.pools import Pools
from skills.run import SkillRunner
from store.admission import Admission
from store.audit import Audit
from store.backlog import Backlog
from store.database import Database
from store.deltas import Deltas
from store.publishing import Publisher, ready
from store.records import Records
from store.sessions import Sessions
from store.usage import Usage
from store.workers import Workers, WorkerSeen

SEEN_SECONDS = 5.0


@dataclass
class Wired:
    """Activities by task queue, and what this worker can say of its sandbox."""

    activities: dict[str, list[Callable[..., Any]]] = field(default_factory=dict)
    sandboxes: list[tuple[Pool, Probe]] = field(default_factory=list)
    providers: list[str] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)
    """How many activities of a queue this worker takes at once; further ones are left to other workers."""

    @property
    def adapters(self) -> list[dict[str, Any]]:
        """What each sandbox adapter is, and what its boxes do now: JSON, for the worker's row."""
        return [_told(pool, probe) for pool, probe in self.sandboxes]


@contextlib.asynccontextmanager
async def wired(settings: Settings, client: Client, queues: Sequence[str]) -> AsyncIterator[Wired]:
    """Activities for these queues. The sandbox is probed first: a worker that cannot isolate does not serve it.

    Raises:
        NoIsolation: the queue `sandbox` is asked for, and no adapter passes its probe.
        StoreUnavailable: the database cannot be opened.
    """
    blobs = BlobStore(settings.blobs)
    found = Wired()
    async with contextlib.AsyncExitStack() as stack:
        database = await Database.open(settings)
        stack.push_async_callback(database.close)
        environ = settings.environment()
        if QUEUE_LLM in queues:
            models = Models(environ, settings.default_model, settings.providers, settings.url)
            stack.push_async_callback(models.close)
            thinking = _thinking(Asker(models, Usage(database), Deltas(database)), blobs, settings)
            estimating = Estimating(_thinking(Measurer(models), blobs, settings))
            found.activities[QUEUE_LLM] = [*(think for _, think in thinking), estimating.estimate]
            found.providers = seen(environ, settings.default_model, settings.providers)
        if {QUEUE_SKILLS, QUEUE_AGENTS} & set(queues):
            runner = SkillRunner(
                blobs, settings.home, environ, _project_python(settings), workspace_bytes=settings.workspace_bytes
            )
            stack.push_async_callback(runner.close)
            found.activities |= _doing(settings, client, database, blobs, runner)
        if QUEUE_SANDBOX in queues:
            adapter = await choose(settings)
            own = Pool(adapter, TEMPLATE, settings.sandbox_max_sessions, settings.sandbox_warm)
            pools = Pools(settings, own, await adapter.probe(), TEMPLATE)
            await stack.enter_async_context(pools)
            found.slots[QUEUE_SANDBOX] = settings.sandbox_max_sessions
            found.sandboxes = pools.opened
            found.activities[QUEUE_SANDBOX] = [Programs(client, pools, blobs, settings.home).run]
        stack.enter_context(_seen(Workers(database), queues, found))
        yield found


def _doing(
    settings: Settings, client: Client, database: Database, blobs: BlobStore, runner: SkillRunner
) -> dict[str, list[Callable[..., Any]]]:
    """Skills, and what workflows write down and look up.

    Local activities run where the workflow does: saves, what is between steps, and calls of light skills.
    """
    records, backlog, sessions = Records(database), Backlog(database), Sessions(database)
    library = Library.of(settings, blobs)
    admission, publisher = (
        Admission(settings, records, library, blobs),
        Publisher(database, blobs, library, ready(client), settings.keep_events),
    )
    engines: dict[str, Engine] = {RECALL: Recall(blobs), **BacklogSkills(records, backlog).engines()}
    skills = Skills(runner, blobs, settings.workspaces, settings.project, Nests(client, blobs), engines)
    work = BacklogWork(client, blobs, backlog, sessions, records, admission)
    recorder, auditor = Recorder(records, blobs, publisher), Auditor(Audit(database), blobs, publisher)
    steps, values = Steps(records, blobs, settings.max_file_bytes), OwnFlows(blobs)
    memory = Remembering(sessions, blobs, client, settings.max_sessions, _default_model(settings))
    routing = Routing(settings, client, admission, library, blobs, publisher)
    at_hand: list[Callable[..., Any]] = [
        *(recorder.save_segment, recorder.save_record, routing.route, auditor.judge, auditor.write),
        *(Admitting(admission, publisher).admit, steps.prepare, steps.judge, steps.collect, values.read, values.keep),
        *(memory.load, memory.save, memory.note, Sending(settings, library, client).send),
    ]
    return {
        QUEUE_SKILLS: [skills.run, skills.check, Posting(settings, publisher).post, work.take, work.close, *at_hand],
        QUEUE_OWN: [OwnAgents(skills).run],
        QUEUE_AGENTS: [skills.run, *at_hand],
    }


def _thinking(asker: Asker, blobs: BlobStore, settings: Settings) -> list[Thinking]:
    """All activities that ask models."""
    llm = Llm(asker, blobs, settings.sandbox_packages)
    delegating = Delegating(asker, blobs)
    return [
        (LLM_PLAN, llm.plan),
        (LLM_PROGRAM, llm.program),
        (LLM_ANSWER, llm.answer),
        (LLM_SKILL, llm.skill),
        (LLM_ASK, llm.ask),
        (LLM_TURN, Turns(asker, blobs).turn),
        (LLM_DELEGATE, delegating.delegate),
        (LLM_MERGE, delegating.merge),
        (LLM_SUMMARY, Summing(Dialogue(asker, blobs), _default_model(settings)).summary),
    ]


def _default_model(settings: Settings) -> ModelSettings:
    """The model that is asked where none is named, as far as it can be known."""
    try:
        return Models(settings.environment(), settings.default_model, settings.providers, settings.url).default()
    except NoModel:
        return settings.default_model


def _told(pool: Pool, probe: Probe) -> dict[str, Any]:
    return {
        "name": pool.adapter.name,
        "version": probe.version,
        "isolation": pool.adapter.isolation,
        "stands_in_for": pool.adapter.stands_in_for,
        "capabilities": list(probe.capabilities),
        "healthy": not pool.problem,
        "problem": pool.problem,
        "live": pool.live,
        "warm": pool.warm,
        "max_sessions": pool.max_sessions,
    }


def _project_python(settings: Settings) -> str | None:
    """The interpreter of the project's own environment, where it has one."""
    python = settings.project / ".venv" / "bin" / "python"
    return str(python) if python.exists() else None


@contextlib.contextmanager
def _seen(workers: Workers, queues: Sequence[str], found: Wired) -> Any:
    started = datetime.now(UTC)
    name = f"{socket.gethostname()}:{os.getpid()}:{int(started.timestamp())}"
    row = WorkerSeen(
        id=name,
        queues=list(queues),
        version=__version__,
        started_at=started,
        providers=found.providers,
    )

    async def again() -> None:
        with contextlib.suppress(StoreUnavailable):
            await workers.forget()
        while True:
            # A database that is gone for a while comes back; who must know of it hears it from the activities.
            with contextlib.suppress(StoreUnavailable):
                await workers.seen(replace(row, adapters=found.adapters))
            await asyncio.sleep(SEEN_SECONDS)

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
