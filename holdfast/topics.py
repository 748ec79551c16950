"""Topics of events and patterns of them, as RabbitMQ's topic exchange matches: `*` is one word, `#` zero or more."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from holdfast.errors import shown

MAX_CHARACTERS = 255
ONE, ANY = "*", "#"

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_WORDS = "words of letters, digits, '_' and '-' with a dot between them"

V = TypeVar("V")


def check_topic(topic: str) -> str:
    """The topic, if it is one.

    Raises:
        ValueError: says what is wrong with it.
    """
    return _checked(topic, _fault(topic, "topic", _WORDS, ()))


def check_pattern(pattern: str) -> str:
    """The pattern, if it is one.

    Raises:
        ValueError: says what is wrong with it.
    """
    return _checked(pattern, pattern_fault(pattern))


def pattern_fault(pattern: str) -> str:
    """What is wrong with a pattern, and what is allowed; empty: nothing."""
    return _fault(pattern, "pattern", f"{_WORDS}, where '*' stands for one word and '#' for zero or more", (ONE, ANY))


def _checked(text: str, fault: str) -> str:
    if fault:
        raise ValueError(f"found {shown(text)}: {fault}")
    return text


def _fault(text: str, what: str, allowed: str, wild: tuple[str, ...]) -> str:
    if not text or len(text) > MAX_CHARACTERS:
        return f"{len(text)} characters; allowed are 1 to {MAX_CHARACTERS}"
    wrong = [word for word in text.split(".") if word not in wild and not _WORD.fullmatch(word)]
    return f"{_no_word(wrong[0])}; a {what} is {allowed}" if wrong else ""


def _no_word(word: str) -> str:
    if not word:
        return "a word is empty"
    if set(word) & {ONE, ANY}:
        return f"{word!r} has a wildcard in it, which is a word of its own, and of patterns only"
    return f"{word!r} is no word"


@dataclass
class _Node(Generic[V]):
    """What follows the words that lead here, and whose pattern ends here. Keys of a dict stand for an ordered set."""

    after: dict[str, "_Node[V]"] = field(default_factory=dict)
    values: dict[V, None] = field(default_factory=dict)


class Topics(Generic[V]):
    """Many patterns, each with a value. Matching costs as the words of the topic do, not as the patterns."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node()
        self._order: dict[V, int] = {}

    def __bool__(self) -> bool:
        return bool(self._order)

    def add(self, pattern: str, value: V) -> None:
        """
        Raises:
            ValueError: the pattern is none.
        """
        node = self._root
        for word in check_pattern(pattern).split("."):
            node = node.after.setdefault(word, _Node())
        node.values[value] = None
        self._order.setdefault(value, len(self._order))

    def match(self, topic: str) -> list[V]:
        """The values whose patterns fit, each once, in the order in which they were added."""
        found = {value for node in self._ends(topic.split(".")) for value in node.values}
        return sorted(found, key=self._order.__getitem__)

    def _ends(self, words: list[str]) -> Iterator[_Node[V]]:
        """The nodes at which all words are used up. No place is looked at twice: `#.#.#` costs no more than `#`."""
        seen: set[tuple[int, int]] = set()
        todo = [(self._root, 0)]
        while todo:
            node, place = todo.pop()
            if (id(node), place) in seen:
                continue
            seen.add((id(node), place))
            if place == len(words):
                yield node
            todo += _steps(node, words, place)


def _steps(node: _Node[V], words: list[str], place: int) -> Iterator[tuple[_Node[V], int]]:
    if (many := node.after.get(ANY)) is not None:
        yield from ((many, end) for end in range(place, len(words) + 1))
    if place < len(words):
        exact = (node.after.get(word) for word in (words[place], ONE))
        yield from ((after, place + 1) for after in exact if after is not None)
