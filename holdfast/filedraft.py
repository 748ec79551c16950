"""A file by the keys of its `Shape`, and its errors in the words of whoever wrote it."""

from collections.abc import Mapping
from typing import Any, Generic

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from holdfast.errors import SpecInvalid, shown
from holdfast.filekeys import K, Shape, path_of, place_of
from holdfast.names import listed, suggestion
from holdfast.yamlfile import Document

_WORDS = {
    "string_type": "allowed is text; put it in quotes",
    "bool_parsing": "allowed: true, false",
    "bool_type": "allowed: true, false",
    "dict_type": "allowed is a mapping",
    "model_type": "allowed is a mapping",
    "list_type": "allowed is a list",
    "int_type": "allowed is a whole number",
    "float_type": "allowed is a number",
    "string_too_short": "allowed is text that is not empty",
    "string_pattern_mismatch": "allowed are letters, digits, '_' and '-'",
}


class Draft(Generic[K]):
    """A document by the keys of its shape, and the keys as their author wrote them, for messages.

    `values` are those of the document, unless they were taken out of a part of it: `prefix` is where that part stands,
    and `origins` says of paths in `values` where else in the file they come from.
    """

    def __init__(
        self,
        document: Document,
        shape: Shape[K],
        values: dict[str, Any] | None = None,
        prefix: str = "",
        origins: Mapping[str, str] | None = None,
    ) -> None:
        self.document, self.shape, self.prefix = document, shape, prefix
        self.origins = origins or {}
        self.written: dict[str, str] = {}
        self.values = self._named(document.values if values is None else values, "", "", prefix)

    def keys(self) -> K:
        try:
            return self.shape.model.model_validate(self.values)
        except ValidationError as exc:
            raise self._told(exc) from None

    def wrong(self, path: str, message: str) -> SpecInvalid:
        return self.document.wrong(self._as_written(path), message)

    def warn(self, path: str, message: str) -> None:
        self.document.warn(self._as_written(path), message)

    def _named(self, values: dict[str, Any], place: str, path: str, wrote: str) -> dict[str, Any]:
        """The values by canonical key; a key without a value is one that is not there. `wrote` is `path` as written."""
        aliases, found = self.shape.aliases.get(place, {}), dict[str, Any]()
        for key, value in values.items():
            name = aliases.get(key, key)
            here = f"{path}{name}"
            written = self.origins.get(f"{path}{key}", f"{wrote}{key}")
            if value is None:
                continue
            if name in found:
                raise self.document.wrong(written, f"found beside {self.written.get(here, here)!r}; allowed is one")
            if here != written:
                self.written[here] = written
            found[name] = self._within(value, f"{place}.{name}".lstrip("."), here, written)
        return found

    def _within(self, value: Any, place: str, path: str, wrote: str) -> Any:
        match value:
            case dict() if place in self.shape.places:
                return self._named(value, place, f"{path}.", f"{wrote}.")
            case list() if place in self.shape.places:
                return [self._within(item, place, f"{path}[{n}]", f"{wrote}[{n}]") for n, item in enumerate(value)]
        return value

    def _as_written(self, path: str) -> str:
        """`llm_config[0].region` -> `models[0].aws_region`, if that is what the file says."""
        ends = [len(path), *(place for place in range(len(path) - 1, 0, -1) if path[place] in ".[")]
        known = next((end for end in ends if path[:end] in self.written), 0)
        return self.written[path[:known]] + path[known:] if known else f"{self.prefix}{path}"

    def _told(self, exc: ValidationError) -> SpecInvalid:
        faults = [self._fault(error) for error in exc.errors(include_url=False)]
        return min(faults, key=lambda fault: fault.line or 0)

    def _fault(self, error: ErrorDetails) -> SpecInvalid:
        path = path_of(error["loc"])
        if error["type"] == "extra_forbidden":
            allowed = self.shape.known(place_of(error["loc"][:-1]))
            hint = suggestion(str(error["loc"][-1]), allowed)
            return self.wrong(path, f"unknown;{hint} allowed: {listed(allowed)}")
        if error["type"] == "missing":
            return self.wrong(path, f"missing, and required; found {listed(error['input'])}")
        said = error["msg"].replace("Input should be", "allowed:")
        return self.wrong(path, f"found {shown(error['input'])}; {_WORDS.get(error['type'], said)}")
