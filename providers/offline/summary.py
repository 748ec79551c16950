"""Extractive summaries: the sentences that most others are like. LexRank in its continuous form (Erkan and Radev, 2004,
https://doi.org/10.1613/jair.1523): PageRank over the cosine similarity of sentences."""

import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from operator import mul

_MOST_SENTENCES = 400
_DAMPING, _STILL = 0.85, 1e-4
_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+(?=[\"'“‘(]?[^\Wa-z_])")
_MARK = re.compile(r"\s*(?:(?:#+|>|[-*+]|\d+[.)])\s+)+|\s*(?:```.*|\|.*|[|=\-:\s]{3,})\Z")


def extract(text: str, budget: int, size: Callable[[str], int], most: int = _MOST_SENTENCES) -> list[str]:
    """The sentences to keep, in their order, within a budget that `size` measures; one is cut only if none fits."""
    found = sentences(text)[:_MOST_SENTENCES]
    ranks = _ranks([_words(each) for each in found])
    order = sorted(range(len(found)), key=lambda place: (-ranks[place], place))
    kept: list[int] = []
    left = budget
    for place in order[:most]:
        left -= size(found[place]) + 1
        if left < -1:
            break
        kept.append(place)
    return [found[place] for place in sorted(kept)] or [_cut(found[place], budget, size) for place in order[:1]]


def sentences(text: str) -> list[str]:
    """The sentences of a plain or Markdown text, each once and on one line, without marks of headings and lists."""
    pieces = (piece.strip() for block in _blocks(text) for piece in _END.split(block))
    return list(dict.fromkeys(piece for piece in pieces if re.search(r"\w", piece)))


def _blocks(text: str) -> list[str]:
    """Paragraphs, points of lists and headings, each on one line."""
    blocks: list[str] = []
    is_open = False
    for line in text.splitlines():
        body = " ".join(_MARK.sub("", line, count=1).split()) if _MARK.match(line) else " ".join(line.split())
        if body and is_open and not _MARK.match(line):
            blocks[-1] += f" {body}"
        elif body:
            blocks.append(body)
        is_open = bool(body) and not line.lstrip().startswith("#")
    return blocks


def _words(sentence: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", sentence.lower()))


def _ranks(bags: list[Counter[str]]) -> list[float]:
    rows = _alike(_vectors(bags))
    totals = [sum(row) or 1.0 for row in rows]
    ranks, moved = [1.0] * len(bags), 1.0
    while moved > _STILL:
        shares = [rank / total for rank, total in zip(ranks, totals, strict=True)]
        before, ranks = ranks, [1 - _DAMPING + _DAMPING * math.fsum(map(mul, row, shares)) for row in rows]
        moved = max((abs(one - two) for one, two in zip(before, ranks, strict=True)), default=0.0)
    return [round(rank, 3) for rank in ranks]


def _alike(vectors: list[dict[str, float]]) -> list[list[float]]:
    """How much each is like each other; not itself, or a sentence that is like no other would rank in the middle."""
    rows = [[0.0] * len(vectors) for _ in vectors]
    for one, two in combinations(range(len(vectors)), 2):
        rows[one][two] = rows[two][one] = _dot(vectors[one], vectors[two])
    return rows


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
    return float(sum(weight * large[word] for word, weight in small.items() if word in large))


def _cut(sentence: str, budget: int, size: Callable[[str], int]) -> str:
    """As much of its beginning as fits."""
    words = sentence.split()
    while words and size(" ".join(words) + " …") > budget:
        words.pop()
    return f"{' '.join(words)} …" if words else sentence[: max(budget, 0)]
