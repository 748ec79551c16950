"""Data files: what is in them, and what is wrong with them."""

from typing import Any

from providers.offline.parts.files import chosen
from providers.offline.parts.header import Found, Section
from providers.offline.parts.report import cut, first, many, quoted, table, tried, why


async def profile_data(skills: Any, found: Found, endings: list[str]) -> Section:
    """Each data file is profiled by itself, all at the same time."""
    paths, left_out = chosen(found, endings, "data file")
    section, rows, problems = Section([], [], left_out), 0, 0
    answers = await tried([skills.data_profile(path=path) for path in paths])
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, BaseException):
            section.left_out.append(f"{quoted(path)}: {why(answer)}")
            continue
        rows += answer["rows"]
        problems += answer["problems_found"]
        section.lines.extend(profile_lines(answer))
    if paths:
        section.short.append(f"Data: {many(problems, 'problem')} in {many(rows, 'row')} of {many(len(paths), 'file')}")
        section.lines.insert(0, "## Data\n")
    else:
        section.short.append("Data: no data file was found")
    return section


def profile_lines(profile: dict[str, Any]) -> list[str]:
    about = [many(profile["rows"], "row"), many(len(profile["columns"]), "column"), profile["format"]]
    about += [profile["encoding"]] if profile["encoding"] else []
    head = [f"### {quoted(profile['path'])}: {', '.join(about)}", ""]
    return [*head, *column_table(profile["columns"]), "", *problem_lines(profile), ""]


def column_table(columns: list[dict[str, Any]]) -> list[str]:
    rows: list[list[object]] = [
        [each["name"], each["type"], each["nulls"], each["distinct"], span(each), ", ".join(each["examples"])]
        for each in columns
    ]
    return table(["column", "type", "empty", "distinct", "range", "such as"], rows, 40)


def span(column: dict[str, Any]) -> str:
    low, high = column.get("min"), column.get("max")
    return "" if low is None else f"{cut(low, 30)} to {cut(high, 30)}"


def problem_lines(profile: dict[str, Any]) -> list[str]:
    lines = []
    for each in profile["problems"]:
        place = [f"row {each['row']}"] if each["row"] is not None else []
        place += [f"column {quoted(each['column'])}"] if each["column"] is not None else []
        lines.append(f"- {', '.join(place) or 'whole file'}: {cut(each['message'], 200)}")
    repeated = profile["duplicates"]["rows"]
    lines += [f"- {many(repeated, 'row repeats', 'rows repeat')} an earlier one as a whole"] if repeated else []
    return first(lines) or ["Nothing is wrong with it, as far as rules can tell."]
