"""Which model `up` and `demo` say will answer."""

from pathlib import Path
from typing import Any

import pytest

from cli import model
from holdfast.config import Settings
from tests.support.fake_api import fake_api


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, and no Ollama where nobody put one."""
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "DEFAULT_LLM_PROVIDER", "DEFAULT_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)


def said(capfd: pytest.CaptureFixture[str], settings: Settings, *providers: str) -> str:
    workers: list[dict[str, Any]] = [{"providers": list(providers)}]
    model.say(settings, workers)
    return " ".join(capfd.readouterr().err.split())


def test_without_a_key_it_says_that_no_model_is_used_and_how_to_set_one(capfd):
    text = said(capfd, Settings.load(), "offline")
    assert "no model is used" in text
    assert "fix: export ANTHROPIC_API_KEY=" in text


def test_the_first_provider_that_a_worker_can_ask_is_named(capfd):
    assert said(capfd, Settings.load(), "anthropic", "openai", "offline") == "ok model anthropic"


def test_the_chosen_provider_and_model_are_named(capfd):
    chosen = Settings.load(default_llm_provider="openai", default_llm_model="gpt-x")
    assert said(capfd, chosen, "anthropic", "openai", "offline") == "ok model openai:gpt-x"


def test_a_chosen_provider_that_lacks_its_key_is_a_warning(capfd):
    text = said(capfd, Settings.load(default_llm_provider="openai"), "offline")
    assert "openai lacks its key" in text


def test_offline_by_choice_is_told_from_offline_for_want_of_a_key(capfd):
    text = said(capfd, Settings.load(default_llm_provider="offline"), "anthropic", "offline")
    assert "DEFAULT_LLM_PROVIDER says offline" in text


def test_an_ollama_of_this_machine_is_taken_with_its_first_model(monkeypatch):
    with fake_api() as ollama:
        ollama.says("GET", "/api/tags", {"models": [{"name": "llama3.1:8b"}, {"name": "other"}]})
        monkeypatch.setenv("OLLAMA_HOST", ollama.url)
        found = model.with_ollama(Settings.load())
    assert (found.default_llm_provider, found.default_llm_model) == ("ollama", "llama3.1:8b")


def test_an_ollama_without_models_is_left_alone(monkeypatch):
    with fake_api() as ollama:
        ollama.says("GET", "/api/tags", {"models": []})
        monkeypatch.setenv("OLLAMA_HOST", ollama.url)
        assert model.with_ollama(Settings.load()).default_llm_provider is None


def test_a_key_or_a_choice_comes_before_an_ollama(monkeypatch):
    with fake_api() as ollama:
        ollama.says("GET", "/api/tags", {"models": [{"name": "llama3.1:8b"}]})
        monkeypatch.setenv("OLLAMA_HOST", ollama.url)
        assert model.with_ollama(Settings.load(default_llm_provider="offline")).default_llm_provider == "offline"
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        assert model.with_ollama(Settings.load()).default_llm_provider is None
        assert ollama.asked == []


def test_no_ollama_means_offline():
    assert model.with_ollama(Settings.load()).default_llm_provider is None
