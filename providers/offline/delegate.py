"""Delegation without a model: each part of a sentence goes to the agent that has most of its words; what they found is
put side by side."""

import json
import re
from collections.abc import Sequence

from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Json
from holdfast.names import canonical_name
from holdfast.snapshot import CatalogueSkill, as_skill
from providers.base import Given, Known
from providers.offline.match import hits
from providers.offline.task import Said, read
from providers.offline.text import LINE
from providers.offline.words import WEAK

MERGED = (
    "model: offline (no language model was used; agents were chosen by word match, and nobody weighed their reports)"
)
_PARTS = re.compile(r"\s*(?:[,;]|\.(?=\s)|\b(?:and|then)\b)\s+(?=(?:[^'\"`]*(['\"`])[^'\"`]*\1)*[^'\"`]*\Z)")
_FAILED = "These steps failed"
_OF_MASTER = ("request", "results")
_INPUT = "\n\nInput:\n"


def plan(known: Known) -> dict[str, Json]:
    """Steps, or a step for the master itself if no agent has a word of the task. What failed is not tried again."""
    if any(each.startswith(_FAILED) for each in known.said):
        return {"answer": ""}
    said, shares = read(known.task), _shares(known.task, known.agents)
    steps: list[Json] = [
        {"task": _whole(words, said), **({"delegateTo": name, "reason": _reason(name, words, known)} if name else {})}
        for name, words in shares.items()
    ]
    return {"steps": steps, "reasoning": LINE.replace("skills", "agents")}


def merged(given: Sequence[Given]) -> str:
    """All that the steps gave, one below the other."""
    return "\n\n".join([MERGED, *map(_section, given)])


def own_words(task: str) -> str:
    """A task without what its master passed on beside it: that would be read as part of what is to be done."""
    words, mark, rest = task.partition(_INPUT)
    try:
        beside = json.loads(rest) if mark else {}
    except ValueError:
        return task
    if not isinstance(beside, dict) or not set(_OF_MASTER) & set(beside):
        return task
    kept = {name: value for name, value in beside.items() if name not in _OF_MASTER}
    return f"{words}{_INPUT}{json.dumps(kept, ensure_ascii=False)}" if kept else words


def _shares(text: str, agents: Sequence[AgentSpec]) -> dict[str, str]:
    """Parts of the task by the agent that does them, in the order of the sentence; empty: the master."""
    shares: dict[str, str] = {}
    last = ""
    for part in _clauses(text):
        last = _best(part, agents) or last
        shares[last] = f"{shares[last]} and {part}" if last in shares else part
    if "" in shares and len(shares) > 1:
        # Words before the first part that an agent has belong to it.
        before = shares.pop("")
        first = next(iter(shares))
        shares[first] = f"{before} and {shares[first]}"
    return shares


def _clauses(text: str) -> list[str]:
    parts, at = [], 0
    for match in _PARTS.finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
    return [part.strip().rstrip(".") for part in [*parts, text[at:]] if part.strip(" .")]


def _best(part: str, agents: Sequence[AgentSpec]) -> str:
    """The agent that has most of the words in its name, its tags and its skills."""
    found = _scores(part, agents)
    name = max(found, key=lambda one: found[one], default="")
    return name if name and found[name][0] else ""


def _scores(part: str, agents: Sequence[AgentSpec]) -> dict[str, tuple[int, float]]:
    skills = [_described(agent) for agent in agents]
    words = [word for word in read(part).words if word not in WEAK]
    by_word = hits(words, skills)
    return {
        skill.name: (
            sum(hit.strong for word in words if (hit := by_word[word].get(skill.name))),
            sum(hit.score for word in words if (hit := by_word[word].get(skill.name))),
        )
        for skill in skills
    }


def _described(agent: AgentSpec) -> CatalogueSkill:
    skill = as_skill(agent)
    tags = [*agent.tags, *(agent.skills or [])]
    return skill.model_copy(update={"spec": skill.spec.model_copy(update={"tags": tags})})


def _whole(words: str, said: Said) -> str:
    """A part of a sentence with the places that the whole of it names."""
    missing = [f"'{place.path}'" for place in said.all_places if place.path not in words]
    text = words[:1].upper() + words[1:]
    return f"{text} in {', '.join(missing)}" if missing else text


def _reason(name: str, words: str, known: Known) -> str:
    agent = next(one for one in known.agents if canonical_name(one.name) == name)
    own = _described(agent)
    by_word = hits(read(words).words, [own])
    matched = [word for word, found in by_word.items() if own.name in found and found[own.name].strong]
    return f"it has the words {', '.join(matched)}"


def _section(part: Given) -> str:
    head = f"# {part.who}: {part.task}"
    if part.error:
        return f"{head}\n\nFailed: {part.error}"
    text = part.value if isinstance(part.value, str) else f"```json\n{json.dumps(part.value, indent=2)}\n```"
    return f"{head}\n\n{text.removeprefix(LINE).strip()}"
