"""What can be read off a task's text without understanding it: paths, quoted texts, numbers, and the other words."""

import itertools
import re
from dataclasses import dataclass
from functools import cached_property

from providers.offline.tokens import BARE, Token, tokens
from providers.offline.words import ABOUT, FILES, SEEK, STOP, TO, WITHIN

_MOST_WORDS = 200


@dataclass(frozen=True)
class Place:
    """A file or folder that the task names; `pattern` is a glob below it."""

    path: str
    pattern: str = "**"


@dataclass(frozen=True)
class Said:
    """A task's text in tokens, and what they amount to."""

    text: str
    tokens: tuple[Token, ...]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words with a meaning of their own, in lower case and in order, each once; at most 200."""
        found = (word for token in self.tokens if token.kind == "word" for word in split(token.text))
        own = dict.fromkeys(word for word in found if word not in STOP and len(word) > 1)
        return tuple(own)[:_MOST_WORDS]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Paths in order, each once; but those that something is to be written to."""
        paths = (token.text for token in self._paths() if token not in self._targets())
        return tuple(dict.fromkeys(map(_place, paths)))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Paths after `to`, `into` or `as`."""
        return tuple(dict.fromkeys(token.text for token in self._targets()))

    @cached_property
    def all_places(self) -> tuple[Place, ...]:
        return tuple(dict.fromkeys(_place(token.text) for token in self._paths()))

    @cached_property
    def quoted(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.tokens if token.kind in ("quoted", "code"))

    @cached_property
    def urls(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.tokens if token.kind == "url")

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.tokens if token.kind == "number")

    @cached_property
    def pairs(self) -> dict[str, str]:
        return {token.key: token.text for token in self.tokens if token.kind == "pair"}

    @cached_property
    def subject(self) -> str:
        """What comes after the first `for`, `about` or `on`, to the end: what a search of the web is about."""
        for place, token in enumerate(self.tokens):
            if token.kind == "word" and token.text.lower() in ABOUT:
                return " ".join(each.text for each in self.tokens[place + 1 :] if each.kind != "end")
        return ""

    @cached_property
    def sought(self) -> str:
        """What comes after `find`, `search` or `for`, up to where: what is looked for in files."""
        tokens = list(self.tokens)
        for place, token in enumerate(tokens):
            if token.text.lower() in SEEK:
                rest = itertools.takewhile(_is_sought, itertools.dropwhile(_is_filler, tokens[place + 1 :]))
                return " ".join(token.text for token in rest)
        return ""

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Words right before `files` or `modules`."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return tuple(one.text.lower() for one, two in pairs if two.text.lower() in FILES and one.kind == "word")

    def after(self, text: str) -> set[str]:
        """The words right after a number or a quoted text: `10 seconds`, `'TODO' comments`."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        found = (two.text for one, two in pairs if one.kind != "word" and one.text == text and two.kind == "word")
        return {word for words in found for word in split(words)}

    @cached_property
    def has_path(self) -> bool:
        """Whether one is named that can be nothing else: with a slash or an ending."""
        return any(token.key != BARE for token in self._paths())

    def _paths(self) -> list[Token]:
        return [token for token in self.tokens if token.kind == "path"]

    def _targets(self) -> list[Token]:
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return [after for before, after in pairs if after.kind == "path" and before.text.lower() in TO]


def read(text: str) -> Said:
    """A task, read."""
    return Said(text, tuple(tokens(text)))


def split(text: str) -> list[str]:
    """Its words in lower case, in the spelling that the index has: `Summarise` -> `summarize`."""
    return [_spelled(word) for word in re.findall(r"[^\W_]+", text.lower())]


def _spelled(word: str) -> str:
    return re.sub(r"(?<=[a-z]{3}[iy])s(?=(?:e|es|ed|er|ers|ing|ation)\Z)", "z", word)


def _is_filler(token: Token) -> bool:
    return token.text.lower() in STOP | SEEK


def _is_sought(token: Token) -> bool:
    return token.kind == "word" and token.text.lower() not in WITHIN | {"is", "are", "and", "or"}


def _place(path: str) -> Place:
    """`data/*.csv` is the pattern `*.csv` below `data`."""
    clean = path.removeprefix("./").rstrip("/") or "."
    fixed, parts = [], clean.split("/")
    while parts and not re.search(r"[*?{\[]", parts[0]):
        fixed.append(parts.pop(0))
    if not parts:
        return Place(clean)
    pattern = "/".join(parts)
    return Place("/".join(fixed) or ".", pattern if fixed or "/" in pattern else f"**/{pattern}")
