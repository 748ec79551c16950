"""Names of skills: `code-analysis` in files and messages, `code_analysis` in programs; both find it."""

import difflib
import keyword
import re
import unicodedata
from collections.abc import Iterable

from holdfast.errors import shown

RESERVED = frozenset({"executor", "inputs", "llm", "main", "result", "session", "skills"})
"""What a program's own namespace holds; a skill of that name could not be called."""

_MAX_LISTED = 40
_LONGEST_MISSPELT = 200
"""Characters that are looked at for a suggestion: names come from programs too, and 5 MB of one take seconds."""


def canonical_name(name: str) -> str:
    """Lower case, words joined by single hyphens: `Code_Analysis`, `code analysis` -> `code-analysis`. May be empty."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).lower())
    return "-".join(words)


def letters_of(name: str) -> str:
    """What is left of a name when nobody agrees on its spelling: `CodeReviewer`, `code-reviewer` -> `codereviewer`."""
    return canonical_name(name).replace("-", "")


OWN_RUN = "agent:"
"""Begins the name of the call that is the run of an agent in Python; no skill can have such a name."""
RECALL = "recall"
"""The engine skill that reads the rest of a text that a model was shown the beginning of."""


def own_run(agent: str) -> str:
    """The name of that call."""
    return f"{OWN_RUN}{canonical_name(agent)}"


def identifier(name: str) -> str:
    """Its Python name in programs: `code-analysis` -> `code_analysis`, `import` -> `import_`, `3d` -> `_3d`."""
    text = canonical_name(name).replace("-", "_")
    if keyword.iskeyword(text):
        return f"{text}_"
    return f"_{text}" if text[:1].isdigit() else text


def suggestion(name: str, known: Iterable[str]) -> str:
    """` did you mean 'x'?` with a leading space and the mark, or nothing, for the end of a message."""
    close = difflib.get_close_matches(name[:_LONGEST_MISSPELT], list(known), n=1, cutoff=0.6)
    return f" did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Names quoted and joined, at most 40, for a message; `none` when there is none."""
    quoted = [shown(name) for name in names]
    more = f", … ({len(quoted)} in all)" if len(quoted) > _MAX_LISTED else ""
    return ", ".join(quoted[:_MAX_LISTED]) + more if quoted else "none"
