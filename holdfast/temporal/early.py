"""Keeps events from workflows until the workflow task that they belong to: a query may bring them early.

A query goes out by itself when a workflow has nothing to do. Its history is read when a worker takes it, a second later
if the one that it was meant for is dead, and holds what has happened meanwhile. The SDK (core of 1.35) lets the
workflow run on that at once, and keeps what it says for the next workflow task, which may bring more: an update, say.
A replay knows of no queries: it gives all of it to the workflow together, and finds the commands in another order.
Such a history does not replay, and the next worker that needs it is stuck with it for good.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import Success, WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.plugin import SimplePlugin
from temporalio.worker import Worker, WorkerConfig, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.workflow import Info

_BY_ITSELF = "legacy_query"
"""What the core calls a query that comes without a workflow task."""
_AT_ONCE_SECONDS = 0.05

Forget = Callable[[str], None]
"""Takes the run of a workflow from the cache: what comes for it next comes with its whole history."""


class NothingEarly(SimplePlugin):
    """For one worker. A query that brings events is answered as of the last workflow task, and the run forgotten."""

    def __init__(self) -> None:
        super().__init__("holdfast.NothingEarly")

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        config["workflow_runner"] = _Runner(config["workflow_runner"], self._forget)
        config["unsandboxed_workflow_runner"] = _Runner(config["unsandboxed_workflow_runner"], self._forget)
        return config

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:  # noqa: A002
        self._worker = worker
        await next(worker)

    def _forget(self, run_id: str) -> None:
        self._worker._bridge_worker.request_workflow_eviction(run_id)  # noqa: SLF001 - it has no public name


class _Runner(WorkflowRunner):
    def __init__(self, inner: WorkflowRunner, forget: Forget) -> None:
        self._inner, self._forget = inner, forget

    def prepare_workflow(self, defn: Any) -> None:
        self._inner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return Punctual(self._inner.create_instance(det), self._forget)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        self._inner.set_worker_level_failure_exception_types(types)


class Punctual(WorkflowInstance):
    """A run in a worker's cache, which is given events in workflow tasks only."""

    def __init__(self, inner: WorkflowInstance, forget: Forget) -> None:
        self._inner, self._forget = inner, forget
        self._task, self._events = (0, 0), 0
        self._live, self._queried, self._ended_at = 0, False, 0.0

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if not self._is_early(act):
            if self._is_of_another(act):
                self._forget(act.run_id)
            try:
                return self._inner.activate(act)
            finally:
                self._ended_at = time.monotonic()
        # Before this activation ends, so that no workflow task finds a run to which these events were never given.
        self._forget(act.run_id)
        return WorkflowActivationCompletion(run_id=act.run_id, successful=Success())

    def _is_early(self, act: WorkflowActivation) -> bool:
        """Whether there are more events, but no workflow task began: it would have a time and a size of its own."""
        task, events = self._task, self._events
        self._task, self._events = (act.timestamp.ToNanoseconds(), act.history_size_bytes), act.history_length
        is_query = any(job.HasField("query_workflow") for job in act.jobs)
        return self._task == task and self._events > events and not is_query

    def _is_of_another(self, act: WorkflowActivation) -> bool:
        """Whether a query may have brought a workflow task that another worker has in hand: at once, and as the first.

        Nothing tells it from a task of our own that was over some milliseconds ago; then the run is read once more.
        """
        if not (act.jobs and all(job.query_workflow.query_id == _BY_ITSELF for job in act.jobs)):
            self._live += not act.is_replaying
            return False
        is_first, self._queried = not self._queried, True
        return is_first and self._live <= 1 and time.monotonic() - self._ended_at < _AT_ONCE_SECONDS

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()
