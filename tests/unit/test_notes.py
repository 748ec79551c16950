"""Long texts by handle: `recall` reads those of its own tenant, and nothing else; and engine skills as such."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from activities import engine, notes
from activities.notes import Recall
from holdfast.blobs import BlobStore
from holdfast.catalogue import BUILTIN, Catalogue, CatalogueSkill, load
from holdfast.contracts.base import Json, Value
from holdfast.contracts.principal import Principal, TaskRef
from holdfast.contracts.skill import SkillCall
from holdfast.errors import SkillInputError, SkillOutputError, SkillRefused, SkillTimeout
from holdfast.names import RECALL
from tests.support.skill_folders import write_skill

TEXT = "".join(f"line {number}: ä\n" for number in range(2000))


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture(scope="module")
def skill(tmp_path_factory: pytest.TempPathFactory) -> CatalogueSkill:
    return catalogue(tmp_path_factory.mktemp("project")).find(RECALL)


def catalogue(project: Path) -> Catalogue:
    return load(project, BUILTIN).catalogue


def call(arguments: dict[str, Json], tenant: str = "acme", timeout_seconds: float = 10.0) -> SkillCall:
    return SkillCall(
        task=TaskRef(task_id="t", principal=Principal(tenant=tenant), trace_id="0" * 32),
        call_id=f"{'0' * 24}.1",
        skill=RECALL,
        arguments=Value(inline=arguments),
        catalogue="0" * 64,
        effect="pure",
        timeout_seconds=timeout_seconds,
    )


def recalled(blobs: BlobStore, skill: CatalogueSkill, tenant: str = "acme", **arguments: Json) -> Any:
    engines = {RECALL: Recall(blobs)}
    return asyncio.run(engine.answered(engines, skill, call(arguments, tenant), arguments))


def test_a_whole_text_is_read_piece_by_piece(blobs: BlobStore, skill: CatalogueSkill) -> None:
    handle = notes.noted(blobs, "acme", TEXT)
    found = recalled(blobs, skill, handle=handle)
    pieces = [found["text"]]
    while found["next_offset"] is not None:
        found = recalled(blobs, skill, handle=handle, offset=found["next_offset"])
        pieces.append(found["text"])
    assert "".join(pieces) == TEXT
    assert {len(piece) for piece in pieces[:-1]} == {4000}
    assert found["total_characters"] == len(TEXT)


def test_the_end_of_a_text_is_an_empty_piece_and_behind_it_is_an_error(blobs: BlobStore, skill: CatalogueSkill) -> None:
    handle = notes.noted(blobs, "acme", "abc")
    assert recalled(blobs, skill, handle=handle, offset=3) == {"text": "", "total_characters": 3, "next_offset": None}
    with pytest.raises(SkillRefused, match="found 4; the text has 3 characters"):
        recalled(blobs, skill, handle=handle, offset=4)


def test_another_tenants_handle_finds_nothing(blobs: BlobStore, skill: CatalogueSkill) -> None:
    handle = notes.noted(blobs, "acme", "secret plans")
    with pytest.raises(SkillRefused, match="no text with handle"):
        recalled(blobs, skill, tenant="other", handle=handle)
    assert notes.noted(blobs, "other", "secret plans") != handle


@pytest.mark.parametrize(
    "data",
    [
        b"a file that somebody uploaded",
        b"\xff\xfe",
        json.dumps({"tenant": "acme", "text": "x"}).encode(),
        json.dumps({"note": 1, "text": "x"}).encode(),
        json.dumps([1]).encode(),
    ],
)
def test_a_blob_that_is_no_note_cannot_be_read_by_its_name(
    blobs: BlobStore, skill: CatalogueSkill, data: bytes
) -> None:
    with pytest.raises(SkillRefused, match="no text with handle"):
        recalled(blobs, skill, handle=blobs.put(data))


@pytest.mark.parametrize("handle", ["x", "0" * 64, "../../etc/passwd", "F" * 64])
def test_what_is_no_handle_is_refused(blobs: BlobStore, skill: CatalogueSkill, handle: str) -> None:
    with pytest.raises(SkillRefused, match="no text with handle"):
        recalled(blobs, skill, handle=handle)


def test_arguments_and_answer_of_an_engine_skill_are_checked(blobs: BlobStore, skill: CatalogueSkill) -> None:
    with pytest.raises(SkillInputError, match="characters"):
        recalled(blobs, skill, handle="0" * 64, characters=100_000)

    async def odd(_call: SkillCall, _arguments: dict[str, Json]) -> Json:
        return "no mapping"

    arguments = {"handle": "0" * 64}
    with pytest.raises(SkillOutputError):
        asyncio.run(engine.answered({RECALL: odd}, skill, call(arguments), arguments))
    with pytest.raises(SkillRefused, match="not part of this worker"):
        asyncio.run(engine.answered({}, skill, call(arguments), arguments))


def test_an_engine_skill_has_the_time_of_its_call(skill: CatalogueSkill) -> None:
    async def slow(_call: SkillCall, _arguments: dict[str, Json]) -> Json:
        await asyncio.Event().wait()

    arguments = {"handle": "0" * 64}
    with pytest.raises(SkillTimeout, match=r"longer than its 0\.01 s"):
        asyncio.run(engine.answered({RECALL: slow}, skill, call(arguments, timeout_seconds=0.01), arguments))


def test_a_project_cannot_declare_an_engine_skill(tmp_path: Path) -> None:
    write_skill(tmp_path, "mine", extra="kind: engine\n")
    problems = load(tmp_path, BUILTIN).problems
    assert [problem.key for problem in problems] == ["kind"]
    assert "engine skills are part of holdfast" in problems[0].message
