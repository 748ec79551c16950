"""Which files a task is about, and what stands in them."""

from collections.abc import Awaitable
from typing import Any

from providers.offline.parts.header import MOST_FILES, MOST_LISTED, MOST_TEXTS, Found, Section
from providers.offline.parts.report import block, cut, many, quoted, table, tried, why


async def look(skills: Any, places: list[tuple[str, str]]) -> Found:
    """The files at or below each place (path, glob). A place that is not there is left out, with the reason."""
    answers = await tried([skills.list_files(path=path, pattern=glob, limit=10000) for path, glob in places])
    found = Found({}, [], [], [])
    for (path, glob), answer in zip(places, answers, strict=True):
        if isinstance(answer, BaseException):
            found.left_out.append(f"{quoted(path)}: {why(answer)}")
        else:
            taken(found, path, glob, answer)
    return found


def taken(found: Found, path: str, glob: str, listing: dict[str, Any]) -> None:
    files = {each["path"]: each["size_bytes"] for each in listing["files"] if each["path"] not in found.files}
    found.files.update(files)
    found.named.extend(each for each in files if each == path)
    found.places.extend([path] if glob == "**" else files)
    found.left_out.extend(f"{quoted(each['path'])}: {each['why']}" for each in listing["skipped"])
    if not listing["files"]:
        found.left_out.append(f"{quoted(path)}: no file" + ("" if glob == "**" else f" fits {quoted(glob)}"))
    if listing["truncated"]:
        found.left_out.append(f"{quoted(path)}: {listing['found']} entries; those beyond 10000 were not listed")


def given(places: list[str]) -> Found:
    """The places as they are, taken for files: there is no skill to list what is below them."""
    return Found(dict.fromkeys(places, 0), places, places, [])


def chosen(found: Found, endings: list[str], what: str) -> tuple[list[str], list[str]]:
    """Files of these kinds and those that were named, at most MOST_FILES; and what that leaves out."""
    fit = [path for path in found.files if path in found.named or path.lower().endswith(tuple(endings))]
    more = len(fit) - MOST_FILES
    return fit[:MOST_FILES], [f"{many(more, what)} beyond the first {MOST_FILES}"] if more > 0 else []


async def list_all(found: Found) -> Section:
    kinds = [path.rpartition("/")[2] for path in found.files]
    endings = sorted({name.rpartition(".")[2] if "." in name.lstrip(".") else "no ending" for name in kinds})
    total = sum(found.files.values())
    short = [f"{many(len(found.files), 'file')}, {many(total, 'byte')} in all ({cut(', '.join(endings), 120)})"]
    listed: list[list[object]] = [[quoted(path), size] for path, size in found.files.items()]
    return Section(short if found.files else [], ["## Files", "", *table(["path", "bytes"], listed, 200)], [])


def first_texts(found: Found) -> tuple[list[str], list[str]]:
    """Files to read in full, and what that leaves out."""
    paths = list(found.files)
    return paths[:MOST_TEXTS], [f"{quoted(path)}: {MOST_TEXTS} files are read at once" for path in paths[MOST_TEXTS:]]


async def read_texts(skills: Any, found: Found) -> Section:
    paths, left_out = first_texts(found)
    answers = await tried([skills.read_file(path=path, max_lines=400) for path in paths])
    section = Section([], [], left_out)
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, BaseException):
            section.left_out.append(f"{quoted(path)}: {why(answer)}")
            continue
        section.short.append(f"{quoted(path)} has {many(answer['lines'], 'line')}, {answer['encoding']}")
        section.lines.extend([f"## {quoted(path)}", "", *block(answer["text"], 400), ""])
        if answer["truncated"]:
            section.left_out.append(f"{quoted(path)}: lines beyond {answer['end_line']} of {answer['lines']}")
    return section


async def find_text(skills: Any, places: list[tuple[str, str]], pattern: str, options: dict[str, Any]) -> Section:
    """Matching lines of all places (path, glob), file by file."""
    calls: list[Awaitable[Any]] = [
        skills.find_in_files(pattern=pattern, path=path, glob=glob, **options) for path, glob in places
    ]
    section, matches, searched = Section([], [f"## Places of {quoted(pattern)}", ""], []), [], 0
    for (path, _), answer in zip(places, await tried(calls), strict=True):
        if isinstance(answer, BaseException):
            section.left_out.append(f"{quoted(path)}: {why(answer)}")
            continue
        matches += answer["matches"]
        searched += answer["files_searched"]
        section.left_out.extend(f"{quoted(each['path'])}: {each['why']}" for each in answer["skipped"])
        if answer["truncated"]:
            section.left_out.append(f"{quoted(path)}: matches beyond the first {len(answer['matches'])}")
    files = len({match["path"] for match in matches})
    section.short.append(f"{quoted(pattern)}: {many(len(matches), 'line')} in {files} of {many(searched, 'file')}")
    rows: list[list[object]] = [
        [quoted(f"{match['path']}:{match['line']}"), quoted(match["text"].strip())] for match in matches
    ]
    section.lines.extend(table(["place", "line"], rows, MOST_LISTED * 4) or ["Nothing was found."])
    return section
