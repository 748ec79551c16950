"""What makes a session of tasks: the settings that it begins with, and a task as its next message."""

import time

from holdfast.catalogue import Library
from holdfast.config import Settings
from holdfast.contracts.agent import AgentSession, AgentSpec
from holdfast.contracts.begin import Begin
from holdfast.contracts.message import Part, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.session import Message, SessionMode, SessionSettings
from holdfast.contracts.work import TaskSpec
from holdfast.errors import UnknownAgent

OF_AGENT = "agent:"
"""Before the name of a continuous agent: the id of the session that its events go to."""


def settings_of(
    settings: Settings, agent: AgentSpec | None = None, model: ModelSettings | None = None
) -> SessionSettings:
    """What a new session of an agent begins with; None: it has none of its own."""
    mode: SessionMode = "continuous" if agent and agent.execution_mode == "continuous" else "chat"
    idle = settings.continuous_idle_seconds if mode == "continuous" else settings.session_timeout_ms / 1000
    own = agent.session if agent else AgentSession()
    found = SessionSettings(
        mode=mode, agent=agent.name if agent else "", model=model, idle_seconds=own.idle_seconds or idle
    )
    return found.model_copy(update={"kept": own.kept}) if own.kept else found


def agent_of(begin: Begin, library: Library, trust_seconds: float = 0.0) -> AgentSpec | None:
    """The agent of an admitted task, as the files now say it; None: it is no agent's, or that one is gone."""
    if begin.agent is None:
        return None
    try:
        return library.current(trust_seconds)[0].find_agent(begin.agent.brief.agent)
    except UnknownAgent:
        return None


def message_of(begin: Begin, event: str = "") -> Message:
    """A task that was admitted as a session's next turn; `event` is the topic of the event that it stands for."""
    spec = begin.spec
    say: list[Part] = list(spec.say) if isinstance(spec, TaskSpec) else [TextPart(text=begin.summary)]
    return Message(begin=begin, say=say, event=event, sent_at=time.time())
