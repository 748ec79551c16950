"""Files that go into a program and come out of it. Their content is in blobs; so is a list of them: it may be long."""

from typing import Annotated

from pydantic import Field, StringConstraints

from holdfast.contracts.base import Contract, Sha256

FileName = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
"""A path relative to the folder that it is in, as `holdfast.filenames` allows."""


class File(Contract):
    """A file by its content. `ref` is the sha256 of that, and what `GET /files/{ref}` takes."""

    name: FileName
    ref: Sha256
    size_bytes: int = Field(ge=0)


class Uploaded(Contract):
    """A file that is here now. `ref` and `name` are what a task's `files` take."""

    ref: Sha256
    name: str
    size_bytes: int
    media_type: str


class FileList(Contract):
    """What a blob named by a `files_ref` holds."""

    files: list[File]
