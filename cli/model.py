"""Which model answers: what `up` and `demo` say of it, and whether an Ollama of this machine can."""

import os
from typing import Any

import httpx2

from cli import screen
from holdfast.config import Settings, environment

OFFLINE = "offline"
FIX = "export ANTHROPIC_API_KEY=…   (or OPENAI_API_KEY, or run Ollama)"
_RULES = "the offline planner picks skills by rule, no model is used"
_OLLAMA = "http://127.0.0.1:11434"


def say(settings: Settings, workers: list[dict[str, Any]]) -> None:
    """The line `model` of the block that `up` prints, by what the workers can ask."""
    asked = settings.default_llm_provider
    able = [name for row in workers for name in row.get("providers", [])]
    best = asked or (able[0] if able else OFFLINE)
    if best == OFFLINE:
        why = "DEFAULT_LLM_PROVIDER says offline" if asked else "no API key found"
        screen.warn("model", f"{why}: {_RULES}", FIX)
    elif able and best not in able:
        screen.warn("model", f"{best} lacks its key or address; tasks that need a model fail", "holdfast doctor")
    else:
        screen.ok("model", ":".join(filter(None, (best, settings.default_llm_model))))


def with_ollama(settings: Settings) -> Settings:
    """With the Ollama of this machine as default model, where nothing else is set up and one answers."""
    if settings.default_llm_provider or any(name.endswith("_API_KEY") for name in environment(settings.project)):
        return settings
    if (model := _ollama()) is None:
        return settings
    return settings.model_copy(update={"default_llm_provider": "ollama", "default_llm_model": model})


def _ollama() -> str | None:
    """The first model that a local Ollama has, if there is one."""
    address = os.environ.get("OLLAMA_HOST") or _OLLAMA
    url = address if "://" in address else f"http://{address}"
    try:
        found = httpx2.get(f"{url.rstrip('/')}/api/tags", timeout=0.5, trust_env=False).json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        return None
    models = found.get("models") if isinstance(found, dict) else None
    return str(models[0]["name"]) if models else None
