"""Built-in skills that the report has a section of its own for."""

from dataclasses import dataclass

from holdfast.snapshot import CatalogueSkill

_CODE = ".py .js .mjs .jsx .ts .tsx .java .go .rs .c .h .cc .cpp .hpp .cs .rb .php .swift .kt .scala .lua"
_DATA = ".csv .tsv .json .jsonl .ndjson .parquet"


@dataclass(frozen=True)
class Recipe:
    """`function` of `parts` makes the section. `endings` are the files that it takes one by one."""

    function: str
    endings: tuple[str, ...] = ()


_RECIPES = {
    "code-analysis": Recipe("review_code", tuple(_CODE.split())),
    "data-profile": Recipe("profile_data", tuple(_DATA.split())),
    "security-scan": Recipe("scan_security"),
    "list-files": Recipe("list_all"),
    "read-file": Recipe("read_texts"),
    "find-in-files": Recipe("find_text"),
    "write-file": Recipe("save"),
}


def recipe(skill: CatalogueSkill) -> Recipe | None:
    """None: the skill is used as its schema and its examples say."""
    return _RECIPES.get(skill.name) if skill.origin == "builtin" else None
