"""When a refinement has converged: what its file says of that, as CEL over the output of the round's last step."""

import json
import re
from collections.abc import Mapping

from holdfast.contracts.base import Json
from holdfast.flowkeys import FieldCheck

APPROVED = "assessment_approved"
QUALITY = "quality_threshold"
THRESHOLD = 0.8
CHECKS = (APPROVED, QUALITY)

_NUMBER = "[int, uint, double]"
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_TYPES: Mapping[type, str] = {str: "[string]", bool: "[bool]", int: _NUMBER, float: _NUMBER}


def named(check: str, threshold: float | None) -> str:
    """One of `CHECKS` as CEL."""
    if check == APPROVED:
        return compared("approved", "==", value=True)
    return compared("quality_score", ">=", value=THRESHOLD if threshold is None else threshold)


def fielded(check: FieldCheck) -> str:
    """
    Raises:
        ValueError: the field or the value cannot be compared; says what is allowed.
    """
    if not _PATH.fullmatch(check.field):
        raise ValueError(f"found {check.field!r}; allowed is the name of a field, or several joined by '.'")
    if type(check.value) not in _TYPES:
        raise ValueError(f"found the value {check.value!r}; allowed are text, numbers, true, false")
    return compared(check.field, check.op, check.value)


def compared(path: str, op: str, value: Json) -> str:
    """CEL that is false, and no error, where a field is not there or of another type: a model wrote that output."""
    there, whole = [], "output"
    for part in path.split("."):
        there += [f"type({whole}) == map", f"{json.dumps(part)} in {whole}"]
        whole = f"{whole}[{json.dumps(part)}]"
    literal = json.dumps(value, ensure_ascii=False)
    fits = [] if op == "==" else [f"type({whole}) in {_TYPES[type(value)]}"]
    return " && ".join([*there, *fits, f"{whole} {op} {literal}"])
