"""Messages and answers are lists of parts, never bare strings."""

from typing import Annotated, Literal

from pydantic import Field

from holdfast.contracts.base import Contract, Json, Sha256


class _Kind(Contract):
    """A part always says its `type`, also where fields that nobody set are left out: it is told apart by that."""

    def model_post_init(self, _context: object) -> None:
        self.model_fields_set.add("type")


class TextPart(_Kind):
    type: Literal["text"] = "text"
    text: str


class BlobPart(_Kind):
    """Bytes by reference: an image, a document, a large text."""

    type: Literal["blob"] = "blob"
    ref: Sha256
    media_type: str = "application/octet-stream"
    size_bytes: int = Field(ge=0)
    name: str | None = None


class CallPart(_Kind):
    """A tool call in a reply. `id` is the provider's own, or one that we made; `skill` is as the model wrote it."""

    type: Literal["call"] = "call"
    id: str
    skill: str
    arguments: dict[str, Json] = {}


class ResultPart(_Kind):
    """What a tool call gave, for the model: text, mostly JSON."""

    type: Literal["result"] = "result"
    id: str
    skill: str
    text: str
    is_error: bool = False


Part = Annotated[TextPart | BlobPart | CallPart | ResultPart, Field(discriminator="type")]


class Message(Contract):
    role: Literal["system", "user", "assistant", "skill"]
    parts: list[Part]
