"""Images that go with a message: found by path, known by their content, bounded in size."""

import re
from collections.abc import Callable
from pathlib import Path

from holdfast.contracts.file import Uploaded
from holdfast.contracts.message import BlobPart
from holdfast.errors import UserError

MAX_IMAGE_BYTES = 5 << 20
"""Anthropic refuses larger ones, and others scale them down."""
_MENTION = re.compile(r"(?:^|(?<=\s))@(?:\"([^\"\n]+)\"|(\S+))")
_TYPES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))

_PUNCTUATION = ".,;:!?)]'\""

Upload = Callable[[Path], Uploaded]


def media_type(head: bytes) -> str | None:
    """The type that the first 12 bytes of an image say; None: no image that models take."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _TYPES if head.startswith(start)), None)


def checked(path: Path) -> str:
    """The media type of an image.

    Raises:
        UserError: it cannot be read, is too large, or is no image that models take.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as exc:
        raise UserError(f"cannot read the image {str(path)!r}: {exc.strerror}") from None
    found = media_type(head)
    if found is None:
        raise UserError(f"{str(path)!r} is no image by its content; allowed: PNG, JPEG, GIF, WebP")
    if size > MAX_IMAGE_BYTES:
        raise UserError(
            f"the image {str(path)!r} has {size:,} bytes; {MAX_IMAGE_BYTES:,} are allowed. Scale it down, "
            "for instance: magick big.png -resize 1568x1568 small.png"
        )
    return found


def sent(path: Path, upload: Upload) -> BlobPart:
    """An image as part of a message, after it was sent."""
    kind = checked(path)
    file = upload(path)
    return BlobPart(ref=file.ref, media_type=kind, size_bytes=file.size_bytes, name=path.name)


def mentioned(text: str) -> tuple[str, list[Path]]:
    """A message whose `@path`s that lead to images are replaced by their names, and those paths. Other words with an
    `@` are what they are."""
    paths: list[Path] = []

    def named(match: re.Match[str]) -> str:
        word = match[1] or match[2]
        for end in (len(word), len(word.rstrip(_PUNCTUATION))):
            path = Path(word[:end]).expanduser()
            if _is_image(path):
                paths.append(path)
                return path.name + word[end:]
        return match[0]

    return _MENTION.sub(named, text), paths


def _is_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return media_type(file.read(12)) is not None
    except (OSError, ValueError):
        return False
