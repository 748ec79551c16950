"""Cron's five fields, `minute hour day month day_of_week`, read as cron reads them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from holdfast.errors import InvalidCron, shown
from holdfast.names import suggestion

MAX_CHARACTERS = 200
Values = tuple[int, ...]
"""What a field allows, in ascending order."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PART = re.compile(r"(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?", re.ASCII)
_SEVENTH = 7
"""Sunday by its other number."""


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: Sequence[str] = ()

    @property
    def allowed(self) -> str:
        names = f" or {self.names[0].upper()}-{self.names[-1].upper()}" if self.names else ""
        return f"{self.low}-{self.high}{names}; `*`, lists `1,2`, ranges `1-5`, steps `*/10`"


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day_of_week", 0, 7, _DAYS),
)
_ALL_HOURS, _ALL_DAYS = tuple(range(24)), tuple(range(1, 32))
_ALL_MONTHS, _ALL_WEEKDAYS = tuple(range(1, 13)), tuple(range(7))


@dataclass(frozen=True)
class Calendar:
    """Times at which all five allow it; `weekday` counts from Sunday, 0."""

    minute: Values
    hour: Values = _ALL_HOURS
    day: Values = _ALL_DAYS
    month: Values = _ALL_MONTHS
    weekday: Values = _ALL_WEEKDAYS


@dataclass(frozen=True)
class Cron:
    """`calendars` are one, or two of which either allows a time: a cron that restricts both the day of the month and
    the day of the week means either (crontab(5)). A field that begins with `*` restricts nothing."""

    text: str
    calendars: tuple[Calendar, ...] = field(default=())

    @property
    def is_of_minutes(self) -> bool:
        """Whether it says nothing but minutes: every hour of every day is like the others."""
        return self.calendars == (Calendar(self.calendars[0].minute),)


def parse(text: str) -> Cron:
    """
    Raises:
        InvalidCron: says which field, what was found and what is allowed.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidCron(f"cron: found {len(text)} characters; {MAX_CHARACTERS} are allowed")
    words = text.split()
    if len(words) != len(_FIELDS):
        raise InvalidCron(_not_five(text, len(words)))
    found = dict(zip(("minute", "hour", "day", "month", "weekday"), map(_values, _FIELDS, words), strict=True))
    either = not words[2].startswith("*") and not words[4].startswith("*")
    if not either and not _comes(found["day"], found["month"]):
        raise InvalidCron(
            f"cron {shown(text)} never comes: none of its months has such a day; set another day or month"
        )
    halves = ({**found, "weekday": _ALL_WEEKDAYS}, {**found, "day": _ALL_DAYS}) if either else (found,)
    return Cron(" ".join(words), tuple(Calendar(**half) for half in halves))


def _not_five(text: str, count: int) -> str:
    fields = " ".join(one.name for one in _FIELDS)
    if instead := _MACROS.get(text.strip().lower()):
        return f"cron: found {shown(text)}; allowed are five fields, {fields}; it stands for {instead!r}: write that"
    return f"cron: found {shown(text)}, {count} fields; allowed are five: {fields}, such as '0 0 * * *' for midnight"


def _comes(days: Values, months: Values) -> bool:
    return any(days[0] <= _LONGEST[month - 1] for month in months)


def _values(of: _Field, word: str) -> Values:
    found = {value for part in word.split(",") for value in _part(of, part, word)}
    return tuple(sorted({0 if of.high == _SEVENTH and value == _SEVENTH else value for value in found}))


def _part(of: _Field, part: str, word: str) -> Iterator[int]:
    body, slash, pace = part.partition("/")
    shape = _PART.fullmatch(body)
    if shape is None or (slash and not (pace.isascii() and pace.isdigit() and 0 < int(pace) <= of.high)):
        raise _wrong(of, word)
    if shape["all"]:
        first, last = of.low, of.high - (of.high == _SEVENTH)
    else:
        first = _number(of, shape["first"], word)
        # `5/15` is `5-59/15`.
        last = _number(of, shape["last"], word) if shape["last"] else (of.high if slash else first)
    if first > last:
        text = f"{of.name}: found {shown(word)}; a range that ends before it begins is written as two"
        raise InvalidCron(f"cron {text}: '{first}-{of.high},{of.low}-{last}'")
    yield from range(first, last + 1, int(pace) if slash else 1)


def _number(of: _Field, text: str, word: str) -> int:
    if text.lower() in of.names:
        return of.names.index(text.lower()) + of.low
    if not (text.isascii() and text.isdigit() and of.low <= int(text) <= of.high):
        raise _wrong(of, word, suggestion(text.lower(), of.names))
    return int(text)


def _wrong(of: _Field, word: str, hint: str = "") -> InvalidCron:
    return InvalidCron(f"cron {of.name}: found {shown(word)};{hint} allowed: {of.allowed}", field=of.name)


@dataclass(frozen=True)
class Range:
    """From `first` to `last`, both included, by `pace`."""

    first: int
    last: int
    pace: int = 1


def ranges(values: Values) -> list[Range]:
    """The same values in as few words: `0, 15, 30, 45` -> `0-45/15`."""
    found: list[Range] = []
    rest = list(values)
    while rest:
        length = _run(rest)
        pace = rest[1] - rest[0] if length > 1 else 1
        found.append(Range(rest[0], rest[length - 1], pace))
        rest = rest[length:]
    return found


def _run(values: list[int]) -> int:
    """How many of the first ones have the same distance; two alone are only one range if they are neighbours."""
    steps = [second - first for first, second in pairwise(values)]
    length = next((place for place, step in enumerate(steps) if step != steps[0]), len(steps)) + 1
    return 1 if length == 2 and steps[0] != 1 else length
