"""Code: its review, and a look for insecure places and leaked keys."""

from collections import Counter
from typing import Any

from providers.offline.parts.files import chosen
from providers.offline.parts.header import Found, Section
from providers.offline.parts.report import cut, first, many, quoted, table, tried, why


async def review_code(skills: Any, found: Found, endings: list[str], options: dict[str, Any]) -> Section:
    """Each file is analysed by itself, all at the same time; the worst come first."""
    paths, left_out = chosen(found, endings, "code file")
    answers = await tried([skills.code_analysis(path=path, **options) for path in paths])
    pairs = list(zip(paths, answers, strict=True))
    failed = [f"{quoted(path)}: {why(answer)}" for path, answer in pairs if isinstance(answer, BaseException)]
    good = [(path, answer) for path, answer in pairs if not isinstance(answer, BaseException)]
    good.sort(key=lambda pair: (-pair[1]["metrics"]["errors"], pair[1]["score"], pair[0]))
    lines = ["## Code", "", *code_table(good)] if good else []
    for path, answer in good:
        lines += code_findings(path, answer)
    others = len(found.files) - len(paths) - len(left_out)
    left_out += (
        [f"{many(others, 'file')} of other kinds: the code review takes {' '.join(endings)}"] if others > 0 else []
    )
    unasked = sorted({"style", "complexity", "bugs"} - set(options.get("checks") or ["style", "complexity", "bugs"]))
    left_out += (
        [f"{' and '.join(unasked)} of the code: the task names {', '.join(options['checks'])}"] if unasked else []
    )
    notes = [f"{quoted(path)}: {note}" for path, answer in good for note in answer["notes"]]
    return Section(code_short(good, len(paths)), lines, left_out + failed + notes)


def code_short(good: list[tuple[str, Any]], asked: int) -> list[str]:
    if not asked:
        return ["Code: no code file was found"]
    totals: Counter[str] = Counter()
    for _, answer in good:
        totals.update({each: answer["metrics"][each] for each in ("errors", "warnings", "infos", "code_lines")})
    figures = ", ".join(many(totals[f"{each}s"], each) for each in ("error", "warning", "info"))
    short = [f"Code: {figures} in {len(good)} of {many(asked, 'file')} ({many(totals['code_lines'], 'line')} of code)"]
    if good:
        path, answer = min(good, key=lambda pair: (pair[1]["score"], pair[0]))
        short.append(f"Lowest score: {answer['score']} of 100, {quoted(path)}")
    return short


def code_table(good: list[tuple[str, Any]]) -> list[str]:
    rows: list[list[object]] = []
    for path, answer in good:
        figures = answer["metrics"]
        top = next(iter(figures["most_complex"]), None)
        complexity = f"{top['complexity']} (`{top['name']}`, line {top['line']})" if top else "-"
        counts = [figures[each] for each in ("lines", "errors", "warnings", "infos")]
        rows.append([quoted(path), answer["score"], *counts, complexity])
    heads = ["file", "score", "lines", "errors", "warnings", "infos", "highest complexity"]
    return table(heads, rows, 60)


def code_findings(path: str, answer: dict[str, Any]) -> list[str]:
    """The findings of one file by severity, then line; and what its figures alone suggest."""
    order = ["error", "warning", "info"]
    issues = sorted(answer["issues"], key=lambda issue: (order.index(issue["severity"]), issue["line"]))
    lines = [
        f"- line {issue['line']}, {issue['severity']}: {cut(issue['message'], 200)} ({issue['rule']})"
        + (f". {issue['suggestion']}" if issue["suggestion"] else "")
        for issue in issues
    ]
    known = {issue["rule"] for issue in issues}
    splits = [f"- {each}" for each in answer["suggestions"] if each.startswith("Split") and "C901" not in known]
    return ["", f"### {quoted(path)}", "", *first(lines), *splits] if lines or splits else []


async def scan_security(skills: Any, found: Found) -> Section:
    """One scan for each entry directly below the places, all at the same time."""
    spots = scan_spots(found)
    section, findings, secrets = Section([], [], []), [], []
    totals: Counter[str] = Counter()
    for spot, answer in zip(spots, await tried([skills.security_scan(path=spot) for spot in spots]), strict=True):
        if isinstance(answer, BaseException):
            section.left_out.append(f"{quoted(spot)}: {why(answer)}")
            continue
        findings += answer["findings"]
        secrets += answer["secrets"]
        totals.update({key: value for key, value in answer["summary"].items() if key != "truncated"})
        section.left_out.extend(f"{quoted(each['path'])}: {each['why']}" for each in answer["skipped"])
        if answer["summary"]["truncated"]:
            section.left_out.append(f"{quoted(spot)}: more files or findings than one scan takes")
    levels = ", ".join(f"{totals[level]} {level}" for level in ("high", "medium", "low"))
    keys = many(totals["secrets"], "leaked key or password", "leaked keys or passwords")
    section.short.append(f"Security: {levels}; {keys}; {many(totals['files'], 'file')} scanned")
    section.short.extend(first(urgent_lines(findings, secrets), 6))
    section.lines.extend(["## Security", "", *secret_lines(secrets), *finding_lines(findings)])
    return section


def urgent_lines(findings: list[dict[str, Any]], secrets: list[dict[str, Any]]) -> list[str]:
    places = [f"{quoted(each['file'] + ':' + str(each['line']))} {each['type']}" for each in secrets]
    high = [each for each in findings if each["severity"] == "high"]
    places += [f"{quoted(each['file'] + ':' + str(each['line']))} {cut(each['message'], 100)}" for each in high]
    return [f"Urgent: {place}" for place in places]


def scan_spots(found: Found) -> list[str]:
    """The entries directly below each place, or the place itself when they are very many or it is a file."""
    spots: list[str] = []
    for place in found.places:
        base = "" if place == "." else f"{place}/"
        below = sorted({base + path[len(base) :].split("/")[0] for path in found.files if path.startswith(base)})
        spots += below if 0 < len(below) <= 30 and place not in found.named else [place]
    return spots


def secret_lines(secrets: list[dict[str, Any]]) -> list[str]:
    rows = [
        f"- **{each['type']}** in {quoted(each['file'] + ':' + str(each['line']))} ({each['masked']}). {each['fix']}."
        for each in secrets
    ]
    return [*first(rows), ""] if rows else []


def finding_lines(findings: list[dict[str, Any]]) -> list[str]:
    """File by file, the file with the worst finding first."""
    order = ["high", "medium", "low"]
    findings = sorted(findings, key=lambda each: (order.index(each["severity"]), each["file"], each["line"]))
    lines: list[str] = []
    for file in dict.fromkeys(each["file"] for each in findings):
        rows = [
            f"- line {each['line']}, {each['severity']}: {cut(each['message'], 200)} ({each['rule']}). {each['fix']}"
            for each in findings
            if each["file"] == file
        ]
        lines += [f"### {quoted(file)}", "", *first(rows), ""]
    return lines or ["No insecure place was found by rule; that is no proof that there is none."]
