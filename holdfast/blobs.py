"""Content-addressed bytes: what is too large for a history travels as its sha256."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from holdfast.errors import NotFound, StoreUnavailable


class BlobStore:
    """A folder of immutable files named by the sha256 of their content. Safe for many writing processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes) -> str:
        """Store bytes, durably, and return their 64-digit name. Storing them again costs one stat.

        Raises:
            StoreUnavailable: the disk is full, or the folder cannot be written to. Nothing is left behind.
        """
        ref = hashlib.sha256(data).hexdigest()
        path = self._path(ref)
        if not path.exists():
            try:
                self._write(path, data)
            except OSError as exc:
                raise StoreUnavailable(
                    f"cannot write a blob of {len(data)} bytes below {self.root}: {exc.strerror}; "
                    "check free space and access rights, and try again"
                ) from exc
        return ref

    @contextmanager
    def incoming(self) -> Iterator["Incoming"]:
        """A blob that comes in pieces, of any size. Without `keep`, nothing of it is left.

        Raises:
            StoreUnavailable: the disk is full, or the folder cannot be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.root, prefix=".new-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield Incoming(self, file, Path(name))
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as exc:
            raise StoreUnavailable(
                f"cannot write a blob below {self.root}: {exc.strerror}; check free space and access rights"
            ) from exc

    def adopt(self, file: Path, ref: str) -> str:
        """Take a file of this folder, with the content that `ref` names, for the blob."""
        path = self._path(ref)
        path.parent.mkdir(parents=True, exist_ok=True)
        file.replace(path)
        return ref

    def path(self, ref: str) -> Path:
        """The file of a blob, to be read only.

        Raises:
            NotFound: nothing is stored under that name.
        """
        path = self._path(ref)
        if not path.is_file():
            raise self._none(ref)
        return path

    def get(self, ref: str) -> bytes:
        """
        Raises:
            NotFound: nothing is stored under that name.
        """
        try:
            return self._path(ref).read_bytes()
        except FileNotFoundError:
            raise self._none(ref) from None

    def put_json(self, value: Any) -> str:
        return self.put(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())

    def get_json(self, ref: str) -> Any:
        return json.loads(self.get(ref))

    def has(self, ref: str) -> bool:
        return self._path(ref).exists()

    def _none(self, ref: str) -> NotFound:
        return NotFound(f"no blob {ref!r} in {self.root}; it was never stored here, or was collected")

    def _path(self, ref: str) -> Path:
        if len(ref) != 64 or not set(ref) <= set("0123456789abcdef"):
            raise NotFound(f"no blob {ref[:80]!r}: a blob name is 64 lower-case hex digits")
        return self.root / ref[:2] / ref[2:]

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


class Incoming:
    """A blob whose content is still coming. Memory holds no more of it than the piece that is written."""

    def __init__(self, blobs: BlobStore, file: BinaryIO, path: Path) -> None:
        self._blobs, self._file, self._path = blobs, file, path
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._file.write(piece)
        self.size_bytes += len(piece)

    def keep(self) -> str:
        """The whole is there: its name, once it is durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._blobs.adopt(self._path, self._hash.hexdigest())
