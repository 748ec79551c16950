"""A project's own Temporal workflow: what it needs to know of the task that it is, and values in and out of blobs."""

from holdfast.contracts.base import ActivityRef, Contract, Json, Sha256, Value
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.principal import TaskRef


class OwnContext(Contract):
    """Goes with the workflow as its memo. `until` is the task's deadline, in UTC seconds since 1970."""

    task: TaskRef
    type: str
    catalogue: Sha256
    models: list[ModelSettings] = []
    until: float
    depth: int = 0
    is_budgeted: bool = False


class ReadValue(Contract):
    value: Value


class KeepValue(Contract):
    json_: Json = None


class ReadJson(Contract):
    json_: Json = None


MEMO = "holdfast"
PART = "own"
"""The last part of the id of a project's workflow: `<the task's workflow id>/own`."""

VALUE_READ: ActivityRef[ReadValue, ReadJson] = ActivityRef(name="value.read", takes=ReadValue, gives=ReadJson)
VALUE_KEEP: ActivityRef[KeepValue, ReadValue] = ActivityRef(name="value.keep", takes=KeepValue, gives=ReadValue)
