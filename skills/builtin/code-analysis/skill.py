"""Static analysis of one source text: ruff for Python, lizard's figures for any language it knows. It asks no model."""

from pathlib import Path
from typing import Any

from holdfast.errors import SkillInputError, shown
from skills.apart import run_apart
from skills.sourcecode import Finding, one_text, ruff_text
from skills.workspace import InWorkspace

_RULES = {
    "style": ["E", "W", "F401", "F811", "F841", "N", "SIM", "UP"],
    "complexity": ["C901", "PLR0911", "PLR0912", "PLR0913", "PLR0915"],
    "bugs": ["F", "B", "E711", "E712", "E722", "E9", "PLE", "PLW", "BLE", "ASYNC", "S110", "S112", "RUF006", "RUF012"],
    "security": ["S"],
}
_DEFAULT = ["style", "complexity", "bugs"]
_ERRORS = ("invalid-syntax", "E9", "F5", "F6", "F7", "F82", "PLE")
_WARNINGS = ("B", "F", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "BLE", "PLW", "PLR09", "C901", "ASYNC", "E7", "RUF")
_NO_WARNINGS = ("F401", "F541", "E70", "E74")
_COST = {"error": 10, "warning": 3, "info": 1}
_MAX_ISSUES = 500
_MAX_COMPLEXITY, _MAX_CODE_LINES, _MAX_PARAMETERS = 10, 60, 6


def run(
    *,
    code: str | None = None,
    path: str | None = None,
    language: str | None = None,
    checks: list[str] | None = None,
    context: InWorkspace,
) -> dict[str, Any]:
    """The score is 100 less 10 an error, 3 a warning and 1 an info, counted per 100 lines in texts longer than that."""
    text = one_text(code, path, context)
    wanted = _checks(checks)
    extension = "" if language else (Path(path).suffix.lower().lstrip(".") if path else "py")
    measured = _measured(text, language, extension)
    is_python = (language or extension).lower() in ("python", "py", "python3")
    issues = _python_issues(text, wanted) if is_python else _measured_issues(measured["functions"], wanted)
    lines = len(text.splitlines())
    return {
        "score": _score(issues, lines),
        "issues": issues[:_MAX_ISSUES],
        "suggestions": _suggestions(issues, measured["functions"]),
        "metrics": _metrics(measured, issues, lines),
        "notes": _notes(is_python, wanted, len(issues)),
    }


def _checks(checks: list[str] | None) -> list[str]:
    unknown = sorted(set(checks or []) - set(_RULES))
    if unknown:
        raise SkillInputError(f"checks: found {shown(unknown[0])}; known: {', '.join(map(repr, _RULES))}")
    return [check for check in _RULES if check in (_DEFAULT if checks is None else checks)]


def _measured(text: str, language: str | None, extension: str) -> dict[str, Any]:
    job = {"text": text, "language": (language or "").lower().replace("python3", "python"), "extension": extension}
    return run_apart(Path(__file__).with_name("measure.py"), job, seconds=20)


def _python_issues(text: str, wanted: list[str]) -> list[dict[str, Any]]:
    rules = sorted({rule for check in wanted for rule in _RULES[check]})
    return [_issue(finding) for finding in ruff_text(text, rules)] if rules else []


def _issue(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "name": finding.name,
        "message": finding.message,
        "line": finding.line,
        "column": finding.column,
        "severity": _severity(finding.rule),
        "suggestion": finding.fix,
    }


def _severity(rule: str) -> str:
    if rule.startswith(_ERRORS):
        return "error"
    return "warning" if rule.startswith(_WARNINGS) and not rule.startswith(_NO_WARNINGS) else "info"


def _measured_issues(functions: list[dict[str, Any]], wanted: list[str]) -> list[dict[str, Any]]:
    if "complexity" not in wanted:
        return []
    limits = (("complexity", _MAX_COMPLEXITY), ("code_lines", _MAX_CODE_LINES), ("parameters", _MAX_PARAMETERS))
    return [
        {
            "rule": f"lizard-{figure}",
            "name": f"too-high-{figure.replace('_', '-')}",
            "message": f"{function['name']!r} has {figure.replace('_', ' ')} {function[figure]} (limit {limit})",
            "line": function["line"],
            "column": 1,
            "severity": "warning",
            "suggestion": "",
        }
        for function in functions
        for figure, limit in limits
        if function[figure] > limit
    ]


def _score(issues: list[dict[str, Any]], lines: int) -> int:
    cost = sum(_COST[issue["severity"]] for issue in issues)
    return max(0, round(100 - cost * 100 / max(lines, 100)))


def _suggestions(issues: list[dict[str, Any]], functions: list[dict[str, Any]]) -> list[str]:
    """What to do first: complex functions, then each kind of issue once, errors first."""
    complex_ones = [function for function in functions if function["complexity"] > _MAX_COMPLEXITY]
    split = [
        f"Split {f['name']!r} (line {f['line']}): its complexity is {f['complexity']} (limit {_MAX_COMPLEXITY})"
        for f in complex_ones
    ]
    kinds: dict[str, list[dict[str, Any]]] = {}
    rest = [issue for issue in issues if issue["rule"] not in ("C901", "lizard-complexity")]
    for issue in sorted(rest, key=lambda issue: list(_COST).index(issue["severity"])):
        kinds.setdefault(issue["rule"], []).append(issue)
    return (split + [_advice(rule, found) for rule, found in kinds.items()])[:20]


def _advice(rule: str, found: list[dict[str, Any]]) -> str:
    lines = ", ".join(str(issue["line"]) for issue in found[:5]) + (", …" if len(found) > 5 else "")
    what = found[0]["suggestion"] or found[0]["message"]
    return f"{what} ({rule} {found[0]['name']}; {'line' if len(found) == 1 else 'lines'} {lines})"


def _metrics(measured: dict[str, Any], issues: list[dict[str, Any]], lines: int) -> dict[str, Any]:
    functions = measured["functions"]
    complexities = [function["complexity"] for function in functions]
    return {
        "lines": lines,
        "code_lines": measured["nloc"],
        "functions": len(functions),
        "complexity_max": max(complexities, default=0),
        "complexity_mean": round(sum(complexities) / len(complexities), 2) if complexities else 0,
        "most_complex": sorted(functions, key=lambda f: (-f["complexity"], f["line"]))[:5],
        "errors": sum(issue["severity"] == "error" for issue in issues),
        "warnings": sum(issue["severity"] == "warning" for issue in issues),
        "infos": sum(issue["severity"] == "info" for issue in issues),
    }


def _notes(is_python: bool, wanted: list[str], issues: int) -> list[str]:
    notes = []
    only_python = [check for check in wanted if check != "complexity"]
    if not is_python and only_python:
        notes.append(f"{', '.join(only_python)}: only done for Python; here figures of functions are given, by lizard")
    if issues > _MAX_ISSUES:
        notes.append(f"{issues} issues found; the first {_MAX_ISSUES} are listed, all count in score and metrics")
    return notes
