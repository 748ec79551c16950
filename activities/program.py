"""The activity `program.run`: one attempt of one generation of a box.

Every attempt starts the program from its first line; what it asked before is answered from the journal. What
the program does wrong is a result. What the machine does wrong is an exception, and Temporal tries again.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

import sandbox
from activities import ends, outputs, sessionvars
from activities.alive import beating, leaving_at_shutdown
from activities.host import Host
from activities.known import Known
from activities.updates import Overtaken, Updates
from holdfast import filenames
from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue
from holdfast.contracts.program import (
    NO_SANDBOX,
    PROGRAM_RUN,
    UPDATE_HELLO,
    HelloMessage,
    HelloReply,
    Limits,
    ProgramEnd,
    ProgramJob,
)
from holdfast.errors import NoIsolation
from holdfast.names import identifier
from sandbox.base import BoxLimits, BoxLost, BoxSpec, MemoryShort, ProtocolViolation
from sandbox.inputs import ready
from sandbox.lockdown import lockdown
from sandbox.pool import Session
from sandbox.pools import Pools

GUEST = Path(sandbox.__file__).parent / "guest.py"
LOSSES = 3
"""Boxes lost in a row, without a newly recorded answer between, before the loss is the program's result."""

log = structlog.stdlib.get_logger(__name__)


class Programs:
    """Runs programs in the boxes of a worker."""

    def __init__(self, client: Client, pools: Pools, blobs: BlobStore, home: Path) -> None:
        self._client, self._pools, self._blobs, self._home = client, pools, blobs, home

    @activity.defn(name=PROGRAM_RUN.name)
    async def run(self, job: ProgramJob) -> ProgramEnd:
        """Run a program until it ends, fails of its own making, or is told to stop and wait.

        Raises:
            ApplicationError: `BoxLost` (the box died under us; retryable), `MemoryShort` (no box was begun; retryable),
                `NoSandbox` (the adapter that is asked for is not here; not retryable) or `Overtaken` (a later attempt,
                or the workflow's end, has made this one pointless; not retryable).
        """
        structlog.contextvars.bind_contextvars(trace_id=job.task.trace_id, task_id=job.task.task_id)
        losses = _Losses()
        async with beating(losses.beat), leaving_at_shutdown():
            try:
                end = await self._attempt(job, losses)
            except Overtaken as exc:
                raise ApplicationError(str(exc), type="Overtaken", non_retryable=True) from exc
            except MemoryShort as exc:
                losses.beat()
                raise ApplicationError(str(exc), type="MemoryShort") from exc
            except (BoxLost, EOFError) as exc:
                return losses.result_or_raise(exc)
        log.info(
            "program.run",
            outcome=end.outcome,
            park=end.park,
            generation=job.generation,
            attempt=end.attempt,
            calls=end.asked,
        )
        return end

    async def _attempt(self, job: ProgramJob, losses: "_Losses") -> ProgramEnd:
        info = activity.info()
        assert info.workflow_id and info.workflow_run_id
        updates = Updates(self._client, info.workflow_id, info.workflow_run_id)
        catalogue = await asyncio.to_thread(Catalogue.open, self._blobs, job.catalogue)
        facts = {facts.name: facts for facts in catalogue.granted(None)}
        known = await asyncio.to_thread(Known.read, job, self._blobs, facts)
        if info.attempt > 1:
            reply = await self._hello(job, info.attempt, updates)
            if reply.park is not None:
                return ProgramEnd(outcome="suspended", park=reply.park)
            known.hear(reply)
        losses.now_known(len(known.answers))
        if job.inputs_ref is not None:
            values = await asyncio.to_thread(self._blobs.get_json, job.inputs_ref)
            job = job.model_copy(update={"inputs": values})
        key = box_key(info)
        inputs = await asyncio.to_thread(self._inputs, job)
        spec = BoxSpec(name=job.task.task_id, guest=GUEST, limits=_box_limits(job.limits), key=key, inputs=inputs)
        try:
            pool = await self._pools.named(job.adapter)
        except NoIsolation as exc:
            raise ApplicationError(str(exc), type=NO_SANDBOX, non_retryable=True) from exc
        async with pool.session(spec) as session:
            end = await self._hosted(job, info.attempt, session, updates, known, catalogue)
        return end.model_copy(update={"adapter": pool.adapter.name, "isolation": pool.adapter.isolation})

    def _inputs(self, job: ProgramJob) -> Path | None:
        """The folder of the files that the task was given."""
        files = filenames.read(self._blobs, job.files_ref)
        return ready(files, self._blobs, self._home) if files else None

    async def _hello(self, job: ProgramJob, attempt: int, updates: Updates) -> HelloReply:
        await updates.forget_worker()
        message = HelloMessage(generation=job.generation, attempt=attempt)
        return await updates.send(UPDATE_HELLO, message, f"hello.{job.generation}.{attempt}", HelloReply)

    async def _hosted(
        self,
        job: ProgramJob,
        attempt: int,
        session: Session,
        updates: Updates,
        known: Known,
        catalogue: Catalogue,
    ) -> ProgramEnd:
        host = Host(job, attempt, session.channel, updates, known, catalogue, self._blobs)
        saved = await sessionvars.given(self._blobs, job.variables)
        await session.channel.send(_job_frame(job, attempt, known) | saved)
        try:
            end = await host.run()
            if end.outcome == "done" and host.left:
                end = await outputs.handed_out(end, host.left, session.box, self._blobs, job.limits)
        except (EOFError, BoxLost):
            end = host.counted(ends.ended_without_a_word(session.box, job.limits))
        except ProtocolViolation as exc:
            end = host.counted(ends.raised("ProtocolViolation", str(exc)))
        return end


