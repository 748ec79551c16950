"""What a worker says of its providers in its row: see `holdfast.readiness`."""

from collections.abc import Mapping
from typing import Any

from holdfast.contracts.model import ModelSettings
from holdfast.readiness import DEFAULT, NOTHING, said
from providers.endpoint import base_of, has_key
from providers.rows import Row, named, rows
from providers.table import Models


def seen(environ: Mapping[str, str], default: ModelSettings, overrides: Mapping[str, Any] | None = None) -> list[str]:
    """Those that are set up first, best first; then the others, and all aliases. Nothing is asked over the network.

    Raises:
        SettingsInvalid, NoModel: as of `Models`: a row of the project, or the default provider, is none.
    """
    table = rows(overrides)
    ready = Models(environ, default, overrides).available()
    lacks = {name: _missing(row, environ) or NOTHING for name, row in table.items()}
    others = [name for name in table if name not in ready]
    aliases = [(alias, lacks[name]) for name, row in table.items() for alias in row.aliases]
    found = [*ready, *(said(name, lacks[name]) for name in others), *(said(alias, lack) for alias, lack in aliases)]
    missing = lacks[named(table, default.provider)] if default.provider else NOTHING
    if missing != NOTHING:
        found.append(said(DEFAULT, missing))
    return found


def _missing(row: Row, environ: Mapping[str, str]) -> str:
    """The variables that are not set, as a message names them; nothing if the row has all it needs."""
    if row.key_needed and not has_key(row, environ):
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if row.wire == "bedrock" else " or ".join(row.keys)
    has_base = row.wire == "offline" or row.base_url or base_of(row, environ)
    return "" if has_base else " or ".join(row.base_env)
