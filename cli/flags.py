"""Flags that every command has, and the settings that they lead to."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from holdfast.config import VARIABLES, Settings
from holdfast.ids import workflow_id

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, not listened at
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Flags:
    """Flags before the command's name. None: not given."""

    project: Path | None = None
    home: Path | None = None
    url: str | None = None

    def settings(self) -> Settings:
        """All settings, with the URL following host and port unless somebody set it."""
        return with_url(Settings.load(self.project, home=self.home and self.home.absolute(), url=self.url))


def with_url(settings: Settings) -> Settings:
    if "url" in settings.model_fields_set:
        return settings
    host = "127.0.0.1" if settings.host in _EVERYWHERE else settings.host
    return settings.model_copy(update={"url": f"http://{host}:{settings.port}"})


def is_open(settings: Settings) -> bool:
    """Whether anyone on the network may run code here: off loopback, without a key, and allowed to."""
    return settings.open_door and not settings.api_key and settings.host not in _LOOPBACK


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a child process loads these same settings."""
    values = {name: getattr(settings, field) for name, field in VARIABLES.items()}
    set_ = {name: _text(value) for name, value in values.items() if value is not None}
    # An editable install may hold an old copy of a module: children run the code that we run.
    code = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **set_, "PYTHONPATH": os.pathsep.join(filter(None, code)), "PYTHONUNBUFFERED": "1"}


def temporal_url(settings: Settings, task_id: str, tenant: str = "default") -> str:
    """Where the Temporal UI shows a task."""
    name = quote(workflow_id(tenant, task_id), safe="")
    return f"{temporal_ui(settings)}/namespaces/{settings.temporal_namespace}/workflows/{name}"


def temporal_ui(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.temporal_ui_port}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else str(value)
