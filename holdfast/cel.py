"""The one expression language: CEL (Common Expression Language), for conditions, convergence and approval.

It has no side effects, no loops without end, and no access to anything but the names that it is given.
"""

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from holdfast.contracts.base import Json
from holdfast.errors import shown

if TYPE_CHECKING:
    import cel

MAX_CHARACTERS = 4000


@lru_cache(maxsize=512)
def _compiled(expression: str) -> "cel.Program":
    # The package imports its own command line, with prompt_toolkit and rich: that took longer than all else we import.
    sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
    import cel

    if len(expression) > MAX_CHARACTERS:
        raise ValueError(f"an expression has {len(expression)} characters; {MAX_CHARACTERS} are allowed")
    return cel.compile(expression)


def check(expression: str) -> None:
    """
    Raises:
        ValueError: it is no CEL; says where.
    """
    try:
        _compiled(expression)
    except ValueError as exc:
        raise ValueError(f"{shown(expression)} is no CEL expression: {exc}") from None


_BOUND = re.compile(r"\.(?:all|exists|exists_one|filter|map)\(\s*([A-Za-z_]\w*)\s*,")
_TYPES = frozenset(
    (
        "bool",
        "bytes",
        "double",
        "duration",
        "dyn",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "timestamp",
        "type",
        "uint",
    )
)


def names_in(expression: str) -> list[str]:
    """The names that an expression must be given, sorted.

    Raises:
        ValueError: as `check`.
    """
    check(expression)
    return sorted({*_compiled(expression).variables()} - {*_BOUND.findall(expression)} - _TYPES)


def evaluate(expression: str, names: Mapping[str, Json]) -> Json:
    """The value of an expression.

    Raises:
        ValueError: it is no CEL, or it fails with these values: a name or key that is not there, types that do not fit.
    """
    check(expression)
    try:
        value: Any = _compiled(expression).execute(dict(names))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as exc:
        raise ValueError(f"{shown(expression)} cannot be evaluated: {exc}") from None
    return value


def is_true(expression: str, names: Mapping[str, Json]) -> bool:
    """Whether an expression is true.

    Raises:
        ValueError: as `evaluate`, or its value is neither true nor false.
    """
    value = evaluate(expression, names)
    if not isinstance(value, bool):
        raise ValueError(f"{shown(expression)} gives {shown(value)}; allowed is true or false")
    return value
