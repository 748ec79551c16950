"""Files and folders that a task names: what kind they are, and which of them are meant."""

from dataclasses import replace

from providers.offline.task import Place, Said

_ENDINGS = {
    "python": "py",
    "csv": "csv",
    "json": "json",
    "markdown": "md",
    "yaml": "{yaml,yml}",
    "javascript": "{js,mjs,jsx}",
    "typescript": "{ts,tsx}",
    "parquet": "parquet",
    "toml": "toml",
    "html": "html",
}


def is_file(place: Place) -> bool:
    """Whether it has an ending, as files have. Nobody looks: the task may be planned far from its files."""
    name = (place.path if place.pattern == "**" else place.pattern).rpartition("/")[2]
    return "." in name.strip(".")


def ends(place: Place, endings: tuple[str, ...]) -> bool:
    return place.path.lower().endswith(endings) or place.pattern.lower().endswith(endings)


def of_kind(said: Said, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """`Python files` are those with its ending, in all folders that are named, or in the whole workspace."""
    kinds = [_ENDINGS[kind] for kind in said.kinds if kind in _ENDINGS]
    if not kinds:
        return places
    pattern = f"**/*.{kinds[0]}"
    whole = (place.pattern == "**" and not is_file(place) for place in places)
    pairs = zip(places, whole, strict=True)
    return tuple(replace(place, pattern=pattern) if all_of_it else place for place, all_of_it in pairs) or (
        Place(".", pattern),
    )
