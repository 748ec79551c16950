"""`config/sandbox.config.yaml`, the sandbox's settings file of the older system, read as aliases of our own settings.

Nested (`adapters.<name>: {type: local, local: {timeout: 30000, …}}`) or flat: the same keys beside `type`, which may
stand at the top.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.errors import SettingsInvalid, SpecInvalid, shown
from holdfast.yamlfile import read_mapping

PLACE = Path("config") / "sandbox.config.yaml"

ALIASES = {
    "pythonPath": "sandbox_python_path",
    "timeout": "sandbox_timeout_ms",
    "maxSessions": "sandbox_max_sessions",
    "workspace": "sandbox_workspace",
}
"""Key of the file -> our setting. Times are in milliseconds."""

_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")


@dataclass(frozen=True)
class Older:
    """Our settings as the file has them. `places` says where each stands; `also` names those that must not stand in
    holdfast.yaml too.

    `type` goes above all others: what our own files and variables call an adapter may be the name that this file gives
    one.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    also: frozenset[str] = frozenset()
    type: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One adapter. `values` are our settings; `keys` say by which key of the file each was set."""

    type: str
    values: dict[str, Any]
    keys: dict[str, str]


@dataclass(frozen=True)
class SandboxFile:
    """What stands in the file: adapters by the name that it gives them, and which of them is the default."""

    path: str = ""
    default: str | None = None
    default_key: str = ""
    adapters: Mapping[str, Entry] = field(default_factory=dict)

    def settings(self, name: str | None) -> Older:
        """What holds if the adapter of that name, or type, is wanted; without a name, the default one."""
        wanted = name or self.default or next(iter(self.adapters), None)
        alike = (entry for entry in self.adapters.values() if entry.type == wanted)
        entry = self.adapters.get(str(wanted)) or next(alike, None)
        keys = dict(entry.keys) if entry else {}
        if self.default:
            keys["sandbox_type"] = self.default_key
        also = frozenset(keys) if self.default else frozenset(keys) - {"sandbox_type"}
        places = {setting: f"{key!r} in {self.path}" for setting, key in keys.items()}
        if entry is None:
            return Older({"sandbox_type": wanted} if wanted else {}, places, also)
        return Older(entry.values, places, also, {"sandbox_type": entry.type})


def read(project: Path, environ: Mapping[str, str]) -> SandboxFile:
    """The file of a project; an empty one if it has none. `${NAME}` and `${NAME:-default}` come from `environ`.

    A value that is `${NAME}` of a variable which is not set is as if it were not there.

    Raises:
        SettingsInvalid: it is no such file; names file, line, key and what is allowed.
    """
    path = project / PLACE
    if not path.is_file():
        return SandboxFile()
    try:
        values = read_mapping(path.read_text("utf-8"), str(path)).values
    except (SpecInvalid, UnicodeDecodeError, OSError) as exc:
        raise SettingsInvalid(f"{path}: {exc}" if str(path) not in str(exc) else str(exc)) from None
    return _parsed(_filled(values, environ), str(path))


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """With variables put in; mappings lose the keys whose values come out empty."""
    if isinstance(value, dict):
        pairs = ((key, _filled(inner, environ)) for key, inner in value.items())
        return {key: inner for key, inner in pairs if inner not in (None, "")}
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda found: environ.get(found[1]) or found[2] or "", value)


def _parsed(values: dict[str, Any], file: str) -> SandboxFile:
    default = values.pop("default_adapter", None)
    if not isinstance(default, str | None):
        raise SettingsInvalid(f"{file}: key 'default_adapter': found {shown(default)}; a name is expected")
    adapters = values.pop("adapters", None)
    if adapters is None:
        key, kind = ("default_adapter", default) if default else ("type", values.get("type"))
        name = str(kind or "local")
        return SandboxFile(file, kind and name, key, {name: _entry(name, values, file, "")})
    if values:
        raise _unknown(file, next(iter(values)), ("adapters", "default_adapter"))
    if not isinstance(adapters, dict):
        raise SettingsInvalid(f"{file}: key 'adapters': found {shown(adapters)}; a mapping of adapters is expected")
    found = {name: _entry(name, entry, file, f"adapters.{name}.") for name, entry in adapters.items()}
    return SandboxFile(file, default, "default_adapter", found)


def _entry(name: str, values: Any, file: str, place: str) -> Entry:
    if not isinstance(values, dict):
        raise SettingsInvalid(f"{file}: key {place.rstrip('.')!r}: found {shown(values)}; a mapping is expected")
    kind = str(values.get("type", name))
    inner = values.get(kind, {})
    if not isinstance(inner, dict):
        raise SettingsInvalid(f"{file}: key '{place}{kind}': found {shown(inner)}; a mapping is expected")
    outer = {key: value for key, value in values.items() if key not in ("type", kind)}
    if twice := sorted(outer.keys() & inner.keys()):
        raise SettingsInvalid(f"{file}: key '{place}{twice[0]}' stands also in '{place}{kind}'; leave one of them out")
    keys = {key: f"{place}{key}" for key in outer} | {key: f"{place}{kind}.{key}" for key in inner}
    # What an adapter of another kind takes is its own affair; of ours, all keys are known.
    if kind == "local" and (strange := [key for key in keys if key not in ALIASES]):
        raise _unknown(file, keys[strange[0]], ALIASES)
    ours = {ALIASES[key]: value for key, value in (outer | inner).items() if key in ALIASES}
    places = {ALIASES[key]: keys[key] for key in keys if key in ALIASES}
    return Entry(kind, ours, places | ({"sandbox_type": f"{place}type"} if "type" in values else {}))


def _unknown(file: str, key: str, known: Iterable[str]) -> SettingsInvalid:
    return SettingsInvalid(f"{file}: key {key!r} is not known; known: {', '.join(sorted(known))}")
