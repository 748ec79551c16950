"""Which skills share words with a task: full text search (SQLite FTS5, Porter's stemmer, BM25) over what skills say of
themselves."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from holdfast.snapshot import CatalogueSkill
from providers.offline.task import split

_TABLE = "CREATE VIRTUAL TABLE skill USING fts5(name, tags, why, description, tokenize='porter unicode61')"
_ROW = "INSERT INTO skill (rowid, name, tags, why, description) VALUES (?, ?, ?, ?, ?)"
_FIND = "SELECT rowid, -bm25(skill, 8.0, 4.0, 4.0, 1.0) FROM skill WHERE skill MATCH ?"


@dataclass(frozen=True)
class Hit:
    """A skill has a word. `strong`: in its name, its tags or the reasons of its examples, not just its description."""

    score: float
    strong: bool


Hits = dict[str, dict[str, Hit]]
"""Word -> name of a skill -> how well it fits."""


def hits(words: Iterable[str], skills: Sequence[CatalogueSkill]) -> Hits:
    """The skills that have each word, in any of its forms."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(_TABLE)
        database.executemany(_ROW, [(number, *_texts(skill)) for number, skill in enumerate(skills)])
        return {word: _hits(database, word, skills) for word in words}


def _hits(database: sqlite3.Connection, word: str, skills: Sequence[CatalogueSkill]) -> dict[str, Hit]:
    strong = {number for number, _ in database.execute(_FIND, [f'{{name tags why}} : "{word}"'])}
    found = database.execute(_FIND, [f'"{word}"']).fetchall()
    return {skills[number].name: Hit(score, number in strong) for number, score in found}


def _texts(skill: CatalogueSkill) -> list[str]:
    spec = skill.spec
    whys = " ".join(example.why for example in spec.examples)
    return [" ".join(split(text)) for text in (spec.name, " ".join(spec.tags), whys, spec.description)]
