"""The table of providers: `providers.yaml`, and what a project puts over it."""

import difflib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from holdfast.errors import NoModel, SettingsInvalid, shown

COMPATIBLE = "openai-compatible"
OFFLINE = "offline"

Structured = Literal["json_schema", "json_object", "prompt"]
Tools = Literal["native", "prompt"]


class Price(BaseModel):
    """USD for a million tokens. `cached` is for input that was read from a cache; None: as any input."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    cached: Decimal | None = Field(default=None, ge=0)


class Row(BaseModel):
    """One provider. `keys`, `base_env` and `model_env` name variables; the first that is set counts.

    `structured` says how a JSON Schema is asked for, `structured_except` (a regular expression) which models know no
    such thing; `tools` and `tools_except` say the same of tools, which are then told in the system text.
    `price` is an id of genai-prices, `free`, or empty: then a cost is known by `prices` only.
    `yields_to` names a variable; when it is set, `base_env` and `model_env` belong to its provider.
    `context_tokens` is the window of its models, where no settings say another; None: what is known of each.
    `concurrency` and `requests_per_minute` hold for one process.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    wire: Literal["anthropic", "openai", "bedrock", "offline"]
    aliases: list[str] = []
    base_url: str = ""
    base_env: list[str] = []
    keys: list[str] = []
    key_needed: bool = True
    model: str = ""
    model_env: str = ""
    yields_to: str = ""
    structured: Structured = "prompt"
    structured_except: str = ""
    tools: Tools = "native"
    tools_except: str = ""
    max_tokens_name: str = "max_tokens"
    unsupported: list[str] = []
    caching: bool = False
    price: str = ""
    prices: dict[str, Price] = {}
    context_tokens: int | None = Field(default=None, ge=1024)
    concurrency: int | None = Field(default=None, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)


def rows(overrides: Mapping[str, Any] | None = None) -> dict[str, Row]:
    """All rows by name, with the project's fields over ours.

    Raises:
        SettingsInvalid: a row of the project has an unknown field or a wrong value; names both.
    """
    table = dict(_built_in())
    for name, fields in (overrides or {}).items():
        if not isinstance(fields, Mapping):
            raise SettingsInvalid(f"providers.{name}: found {shown(fields)}; a mapping of fields is expected")
        own = next((own for own, row in table.items() if name in (own, *row.aliases)), name)
        known = table[own].model_dump() if own in table else {}
        table[own] = _row(name, {**known, **fields})
    return table


def named(table: Mapping[str, Row], name: str) -> str:
    """The row's own name, from any of its aliases; case and spaces around do not matter.

    Raises:
        NoModel: there is no such provider.
    """
    wanted = name.strip().lower()
    names = {alias: own for own, row in table.items() for alias in (own, *row.aliases)}
    if wanted in names:
        return names[wanted]
    near = difflib.get_close_matches(wanted, names, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise NoModel(f"no provider named {shown(name)}; {guess}Known: {', '.join(table)}")


@cache
def _built_in() -> dict[str, Row]:
    found = yaml.safe_load(Path(__file__).with_name("providers.yaml").read_text("utf-8"))
    return {name: _row(name, fields) for name, fields in found.items()}


def _row(name: str, fields: Mapping[str, Any]) -> Row:
    try:
        return Row.model_validate(fields)
    except ValidationError as exc:
        problems = (
            f"providers.{name}.{'.'.join(map(str, error['loc']))}: found {shown(error['input'])}; {error['msg']}"
            for error in exc.errors()
        )
        raise SettingsInvalid(f"{'; '.join(problems)}. Fields: {', '.join(Row.model_fields)}") from None
