"""`config show`: the settings that a command started here would have."""

import re
from typing import Any

from cli import screen
from cli.flags import with_url
from holdfast.config import SECRET, VARIABLES, Settings

_PASSWORD = re.compile(r"(://[^:/@]+:).+@")


def show(settings: Settings, as_json: bool) -> None:
    """All settings; of a secret only whether it is set."""
    found = {name: _shown(name, value) for name, value in with_url(settings).model_dump(mode="json").items()}
    if as_json:
        screen.result(found)
        return
    variables = {field: name for name, field in VARIABLES.items()}
    screen.rows([(name, _text(value), variables.get(name, "")) for name, value in found.items()])


def _shown(name: str, value: Any) -> Any:
    if name == "database_url":
        return _PASSWORD.sub(r"\1***@", value)
    return "***" if name in SECRET and value else value


def _text(value: Any) -> str:
    return "" if value is None else str(value)
