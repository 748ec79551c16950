"""Lizard's figures of one text, in a process of its own: it tokenises with regular expressions, which can stall."""

from typing import Any

import lizard
import lizard_languages


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Functions in order of their lines. `refused` if lizard does not know the language."""
    extensions = _extensions()
    extension = job["extension"] or extensions.get(job["language"], "")
    if extension not in extensions.values():
        known = ", ".join(sorted(extensions))
        return {"refused": f"language {job['language'] or job['extension']!r} is not known; known: {known}"}
    found = lizard.analyze_file.analyze_source_code(f"code.{extension}", job["text"])
    return {
        "nloc": found.nloc,
        "tokens": found.token_count,
        "functions": sorted(map(_function, found.function_list), key=_place),
    }


def _extensions() -> dict[str, str]:
    """Both names and extensions of languages -> an extension that lizard takes."""
    known: dict[str, str] = {}
    for language in lizard_languages.languages():
        for extension in language.ext:
            known[extension.lower()] = extension
        for name in language.language_names:
            known.setdefault(name.lower(), language.ext[0])
    return known | {"c++": "cpp", "c#": "cs"}


def _function(function: Any) -> dict[str, Any]:
    return {
        "name": function.name[:200],
        "line": function.start_line,
        "end_line": function.end_line,
        "complexity": function.cyclomatic_complexity,
        "parameters": len(function.full_parameters),
        "code_lines": function.nloc,
    }


def _place(function: dict[str, Any]) -> tuple[int, int, str]:
    return function["line"], function["end_line"], function["name"]
