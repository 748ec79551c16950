"""Questions with options or a form: whether they make sense, and whether an answer fits."""

from typing import Any

from holdfast.contracts.base import Json
from holdfast.errors import shown
from holdfast.schemas import compiled, schema_fault


def fault(asked: dict[str, Any]) -> tuple[str, str] | None:
    """The key of a question (`options`, `default`, `on_timeout`, `form`) that makes no sense, and what is wrong."""
    options, form = asked.get("options") or [], asked.get("form")
    if form is not None and options:
        return "form", "found beside 'options'; allowed is one: a form with an `enum` says what may be chosen"
    if form is not None and (problem := schema_fault(form)):
        return "form", problem
    if asked.get("on_timeout") == "default" and (problem := unfit(options, form, asked.get("default"))):
        return "default", f"the answer when nobody gave one: {problem}"
    return None


def unfit(options: list[str], form: dict[str, Json] | None, value: Json) -> str | None:
    """What is wrong with an answer."""
    if options and value not in options:
        return f"answer {shown(value)} is not one of the options: {', '.join(map(repr, options))}"
    problems = compiled(form).problems(value, "answer") if form is not None else []
    return "; ".join(problems) or None
