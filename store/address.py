"""Where the database is: a plain URL made into what SQLAlchemy's async drivers take."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from holdfast.config import Settings
from holdfast.errors import SettingsInvalid

_ALLOWED = "sqlite:////absolute/path/holdfast.db, or postgresql://user:password@host:5432/database"
_SQLITE = ("sqlite:///", "sqlite+aiosqlite:///")
_POSTGRES = ("postgresql", "postgres", "postgresql+asyncpg")
_QUERY = ("host", "port", "ssl", "sslmode", "connect_timeout", "application_name")
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Address:
    """`str()` of it is fit for messages: it holds no password. `file` is set for SQLite only."""

    url: URL
    file: Path | None
    connect_args: Mapping[str, Any]

    def __str__(self) -> str:
        return str(self.file or self.url.set(drivername="postgresql"))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """
        Raises:
            SettingsInvalid: the URL is of neither database, or has an option that is not known.
        """
        text = settings.database_url
        for prefix in _SQLITE:
            if text.startswith(prefix):
                return cls._sqlite(settings.project, text.removeprefix(prefix))
        return cls._postgres(text)

    @classmethod
    def _sqlite(cls, project: Path, name: str) -> Self:
        # All that follows the prefix is the path, letter by letter: `?` and `%` are legal in file names.
        if name in ("", ":memory:"):
            raise SettingsInvalid(
                f"DATABASE_URL names no file, so API and worker could not share it. Allowed: {_ALLOWED}"
            )
        path = project / name
        return cls(URL.create("sqlite+aiosqlite", database=str(path)), path, {})

    @classmethod
    def _postgres(cls, text: str) -> Self:
        scheme = text.partition("://")[0][:40]
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise SettingsInvalid(f"DATABASE_URL ({scheme}://…) is not a URL. Allowed: {_ALLOWED}") from None
        if url.drivername not in _POSTGRES:
            raise SettingsInvalid(f"DATABASE_URL is of kind {scheme!r}. Allowed: {_ALLOWED}")
        if unknown := sorted(set(url.query) - set(_QUERY)):
            raise SettingsInvalid(f"DATABASE_URL has the option {unknown[0]!r}. Allowed: {', '.join(_QUERY)}")
        bare = url.set(drivername="postgresql+asyncpg").difference_update_query(_QUERY[2:])
        return cls(bare, None, _connect_args(url.query))


def _connect_args(query: Mapping[str, Any]) -> dict[str, Any]:
    """libpq's names for what asyncpg calls otherwise."""
    try:
        seconds = float(query.get("connect_timeout", _CONNECT_SECONDS))
    except ValueError:
        raise SettingsInvalid("DATABASE_URL: connect_timeout is a number of seconds") from None
    args: dict[str, Any] = {"timeout": seconds}
    args["server_settings"] = {"application_name": query.get("application_name", "holdfast")}
    if mode := query.get("sslmode", query.get("ssl")):
        args["ssl"] = mode
    return args
