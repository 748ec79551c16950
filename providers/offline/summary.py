"""Extractive summaries: the sentences that most others are like. LexRank in its continuous form (Erkan and Radev, 2004,
https://doi.org/10.1613/jair.1523): PageRank over the cosine similarity of sentences."""

import math
import re
from collections import Counter
from collections.abc import Callable

_MOST_SENTENCES = 400
_DAMPING, _ROUNDS = 0.85, 50
_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+(?=[\"'“‘(]?[^\Wa-z_])|\n\s*\n|\n(?=\s*(?:[-*+]|\d+[.)])\s)")
_MARKS = re.compile(r"^(?:[ \t]*(?:#+|>|[-*+]|\d+[.)])[ \t]+)+|^[ \t]*(?:```.*|[|=\-]{3,}[ \t]*)$", re.MULTILINE)


def extract(text: str, budget: int, size: Callable[[str], int], most: int = _MOST_SENTENCES) -> list[str]:
    """The sentences to keep, in their order, within a budget that `size` measures; one is cut only if none fits."""
    found = sentences(text)[:_MOST_SENTENCES]
    ranks = _ranks([_words(each) for each in found])
    order = sorted(range(len(found)), key=lambda place: (-ranks[place], place))
    kept: list[int] = []
    left = budget
    for place in order:
        if len(kept) < most and size(found[place]) + 1 <= left + (not kept):
            kept.append(place)
            left -= size(found[place]) + bool(kept)
    return [found[place] for place in sorted(kept)] or [_cut(found[place], budget, size) for place in order[:1]]


def sentences(text: str) -> list[str]:
    """The sentences of a plain or Markdown text, each on one line, without marks of headings and lists."""
    pieces = (" ".join(each.split()) for each in _END.split(_MARKS.sub("", text)))
    return list(dict.fromkeys(each for each in pieces if re.search(r"\w", each)))


def _words(sentence: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", sentence.lower()))


def _ranks(bags: list[Counter[str]]) -> list[float]:
    vectors = _vectors(bags)
    rows = [[_dot(one, two) for two in vectors] for one in vectors]
    totals = [sum(row) or 1.0 for row in rows]
    ranks = [1.0] * len(bags)
    for _ in range(_ROUNDS):
        shares = [rank / total for rank, total in zip(ranks, totals, strict=True)]
        ranks = [1 - _DAMPING + _DAMPING * sum(map(float.__mul__, row, shares)) for row in rows]
    return [round(rank, 9) for rank in ranks]


def _vectors(bags: list[Counter[str]]) -> list[dict[str, float]]:
    """Unit vectors of tf-idf, each sentence being a document."""
    frequency = Counter(word for bag in bags for word in bag)
    weights = {word: math.log(1 + len(bags) / count) for word, count in frequency.items()}
    found = [{word: count * weights[word] for word, count in bag.items()} for bag in bags]
    lengths = [math.sqrt(sum(weight**2 for weight in vector.values())) or 1.0 for vector in found]
    return [
        {word: weight / length for word, weight in vector.items()}
        for vector, length in zip(found, lengths, strict=True)
    ]


def _dot(one: dict[str, float], two: dict[str, float]) -> float:
    small, large = (one, two) if len(one) <= len(two) else (two, one)
    return float(sum(weight * large.get(word, 0.0) for word, weight in sorted(small.items())))


def _cut(sentence: str, budget: int, size: Callable[[str], int]) -> str:
    """As much of its beginning as fits."""
    words = sentence.split()
    while words and size(" ".join(words) + " …") > budget:
        words.pop()
    return f"{' '.join(words)} …" if words else sentence[: max(budget, 0)]
