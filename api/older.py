"""Bodies of agentrunner's API, read as the tasks that they mean."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from holdfast.contracts.base import Json
from holdfast.contracts.task import Body, CallbackUrl, TaskPriority, TaskRequest

_Name = Annotated[str, StringConstraints(min_length=1, max_length=190)]
_Seconds = Annotated[float, Field(gt=0, le=365 * 86400.0)]


class OlderRequest(TaskRequest):
    """A request that came in agentrunner's words: it is answered 202, as there."""


class OlderTask(Body):
    """A task of an agent, in agentrunner's words. `task_data` is what `input` is elsewhere."""

    agent_name: _Name
    task_data: Json = None
    priority: TaskPriority = 3
    timeout_seconds: _Seconds | None = Field(default=None, description="the same as `limits.task_seconds`")
    callback_url: CallbackUrl | None = None

    def asked(self) -> OlderRequest:
        limits = {} if self.timeout_seconds is None else {"limits": {"task_seconds": self.timeout_seconds}}
        return OlderRequest.model_validate(
            {
                "type": f"agent:{self.agent_name}",
                "input": self.task_data,
                "priority": self.priority,
                "callback_url": self.callback_url,
                **limits,
            }
        )


class CollaborativeTask(OlderTask):
    """A task that is planned over several agents, by `agent_name`."""

    agent_name: _Name = "master"

    def asked(self) -> OlderRequest:
        return super().asked().model_copy(update={"strategy": "delegate"})


def either(given: Any) -> Any:
    """Which of the two bodies of `POST /tasks` this is: the older one has `agent_name`, and no `type`."""
    if not isinstance(given, dict) or "agent_name" not in given or "type" in given:
        return given
    try:
        return OlderTask.model_validate(given).asked()
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in exc.errors())
        raise ValueError(
            f"{faults}; allowed beside agent_name: {', '.join(list(OlderTask.model_fields)[1:])}"
        ) from None
