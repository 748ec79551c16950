"""Agents in the files of older systems: the same keys in other places, and other defaults. See docs/agents.md."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from holdfast.agentkeys import SHAPE, AgentKeys, ConstraintKeys
from holdfast.contracts.base import Origin
from holdfast.errors import shown
from holdfast.filedraft import Draft
from holdfast.names import letters_of, listed
from holdfast.sources import Sources
from holdfast.yamlfile import Document, read_mapping

Form = Literal["agent", "subagent", "list"]
"""`agent`: one agent in our keys. `subagent`: `subagents/<name>/agent.yaml`, with a block `agent`. `list`: a file with
several below `agents`."""

AgentDraft = Draft[AgentKeys]

SUBAGENT_CONSTRAINTS = ConstraintKeys(max_iterations=5, timeout=60_000)
"""Of a subagent whose file does not say them; milliseconds."""


@dataclass(frozen=True)
class AgentFile:
    """Where agents stand. `label` is how messages call the file; `root` is the folder that it must not lead out of.

    `says_all`: without the key `skills` an agent may use every skill. Files of systems which knew no skills mean none.
    """

    path: Path
    label: str
    root: Path
    origin: Origin = "project"
    says_all: bool = True
    form: Form = "agent"

    @property
    def name(self) -> str:
        """Of the agent in it, as far as the file's own name tells."""
        return self.path.parent.name if self.form == "subagent" else self.path.stem


def agent_drafts(file: AgentFile, sources: Sources) -> list[AgentDraft]:
    """What a file says of each agent in it.

    Raises:
        SpecInvalid: it cannot be read at all.
    """
    document = read_mapping(sources.text(file.path, file.root, file.label), file.label)
    match file.form:
        case "subagent":
            return [_subagent(document, file)]
        case "list":
            return _listed(document)
        case "agent":
            return [Draft(document, SHAPE)]


def _subagent(document: Document, file: AgentFile) -> AgentDraft:
    """The block `agent` stands where our keys do. The folder's name is the agent's; the other one finds it too."""
    block = document.values.get("agent") or {}
    if not isinstance(block, dict):
        raise document.wrong("agent", f"found {shown(block)}; allowed is a mapping")
    values = {key: value for key, value in document.values.items() if key != "agent"}
    both = [key for key in block if key in values]
    if both:
        raise document.wrong(f"agent.{both[0]}", f"found beside {both[0]!r}; allowed is one")
    inner, moved = with_model(block)
    origins = {key: f"agent.{key}" for key in inner}
    origins |= {path: f"agent.{written}" for path, written in moved.items()}
    return Draft(document, SHAPE, _named_by_folder({**values, **inner}, file.name), origins=origins)


def with_model(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """With `model: gpt-4` as `llm_config: {model: gpt-4}`, and where that comes from."""
    if "model" not in values or "llm_config" in values:
        return values, {}
    others = {key: value for key, value in values.items() if key != "model"}
    found = values["model"]
    if isinstance(found, dict):
        return {**others, "llm_config": found}, {"llm_config": "model"}
    return {**others, "llm_config": {"model": found}}, {"llm_config": "model", "llm_config.model": "model"}


def _named_by_folder(values: dict[str, Any], folder: str) -> dict[str, Any]:
    shown_as = values.get("name")
    if not isinstance(shown_as, str | None):
        return values
    aliases = values.get("aliases")
    differs = shown_as is not None and letters_of(shown_as) != letters_of(folder) and isinstance(aliases, list | None)
    return {**values, "name": folder} | ({"aliases": [*(aliases or []), shown_as]} if differs else {})


def _listed(document: Document) -> list[AgentDraft]:
    others = [key for key in document.values if key != "agents"]
    if others:
        raise document.wrong(others[0], f"unknown; allowed: {listed(['agents'])}, a list of agents")
    found = document.values.get("agents") or []
    if not isinstance(found, list):
        raise document.wrong("agents", f"found {shown(found)}; allowed is a list of mappings")
    return [_entry(document, number, value) for number, value in enumerate(found)]


def _entry(document: Document, number: int, value: Any) -> AgentDraft:
    if not isinstance(value, dict):
        raise document.wrong(f"agents[{number}]", f"found {shown(value)}; allowed is a mapping with a name")
    return Draft(document, SHAPE, value, prefix=f"agents[{number}].")


def name_of(draft: AgentDraft, file: AgentFile) -> str:
    """Of an agent whose draft has an error: what its file would have put in a built-in one's place."""
    found = draft.values.get("name")
    return found if isinstance(found, str) and file.form == "list" else file.name
