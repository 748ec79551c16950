"""A skill's folder as bytes and text: what may be in it, and where SKILL.md's front matter ends."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import SpecInvalid, shown
from holdfast.yamlfile import Document, read_mapping

MARKDOWN = ("SKILL.md", "skill.md")
SIDE = ("skill.yaml", "skill.yml")
HANDLERS = ("skill.py", "handler.py")
MAX_FILE_BYTES = 1 << 20
MAX_SKILL_BYTES = 10 << 20
MAX_FILES = 1000
_BODY_LINES = 500
_SKIPPED = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True)
class SkillText:
    """The two files that describe a skill, read. `front` is SKILL.md's front matter, `side` is skill.yaml."""

    front: Document | None
    side: Document | None
    body: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def documents(self) -> list[Document]:
        """Those that are there, the one that wins last."""
        return [document for document in (self.front, self.side) if document is not None]


def is_skill_folder(folder: Path) -> bool:
    """Whether the folder says that it is a skill, well or badly."""
    return any((folder / name).exists() for name in (*MARKDOWN, *SIDE, *HANDLERS))


def read_folder(folder: Path, label: str) -> dict[str, bytes]:
    """All files of a skill by relative path; hidden ones, `__pycache__` and `node_modules` are left out.

    Raises:
        SpecInvalid: a file is too large, leads out of the folder, is none (a pipe, a socket) or cannot be read.
    """
    files: dict[str, bytes] = {}
    total = 0
    for path in walk(folder):
        name = path.relative_to(folder).as_posix()
        files[name] = _read(path, folder, f"{label}/{name}")
        total += len(files[name])
        if total > MAX_SKILL_BYTES or len(files) > MAX_FILES:
            raise SpecInvalid(
                f"{label}: more than {MAX_SKILL_BYTES >> 20} MiB or {MAX_FILES} files; keep data outside of the skill",
                file=label,
            )
    return files


def walk(folder: Path) -> list[Path]:
    """The files that count, sorted. Folders behind symbolic links are not entered."""
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_skipped(name))
        found += [
            Path(root, name) for name in [*names, *folders] if not _is_skipped(name) and _counts(Path(root, name))
        ]
        if len(found) > MAX_FILES * 2:
            break
    return sorted(found)


def _counts(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED or name.endswith(".pyc")


def _read(path: Path, folder: Path, label: str) -> bytes:
    try:
        label.encode()
        if not path.resolve(strict=True).is_relative_to(folder.resolve()):
            raise SpecInvalid(
                f"{label}: a symbolic link to {str(path.readlink())!r}, outside of the skill; put a copy here",
                file=label,
            )
        size, mode = path.stat().st_size, path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise SpecInvalid(f"{label}: not a regular file; allowed are files and folders", file=label)
        if size > MAX_FILE_BYTES:
            raise SpecInvalid(
                f"{label}: {size} bytes; allowed are {MAX_FILE_BYTES}. Keep data outside of the skill", file=label
            )
        return path.read_bytes()
    except UnicodeEncodeError:
        raise SpecInvalid(f"{label!r}: a file name that is not UTF-8; rename it", file=label) from None
    except (OSError, RuntimeError) as exc:
        raise SpecInvalid(f"{label}: cannot be read: {exc}", file=label) from None


def read_text(files: dict[str, bytes], label: str) -> SkillText:
    """
    Raises:
        SpecInvalid: neither file is there, or one does not parse.
    """
    markdown = next((name for name in MARKDOWN if name in files), None)
    side = next((name for name in SIDE if name in files), None)
    if markdown is None and side is None:
        raise SpecInvalid(
            f"{label}: neither SKILL.md nor skill.yaml is here; one of them makes a folder a skill", file=label
        )
    typed = None if side is None else read_mapping(text_of(files[side], f"{label}/{side}"), f"{label}/{side}")
    if markdown is None:
        return SkillText(None, typed)
    front, body, warnings = _markdown(
        text_of(files[markdown], f"{label}/{markdown}"), f"{label}/{markdown}", typed is not None
    )
    return SkillText(front, typed, body, warnings)


def body_of(data: bytes) -> str:
    """The instructions in a SKILL.md that has been read before."""
    return _markdown(text_of(data, "SKILL.md"), "SKILL.md", has_side=True)[1]


def text_of(data: bytes, file: str) -> str:
    """UTF-8 with any newlines.

    Raises:
        SpecInvalid: it is something else; says at which byte.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise SpecInvalid(
            f"{file}: byte {data[exc.start]:#04x} at offset {exc.start} is not UTF-8; save the file as UTF-8", file=file
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _markdown(text: str, file: str, has_side: bool) -> tuple[Document | None, str, list[str]]:
    """Front matter, body and warnings. Without front matter the whole text is body, if skill.yaml says the rest."""
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines[start].rstrip() != "---":
        if has_side:
            return None, text.strip(), [f"{file}: no front matter; skill.yaml speaks for it"]
        found = shown(lines[start][:80])
        raise SpecInvalid(
            f"{file}:{start + 1}: found {found}; the first line must be '---', with name and description below",
            file=file,
            line=start + 1,
        )
    end, warnings = _end_of_front(lines, start, file)
    document = read_mapping("\n".join(lines[start + 1 : end]), file, first_line=start + 2)
    rest = lines[end + 1 :] if end < len(lines) and _is_fence(lines[end]) else lines[end:]
    if len(rest) > _BODY_LINES:
        warnings.append(
            f"{file}: {len(rest)} lines of instructions; above {_BODY_LINES}, better move parts to references/"
        )
    return document, "\n".join(rest).strip(), warnings


def _end_of_front(lines: list[str], start: int, file: str) -> tuple[int, list[str]]:
    for number in range(start + 1, len(lines)):
        if _is_fence(lines[number]):
            return number, []
    ends = (
        number for number in range(start + 1, len(lines)) if not lines[number].strip() or lines[number].startswith("#")
    )
    return next(ends, len(lines)), [
        f"{file}:{start + 1}: the front matter has no closing '---'; read up to the first empty line"
    ]


def _is_fence(line: str) -> bool:
    return line.rstrip() in ("---", "...")
