"""What agents' files say of conversations, and what a session begins with."""

from pathlib import Path

import pytest

from holdfast.agentfiles import ParsedAgent, parse_agent
from holdfast.agentforms import AgentFile
from holdfast.config import Settings
from holdfast.contracts.agent import AgentSession
from holdfast.conversing import settings_of
from holdfast.errors import SpecInvalid
from holdfast.sources import Sources
from tests.support.skill_folders import write_files

OLDER = """
name: watcher
execution_mode: continuous
continuous_config: {idle_timeout_seconds: 3, save_interval_seconds: 30, max_conversation_history: 100, conversation_pruning_strategy: sliding_window}
"""


def parsed(folder: Path, text: str) -> ParsedAgent:
    write_files(folder, {"agents/a.yaml": text})
    return parse_agent(AgentFile(folder / "agents/a.yaml", "agents/a.yaml", folder), Sources())


def test_continuous_config_is_what_session_says_and_keys_without_effect_are_kept_with_a_warning(tmp_path: Path) -> None:
    found = parsed(tmp_path, OLDER)
    assert found.spec.session == AgentSession(idle_seconds=3, kept=100)
    assert found.spec.extra == {
        "continuous_config": {"save_interval_seconds": 30, "conversation_pruning_strategy": "sliding_window"}
    }
    assert [warning.split("'")[1] for warning in found.warnings] == [
        "continuous_config.save_interval_seconds",
        "continuous_config.conversation_pruning_strategy",
    ]
    same = parsed(tmp_path, "name: watcher\nsession: {idle_timeout_seconds: 3, max_history: 100}")
    assert (same.spec.session, same.warnings) == (found.spec.session, [])


@pytest.mark.parametrize(
    "text",
    [
        "session: {idle: 3}",
        "session: {idle_timeout_seconds: 0}",
        "session: {max_history: 0}",
        "session: {idle_timeout_seconds: 1}\ncontinuous_config: {idle_timeout_seconds: 2}",
        "session: {max_history: 1}\ncontinuous_config: {max_conversation_history: 2}",
    ],
)
def test_a_wrong_key_of_conversations_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecInvalid):
        parsed(tmp_path, f"name: a\n{text}")


def test_a_session_begins_with_what_its_agent_says_else_the_settings(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, session_timeout_ms=7000, continuous_idle_seconds=9.0)
    plain = settings_of(settings)
    assert (plain.mode, plain.agent, plain.idle_seconds, plain.kept) == ("chat", "", 7.0, 1000)
    watcher = settings_of(settings, parsed(tmp_path, OLDER).spec)
    assert (watcher.mode, watcher.agent, watcher.idle_seconds, watcher.kept) == ("continuous", "watcher", 3.0, 100)
    other = parsed(tmp_path, "name: a\nexecution_mode: continuous").spec
    assert settings_of(settings, other).idle_seconds == 9.0
