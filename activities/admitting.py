"""The activity `task.admit`: a task that a workflow begins is checked and recorded as one that a person sends."""

from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.alive import beating
from holdfast.contracts.base import Failure
from holdfast.contracts.begin import ADMIT, AdmitRequest, Admitted
from holdfast.contracts.program import FINAL
from holdfast.contracts.task import TaskRequest
from holdfast.errors import TooManyTasks, UserError
from store.admission import Admission
from store.publishing import Publisher

log = structlog.stdlib.get_logger(__name__)


def later(exc: TooManyTasks) -> ApplicationError:
    """Tried again when there is likely to be room."""
    return ApplicationError(str(exc), type="TooManyTasks", next_retry_delay=timedelta(seconds=exc.retry_after))


class Admitting:
    """Over the catalogue as it now is. What cannot begin, as it is, is an answer: `refused`."""

    def __init__(self, admission: Admission, publisher: Publisher) -> None:
        self._admission, self._publisher = admission, publisher

    @activity.defn(name=ADMIT.name)
    async def admit(self, asked: AdmitRequest) -> Admitted:
        """The task, ready to begin. Repeating it with its idempotency key leads to the same one."""
        structlog.contextvars.bind_contextvars(trace_id=asked.trace_id)
        async with beating():
            try:
                request = TaskRequest.model_validate(asked.request)
                begin, row, _ = await self._admission.admit(request, asked.tenant, asked.trace_id, asked.cause)
            except ValueError as exc:
                return Admitted(refused=Failure(type="INVALID_REQUEST", message=str(exc)))
            except UserError as exc:
                log.info("task.refused", error=type(exc).__name__)
                return Admitted(refused=Failure(type=exc.code, message=str(exc), details={"kind": "refused"}))
            except TooManyTasks as exc:
                raise later(exc) from exc
            if row.state not in FINAL:
                await self._publisher.submitted(row)
        return Admitted(begin=None if row.state in FINAL else begin, is_over=row.state in FINAL)