def box_key(info: activity.Info) -> str:
    """The same for all attempts of an activity. With the run id: activities of each run are counted from 1."""
    return f"{info.workflow_id}/{info.workflow_run_id}/{info.activity_id}"


def _box_limits(limits: Limits) -> BoxLimits:
    return BoxLimits(
        memory_bytes=limits.memory_bytes,
        disk_bytes=limits.disk_bytes,
        output_bytes=limits.output_bytes,
        cpu_seconds=int(limits.run_seconds) + 2,
        files_bytes=limits.output_files_bytes,
    )


TEMPLATE = BoxSpec(name="warm", guest=GUEST, limits=_box_limits(Limits()))
"""What an idle box is started as: it can serve any program that wants a workspace of the default size."""


def _job_frame(job: ProgramJob, attempt: int, known: Known) -> dict[str, Any]:
    return {
        "t": "job",
        "source": job.source,
        "first_line": job.first_line,
        "inputs": job.inputs,
        "skills": [identifier(name) for name in job.skills],
        "seed": job.seed,
        "now": job.started_at,
        "live_now": time.time(),
        "resumed": attempt > 1 or job.generation > 1,
        "seen": known.seen,
        "park_after": job.tuning.park_after_seconds,
        "result_bytes": job.limits.result_bytes,
        "output_files": job.limits.output_files,
        "environment": {"TRACE_ID": job.task.trace_id},
        **lockdown(_box_limits(job.limits)),
    }


class _Losses:
    """How many boxes were lost in a row, kept in heartbeat details from one attempt to the next."""

    def __init__(self) -> None:
        details = activity.info().heartbeat_details
        self.count, self.answers = (int(details[0]), int(details[1])) if len(details) == 2 else (0, -1)

    def now_known(self, answers: int) -> None:
        """Another attempt begins. A newly recorded answer means that there was progress."""
        if answers > self.answers:
            self.count, self.answers = 0, answers

    def beat(self) -> None:
        activity.heartbeat(self.count, self.answers)

    def result_or_raise(self, exc: Exception) -> ProgramEnd:
        self.count += 1
        if self.count >= LOSSES:
            return ends.raised("BoxLost", f"the box died {self.count} times in a row at this point: {exc}", "unknown")
        self.beat()
        raise ApplicationError(str(exc), type="BoxLost") from exc
