import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import HoldfastError

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
ROOMS = ("holdfast", "api", "store")


@pytest.fixture(scope="module", autouse=True)
def everything_is_loaded() -> None:
    """A class is only known once its module is."""
    for room in ROOMS:
        for module in pkgutil.walk_packages([str(DOCUMENT.parents[1] / room)], f"{room}."):
            if "migrations" not in module.name:
                importlib.import_module(module.name)


def kinds(kind: type[HoldfastError]) -> Iterator[type[HoldfastError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from kinds(child)


def test_every_code_of_the_api_stands_in_the_document_with_its_status() -> None:
    codes = {(kind.code, kind.status) for kind in kinds(HoldfastError) if kind.__module__.partition(".")[0] in ROOMS}
    text = DOCUMENT.read_text("utf-8")
    assert sorted(f"| `{code}` | {status} |" for code, status in codes if f"| `{code}` | {status} |" not in text) == []


def test_a_code_has_one_status() -> None:
    found: dict[str, set[int]] = {}
    for kind in kinds(HoldfastError):
        if kind.__module__.partition(".")[0] in ROOMS:
            found.setdefault(kind.code, set()).add(kind.status)
    assert {code: statuses for code, statuses in found.items() if len(statuses) > 1} == {}


def test_details_travel_with_an_error() -> None:
    assert HoldfastError("text", line=3).details == {"line": 3}
    assert str(HoldfastError("text", line=3)) == "text"
