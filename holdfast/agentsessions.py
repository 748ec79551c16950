"""What an agent's file says of conversations: `session`, and `continuous_config` of agentrunner."""

from typing import Any

from holdfast.agentforms import AgentDraft
from holdfast.agentkeys import ContinuousKeys, SessionKeys
from holdfast.contracts.agent import AgentSession

_IDLE: dict[str, str] = {
    "session.pruning": "kept, and without effect: what does not fit is summed up, whatever stands here",
    "session.context_messages": "kept, and without effect: all that fits into the model's window is sent",
    "continuous_config.save_interval_seconds": "kept, and without effect: a conversation is saved after every turn",
    "continuous_config.conversation_pruning_strategy": (
        "kept, and without effect: what does not fit is summed up, whatever stands here"
    ),
}
_NO_WARNING = ("summary", "summarize", "summarization")


def session_of(session: SessionKeys, continuous: ContinuousKeys, draft: AgentDraft) -> AgentSession:
    """What holds for the agent's conversations. Keys that do nothing are kept with a warning."""
    for key, older in (
        ("idle_timeout_seconds", "idle_timeout_seconds"),
        ("max_history", "max_conversation_history"),
    ):
        if getattr(session, key) is not None and getattr(continuous, older) is not None:
            raise draft.wrong(f"continuous_config.{older}", f"found beside 'session.{key}'; allowed is one")
    for path, why in _IDLE.items():
        place, _, key = path.partition(".")
        found = getattr(session if place == "session" else continuous, key)
        if found is not None and found not in _NO_WARNING:
            draft.warn(path, why)
    return AgentSession(
        idle_seconds=session.idle_timeout_seconds or continuous.idle_timeout_seconds,
        kept=session.max_history or continuous.max_conversation_history,
    )


def unused(session: SessionKeys, continuous: ContinuousKeys) -> dict[str, Any]:
    """What is kept, as it stands in the file."""
    return {
        "session": session.model_dump(exclude_none=True, include={"pruning", "context_messages"}),
        "continuous_config": continuous.model_dump(
            exclude_none=True, include={"save_interval_seconds", "conversation_pruning_strategy"}
        ),
    }
