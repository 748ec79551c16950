"""The schedules that a project declares: when its agents and flows are asked, and for what."""

from collections.abc import Iterator
from typing import Any

from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.flow import FlowSpec
from holdfast.contracts.schedule import ScheduleSpec
from holdfast.contracts.timing import Scheduled, Timing
from holdfast.conversing import OF_AGENT
from holdfast.names import canonical_name
from holdfast.snapshot import Catalogue


def declared(catalogue: Catalogue) -> Iterator[ScheduleSpec]:
    """The schedules of its agents and flows. One that takes no tasks has its schedule paused."""
    for agent in catalogue.agents.values():
        if agent.schedule is not None:
            yield _of_agent(agent, agent.schedule)
    for flow in catalogue.flows.values():
        if flow.schedule is not None:
            yield _of_flow(flow, flow.schedule)


def _of_agent(agent: AgentSpec, found: Scheduled) -> ScheduleSpec:
    """A continuous agent has one conversation, and the schedule speaks in it."""
    is_continuous = agent.execution_mode == "continuous"
    session = {"session_id": f"{OF_AGENT}{canonical_name(agent.name)}"} if is_continuous else {}
    request = {"type": f"agent:{agent.name}", **session, **_asked(found)}
    return _spec(found, agent.name, request, agent.enabled)


def _of_flow(flow: FlowSpec, found: Scheduled) -> ScheduleSpec:
    """An agent may have the same name: a flow's begins with `flow.`."""
    return _spec(found, f"flow.{flow.name}", {"type": f"workflow:{flow.name}", **_asked(found)}, flow.enabled)


def _asked(found: Scheduled) -> dict[str, Any]:
    limits = {} if found.timeout_seconds is None else {"limits": {"task_seconds": found.timeout_seconds}}
    return {"input": found.input, **limits}


def _spec(found: Scheduled, name: str, request: dict[str, Any], takes_tasks: bool) -> ScheduleSpec:
    timing = {key: getattr(found, key) for key in Timing.model_fields} | {"enabled": found.enabled and takes_tasks}
    return ScheduleSpec(**timing, name=name, request=request, managed_by=found.file)
