"""What stands at the head of each offline program, after its imports."""

from typing import NamedTuple

MOST_FILES = 200
"""Files that one section looks at."""
MOST_LISTED = 25
"""Lines under one heading."""


class Section(NamedTuple):
    """A part of the report. `short` is what stands of it at the top; `left_out` says what was not looked at."""

    short: list[str]
    lines: list[str]
    left_out: list[str]


class Found(NamedTuple):
    """What the task's paths lead to: files, those among them that were named outright, and where to look at all."""

    files: list[str]
    named: list[str]
    places: list[str]
    left_out: list[str]
