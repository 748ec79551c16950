"""What every model that crosses a Temporal or HTTP boundary has in common."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Json = Any
"""Any JSON value. Validated where it enters, never trusted from a box."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CallId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}\.[1-9][0-9]*$")]

Origin = Literal["builtin", "project"]
"""Whose file says what a skill or an agent is: holdfast's own, or the project's."""

INLINE_ANSWER_BYTES = 256
"""An answer above this travels by reference: inline it stands in a history about three times."""
INLINE_ARGUMENT_BYTES = 1024
NATIVE_BYTES = 16 << 10
"""Arguments of a native skill stand in the history: the workflow itself reads them."""

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out", bound=BaseModel)


class Contract(BaseModel):
    """A message. Fields may be added, never renamed; unknown fields of a newer sender are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ActivityRef(Contract, Generic[In, Out]):
    """An activity's name and types, declared once and used by both the caller and the worker."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    name: str
    takes: type[In]
    gives: type[Out]


class Nothing(Contract):
    """The answer of an activity that has none."""


class Value(Contract):
    """A JSON value, inline or as the name of a blob that holds its JSON text. Exactly one field is set."""

    inline: Json = None
    ref: Sha256 | None = None
    size_bytes: int = Field(default=0, ge=0)


class Failure(Contract):
    """An error as data. `type` is a class name or an error code; `message` fit for people and models."""

    type: str
    message: str
    details: dict[str, Json] = {}
