from typing import Any

import pytest

from holdfast import readiness
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.model import ModelSettings
from providers.seen import seen

NO_KEYS: dict[str, str] = {}


def status(*models: dict[str, Any], environ: dict[str, str] = NO_KEYS, default: str | None = None) -> tuple[str, str]:
    agent = AgentSpec(name="a", models=[ModelSettings(**model) for model in models])
    row = seen(environ, ModelSettings(provider=default))
    return readiness.status(agent, readiness.offered([row]))


@pytest.mark.parametrize(
    ("provider", "needs"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("Anthropic", "ANTHROPIC_API_KEY"),
        ("bedrock", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("aws_bedrock", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("glm-4", "ZHIPUAI_API_KEY or GLM_API_KEY"),
        ("openai-compatible", "LLM_BASE_URL"),
    ],
)
def test_an_agent_whose_key_is_missing_is_not_ready_and_the_variable_is_named(provider: str, needs: str) -> None:
    found, reason = status({"provider": provider})
    assert found == "not_ready"
    assert f"provider {provider.lower()!r} needs {needs};" in reason


def test_a_key_makes_its_agents_ready() -> None:
    assert status({"provider": "openai"}, environ={"OPENAI_API_KEY": "k"}) == ("ready", "")
    aws = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    assert status({"provider": "aws-bedrock"}, environ=aws) == ("ready", "")


def test_servers_of_this_machine_need_no_key_and_an_address_may_be_the_agents_own() -> None:
    assert status({"provider": "ollama", "host": "http://127.0.0.1:1"})[0] == "ready"
    assert status({"provider": "openai-compatible", "api_base": "http://127.0.0.1:1"})[0] == "ready"


def test_one_model_of_several_is_enough() -> None:
    assert status({"provider": "openai"}, {"provider": "ollama"}) == ("ready", "")
    found, reason = status({"provider": "openai"}, {"provider": "gemini"})
    assert (found, "OPENAI_API_KEY" in reason, "GEMINI_API_KEY" in reason) == ("not_ready", True, True)


def test_without_any_key_the_default_is_offline_and_ready_unless_another_was_asked_for() -> None:
    assert status() == ("ready", "")
    found, reason = status(default="anthropic")
    assert (found, "the default provider needs ANTHROPIC_API_KEY" in reason) == ("not_ready", True)


def test_a_provider_that_is_none_is_answered_with_what_is_close() -> None:
    found, reason = status({"provider": "antropic"})
    assert found == "not_ready"
    assert "no provider named 'antropic'; did you mean 'anthropic'?" in reason


def test_ready_at_one_worker_is_ready() -> None:
    rows = [["openai needs OPENAI_API_KEY", "default needs OPENAI_API_KEY"], ["openai"]]
    assert readiness.offered(rows) == {"openai": "", "default": ""}
    assert readiness.offered([rows[0], []]) == {"openai": "OPENAI_API_KEY", "default": "OPENAI_API_KEY"}


def test_a_worker_says_first_what_it_has_all_for_best_first() -> None:
    row = seen({"OPENAI_API_KEY": "k", "GEMINI_API_KEY": "k"}, ModelSettings())
    assert row[:3] == ["openai", "gemini", "offline"]
    assert "anthropic needs ANTHROPIC_API_KEY" in row
    set_up = [name for name, missing in readiness.offered([row]).items() if not missing]
    assert set_up == ["openai", "gemini", "offline", "default"]


def test_a_disabled_agent_is_neither() -> None:
    assert readiness.status(AgentSpec(name="a", enabled=False), {})[0] == "disabled"
