"""What stands at the head of each offline program, after its imports."""

from typing import NamedTuple

MOST_FILES = 200
"""Files that one section looks at."""
MOST_TEXTS = 20
"""Files whose whole text is read."""
MOST_LISTED = 25
"""Lines under one heading."""


class Section(NamedTuple):
    """A part of the report. `short` is what stands of it at the top; `left_out` says what was not looked at."""

    short: list[str]
    lines: list[str]
    left_out: list[str]


class Found(NamedTuple):
    """What the task's paths lead to: files with their sizes in bytes, those that were named outright, and where to
    look at all."""

    files: dict[str, int]
    named: list[str]
    places: list[str]
    left_out: list[str]
