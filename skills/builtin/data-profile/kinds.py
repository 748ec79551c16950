"""Kinds of values (integer, date YYYY-MM-DD, text, …), as SQL over a text, and the family that a column belongs to.

Its SQL is put together from constants of this module and names of columns that we gave.
"""

_FAMILY_SHARE = 0.6

_NO_VALUE = ("nan", "null", "none", "n/a", "na", "nil", "inf", "-inf", "infinity", "-infinity", "-", "?")
_FORMATS = {
    "YYYY-MM-DD": (r"\d{4}-\d{2}-\d{2}", ("%Y-%m-%d",)),
    "YYYY/MM/DD": (r"\d{4}/\d{2}/\d{2}", ("%Y/%m/%d",)),
    "DD.MM.YYYY": (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    "DD/MM/YYYY or MM/DD/YYYY": (r"\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
}
_TIMESTAMP = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?"
_FAMILIES = {"integer": "number", "decimal": "number", "boolean": "boolean", "timestamp": "date", "text": "text"}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _parsed(value: str, formats: tuple[str, ...]) -> str:
    return f"try_strptime({value}, [{', '.join(map(quoted, formats))}])"


def kind_sql(cell: str) -> str:
    dates = "".join(
        f"WHEN regexp_full_match({cell}, {quoted(shape)}) THEN "
        f"CASE WHEN {_parsed(cell, formats)} IS NULL THEN 'bad {name}' ELSE 'date {name}' END "
        for name, (shape, formats) in _FORMATS.items()
    )
    words = ", ".join(map(quoted, _NO_VALUE))
    return (
        f"CASE WHEN {cell} IS NULL THEN NULL "
        rf"WHEN regexp_full_match({cell}, '[+-]?(0|[1-9]\d{{0,17}})') THEN 'integer' "
        rf"WHEN regexp_full_match({cell}, '[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d{{1,2}})?') "
        rf"AND NOT regexp_full_match({cell}, '[+-]?0\d+') THEN 'decimal' "
        f"WHEN lower({cell}) IN ({words}) THEN 'no value' "
        f"WHEN lower({cell}) IN ('true', 'false', 'yes', 'no') THEN 'boolean' "
        f"{dates}"
        f"WHEN regexp_full_match({cell}, {quoted(_TIMESTAMP)}) THEN CASE WHEN try_cast({cell} AS TIMESTAMPTZ) IS NULL "
        f"AND try_cast({cell} AS TIMESTAMP) IS NULL THEN 'bad timestamp' ELSE 'timestamp' END "
        f"ELSE 'text' END"
    )


FAMILY_SQL = (
    "CASE WHEN kind IN ('integer', 'decimal') THEN 'number' WHEN kind LIKE 'date %' OR kind = 'timestamp' THEN 'date' "
    "WHEN kind LIKE 'bad %' OR kind = 'no value' OR kind IS NULL THEN 'odd' ELSE kind END"
)
DATE_KINDS = ", ".join([*(quoted(f"date {name}") for name in _FORMATS), "'timestamp'"])
DATE = (
    "CASE "
    + " ".join(
        f"WHEN kind = {quoted(f'date {name}')} THEN strftime({_parsed('v', formats)}, '%Y-%m-%d')"
        for name, (_, formats) in _FORMATS.items()
    )
    + " ELSE replace(v, ' ', 'T') END"
)


def family_of(counts: dict[str, int]) -> str:
    """What at least six of ten values are; else text. Dates that are not in the calendar were meant as dates."""
    families: dict[str, int] = {}
    for kind, count in counts.items():
        if kind != "no value":
            family = "date" if kind.startswith(("date ", "bad ")) else _FAMILIES[kind]
            families[family] = families.get(family, 0) + count
    if not families:
        return "empty"
    best = max(families, key=lambda family: (families[family], family))
    return best if families[best] >= _FAMILY_SHARE * sum(families.values()) else "text"


def type_of(family: str, counts: dict[str, int]) -> str:
    if family == "number":
        return "decimal" if "decimal" in counts else "integer"
    return "timestamp" if family == "date" and not any(kind.startswith("date ") for kind in counts) else family
