"""An agent's file by the keys of `AgentKeys`, and its errors in the words of whoever wrote it."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from holdfast.agentkeys import ALIASES, AgentKeys, known, path_of
from holdfast.errors import SpecInvalid, shown
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


class AgentDraft:
    """A document by the keys of `AgentKeys`, and the keys as their author wrote them, for messages."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.written: dict[str, str] = {}
        self.values = self._named(document.values, "", "")

    def keys(self) -> AgentKeys:
        try:
            return AgentKeys.model_validate(self.values)
        except ValidationError as exc:
            raise self._told(exc) from None

    def wrong(self, path: str, message: str) -> SpecInvalid:
        return self.document.wrong(self._as_written(path), message)

    def warn(self, path: str, message: str) -> None:
        self.document.warn(self._as_written(path), message)

    def _named(self, values: dict[str, Any], place: str, path: str) -> dict[str, Any]:
        """The values by canonical key; a key without a value is one that is not there."""
        aliases, found = ALIASES[place], dict[str, Any]()
        for key, value in values.items():
            name = aliases.get(key, key)
            here, written = f"{path}{name}", f"{path}{key}"
            if value is None:
                continue
            if name in found:
                raise self.document.wrong(written, f"found beside {self.written.get(here, here)!r}; allowed is one")
            if here != written:
                self.written[here] = written
            found[name] = self._within(value, name, here) if place == "" else value
        return found

    def _within(self, value: Any, name: str, path: str) -> Any:
        match value:
            case dict() if name in ALIASES:
                return self._named(value, name, f"{path}.")
            case dict() if name == "limits":
                return {key: item for key, item in value.items() if item is not None}
            case list() if name == "llm_config":
                return [self._item(item, f"{path}[{number}]") for number, item in enumerate(value)]
        return value

    def _item(self, value: Any, path: str) -> Any:
        return self._named(value, "llm_config", f"{path}.") if isinstance(value, dict) else value

    def _as_written(self, path: str) -> str:
        """`llm_config[0].region` -> `models[0].aws_region`, if that is what the file says."""
        path = self.written.get(path, path)
        head = path[: min((path.find(mark) for mark in ".[" if mark in path), default=len(path))]
        return self.written.get(head, head) + path[len(head) :]

    def _told(self, exc: ValidationError) -> SpecInvalid:
        faults = [self._fault(error) for error in exc.errors(include_url=False)]
        return min(faults, key=lambda fault: fault.line or 0)

    def _fault(self, error: ErrorDetails) -> SpecInvalid:
        path = path_of(error["loc"])
        if error["type"] == "extra_forbidden":
            allowed = known(path_of(error["loc"][:-1]))
            hint = suggestion(str(error["loc"][-1]), allowed)
            return self.wrong(path, f"unknown;{hint} allowed: {listed(allowed)}")
        if error["type"] == "missing":
            return self.wrong(path, f"missing, and required; found {listed(error['input'])}")
        said = error["msg"].replace("Input should be", "allowed:")
        return self.wrong(path, f"found {shown(error['input'])}; {_WORDS.get(error['type'], said)}")
