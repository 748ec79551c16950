"""Whether an agent can be run now: by what workers say of the model providers that they reach.

A worker says it in its row: first the providers that are set up, best first; then the others, and all aliases:
`openai needs OPENAI_API_KEY`, or `vllm needs nothing`: it can be asked by who names it. `default` is what an agent
gets that names no provider; it is said only when it lacks something.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.model import ModelSettings
from holdfast.names import listed, suggestion

Status = Literal["ready", "not_ready", "disabled"]

DEFAULT = "default"
NOTHING = "nothing"
_NEEDS = " needs "


def said(name: str, missing: str = "") -> str:
    """What a worker's row says of a provider. `missing` names the variables that are not set; empty: it is set up."""
    return f"{name}{_NEEDS}{missing}" if missing else name


def offered(rows: Iterable[Iterable[str]]) -> dict[str, str]:
    """Provider -> what it lacks, of all workers together: set up at one is set up."""
    found: dict[str, str] = {}
    for row in rows:
        said = dict(_parsed(entry) for entry in row)
        if said:
            said.setdefault(DEFAULT, "")
        for name, missing in said.items():
            found[name] = min(found.get(name, missing), missing, key=_rank)
    return found


def _rank(missing: str) -> int:
    return 0 if not missing else 1 if missing == NOTHING else 2


def _parsed(entry: str) -> tuple[str, str]:
    name, _, missing = entry.partition(_NEEDS)
    return name, missing


def status(agent: AgentSpec, providers: Mapping[str, str]) -> tuple[Status, str]:
    """The agent's state, and why it is not ready: the variable that is missing, or the worker. One model is enough."""
    if not agent.enabled:
        return "disabled", "its file says enabled: false"
    if not providers:
        return "not_ready", "no worker that asks models was seen for 30 s; start one: holdfast up"
    lacks = [_lack(model, providers) for model in agent.models or [ModelSettings()]]
    return ("not_ready", "; ".join(dict.fromkeys(lacks))) if all(lacks) else ("ready", "")


def _lack(model: ModelSettings, providers: Mapping[str, str]) -> str:
    name = (model.provider or DEFAULT).strip().lower()
    missing = providers.get(name)
    if missing is None:
        known = [one for one in providers if one != DEFAULT]
        return f"no provider named {name!r};{suggestion(name, known)} known: {listed(known)}"
    has_address = model.api_base or model.host
    if missing in ("", NOTHING) or (missing.endswith("_URL") and has_address):
        return ""
    whose = "the default provider" if name == DEFAULT else f"provider {name!r}"
    return f"{whose} needs {missing}; set it where the worker runs"
