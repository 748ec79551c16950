"""A skill that there is no special section for: it is called, and its answer is shown."""

from typing import Any

from providers.offline.parts.files import first_texts
from providers.offline.parts.header import Found, Section
from providers.offline.parts.report import block, many, quoted, shown, tried, why


async def use(skills: Any, name: str, title: str, arguments: dict[str, Any]) -> Section:
    (answer,) = await tried([getattr(skills, name)(**arguments)])
    if isinstance(answer, BaseException):
        return Section([f"{quoted(title)} failed: {why(answer)}"], [], [])
    return Section([f"{quoted(title)} answered"], [f"## {quoted(title)}", "", *shown(answer)], [])


async def use_on_texts(
    skills: Any, name: str, title: str, parameter: str, found: Found, arguments: dict[str, Any]
) -> Section:
    """One call for the text of each file."""
    paths, left_out = first_texts(found)
    section = Section([], [], left_out)
    texts = await tried([skills.read_file(path=path, max_lines=20000) for path in paths])
    fit = [(path, text["text"]) for path, text in zip(paths, texts, strict=True) if isinstance(text, dict)]
    errors = [(path, text) for path, text in zip(paths, texts, strict=True) if not isinstance(text, dict)]
    answers = await tried([getattr(skills, name)(**{**arguments, parameter: text}) for _, text in fit])
    for (path, _), answer in zip(fit, answers, strict=True):
        if isinstance(answer, BaseException):
            errors.append((path, answer))
        else:
            section.lines.extend([f"## {quoted(title)} of {quoted(path)}", "", *shown(answer), ""])
    section.short.append(f"{quoted(title)}: {many(len(fit), 'text')} of {many(len(paths), 'file')}")
    section.left_out.extend(f"{quoted(path)}: {why(error)}" for path, error in errors)
    return section


async def save(skills: Any, path: str, content: str) -> Section:
    (answer,) = await tried([skills.write_file(path=path, content=content)])
    if isinstance(answer, BaseException):
        return Section([f"{quoted(path)} was not written: {why(answer)}"], [], [])
    short = f"{quoted(answer['path'])} was written, {many(answer['size_bytes'], 'byte')}"
    return Section([short], ["## Written", "", *block(content, 40)], [])
