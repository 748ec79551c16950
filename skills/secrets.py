"""Secrets of a skill: exactly those that it names, and none of them in what leaves it."""

from collections.abc import Mapping
from pathlib import Path

from holdfast.catalogue import CatalogueSkill
from holdfast.contracts.base import Json
from holdfast.errors import SecretMissing

_SHORTEST = 6
"""A shorter value is not hidden: it would be found by chance in any text."""


def secrets_of(skill: CatalogueSkill, environ: Mapping[str, str]) -> dict[str, str]:
    """The values of the secrets that a skill declares, from the worker's environment; `X_FILE` names a file with X.

    One that is declared as `X?` and not set is left out.

    Raises:
        SecretMissing: one of them is not set, or its file cannot be read.
    """
    wanted = {name.removesuffix("?") for name in skill.spec.secrets if not name.endswith("?") or _is_set(name, environ)}
    return {name: _value(name, skill.name, environ) for name in sorted(wanted)}


def _is_set(name: str, environ: Mapping[str, str]) -> bool:
    plain = name.removesuffix("?")
    return bool(environ.get(plain) or environ.get(f"{plain}_FILE"))


def _value(name: str, skill: str, environ: Mapping[str, str]) -> str:
    if environ.get(name):
        return environ[name]
    path = environ.get(f"{name}_FILE")
    if not path:
        raise SecretMissing(f"skill {skill!r} needs the secret {name}; set {name} or {name}_FILE where the worker runs")
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as exc:
        raise SecretMissing(
            f"skill {skill!r} needs the secret {name}: {name}_FILE names {path!r}: {exc.strerror}"
        ) from None


def hidden(text: str, secrets: Mapping[str, str]) -> str:
    """The text with the values of secrets replaced by their names."""
    for name, value in secrets.items():
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"[secret {name}]")
    return text


def hidden_in(value: Json, secrets: Mapping[str, str]) -> Json:
    """A JSON value with the same done to all of its texts, keys too."""
    match value:
        case str():
            return hidden(value, secrets)
        case list():
            return [hidden_in(item, secrets) for item in value]
        case dict():
            return {hidden(key, secrets): hidden_in(item, secrets) for key, item in value.items()}
        case _:
            return value
