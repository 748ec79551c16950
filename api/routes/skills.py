"""The catalogue: skills, and the files that are left out because something is wrong with them."""

import asyncio

from fastapi import APIRouter

from api.house import House, OurHouse
from holdfast.catalogue import Problem
from holdfast.contracts.base import Contract
from holdfast.snapshot import Catalogue, CatalogueSkill, SkillSummary
from holdfast.specs import SkillSpec

router = APIRouter(tags=["skills"])


class SkillPage(Contract):
    """A skill in full. `identifier` is its name in programs."""

    spec: SkillSpec
    identifier: str
    origin: str
    instructions: str
    files: list[str]
    catalogue: str


class Errors(Contract):
    """What is wrong with files of the project. An error keeps a skill, an agent or a flow out, a warning does not."""

    errors: list[Problem]
    warnings: list[Problem]


@router.get("/skills", operation_id="list_skills")
@router.get("/api/skills", operation_id="list_skills_alias")
async def find(house: OurHouse, tag: str | None = None) -> list[SkillSummary]:
    """All skills, briefly, or those with a tag."""
    catalogue, _, _ = await asyncio.to_thread(house.library.current)
    return list(catalogue.list(tag))


@router.get("/skills/{name}", operation_id="get_skill")
@router.get("/api/skills/{name}", operation_id="get_skill_alias")
async def look(name: str, house: OurHouse) -> SkillPage:
    """A skill with its schemas and instructions. `-` and `_` in its name are the same."""
    return await asyncio.to_thread(_page, house, name)


@router.get("/errors", operation_id="list_errors")
async def errors(house: OurHouse) -> Errors:
    """Files that could not be used, and those that could with a doubt; schedules of files that could not be made."""
    _, _, problems = await asyncio.to_thread(house.library.current)
    return Errors(errors=[*problems, *house.schedules.problems], warnings=house.library.warnings)


def _page(house: House, name: str) -> SkillPage:
    newest: tuple[Catalogue, str, list[Problem]] = house.library.current()
    catalogue, sha, _ = newest
    skill: CatalogueSkill = catalogue.find(name)
    return SkillPage(
        spec=skill.spec,
        identifier=skill.spec.identifier,
        origin=skill.origin,
        instructions=skill.instructions(house.blobs),
        files=sorted(skill.files),
        catalogue=sha,
    )
