"""Whether an agent can be run now: by what workers say of the model providers that they reach.

A worker says it in its row, one text a name of a provider (aliases too): `anthropic`, or `openai needs OPENAI_API_KEY`.
The name `default` stands for what an agent gets that names no provider.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from holdfast.contracts.agent import AgentSpec
from holdfast.names import listed, suggestion

Status = Literal["ready", "not_ready", "disabled"]

DEFAULT = "default"
_NEEDS = " needs "


def said(name: str, missing: str = "") -> str:
    """What a worker's row says of a provider. `missing` names the variables that are not set; empty: it is ready."""
    return f"{name}{_NEEDS}{missing}" if missing else name


def offered(rows: Iterable[Iterable[str]]) -> dict[str, str]:
    """Provider -> what it lacks, of all workers together: ready at one is ready."""
    found: dict[str, str] = {}
    for row in rows:
        for entry in row:
            name, _, missing = entry.partition(_NEEDS)
            found[name] = missing if found.get(name, missing) else ""
    return found


def status(agent: AgentSpec, providers: Mapping[str, str]) -> tuple[Status, str]:
    """The agent's state, and why it is not ready: the variable that is missing, or the worker. One model is enough."""
    if not agent.enabled:
        return "disabled", "its file says enabled: false"
    if not providers:
        return "not_ready", "no worker that asks models was seen for 30 s; start one: holdfast up"
    names = dict.fromkeys((model.provider or DEFAULT).strip().lower() for model in agent.models) or {DEFAULT: None}
    lacks = [lack for lack in (_lack(name, providers) for name in names) if lack]
    return ("ready", "") if len(lacks) < len(names) else ("not_ready", "; ".join(lacks))


def _lack(name: str, providers: Mapping[str, str]) -> str:
    missing = providers.get(name, "" if name == DEFAULT else None)
    if missing is None:
        known = [one for one in providers if one != DEFAULT]
        return f"no provider named {name!r};{suggestion(name, known)} known: {listed(known)}"
    if not missing:
        return ""
    whose = "the default provider" if name == DEFAULT else f"provider {name!r}"
    return f"{whose} needs {missing}; set it where the worker runs"
