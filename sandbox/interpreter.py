"""Find a Python that a box can use, and the files that make it up.

Never the worker's own environment: only interpreter, standard library and shared objects go into a box.
"""

import asyncio
import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import NoIsolation

OLDEST = (3, 11)

# Asked of the interpreter itself, so that pyenv, uv, distributions and own builds all answer for their own layout.
_QUESTION = """
import os, sys, sysconfig, json
import asyncio, ctypes, resource, struct, zoneinfo
folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
print(json.dumps({
    "version": sys.version_info[:3],
    "path": os.path.realpath(sys.executable),
    "stdlib": list(dict.fromkeys(os.path.realpath(folder) for folder in folders)),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """`binds` are pairs (path here, path in the box); `hidden` are folders inside of them that a box must not see."""

    path: str
    version: str
    binds: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]


def candidates(wanted: str | None) -> list[str]:
    if wanted:
        return [wanted]
    own = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    return [*(f"/usr/bin/python3{minor}" for minor in (".13", ".12", ".11", "")), own]


async def find(wanted: str | None, uid: int | None) -> Interpreter:
    """The first usable interpreter: `wanted`, or else those of the system, or else the one below the worker's.

    `uid` is the user that boxes run as, where that is not our own.

    Raises:
        NoIsolation: none will do; lists what was looked at, and what is wrong with each.
    """
    looked = []
    for path in candidates(wanted):
        problem, interpreter = await asyncio.to_thread(_examine, path, uid)
        if interpreter:
            return interpreter
        looked.append(f"{path}: {problem}")
    raise NoIsolation(
        f"no Python for the sandbox: it must be 3.11 or newer, complete, and readable by {_who(uid)}. "
        f"Looked at {'; '.join(looked)}. Install one (apt-get install python3), or set SANDBOX_PYTHON_PATH"
    )


def _examine(path: str, uid: int | None) -> tuple[str, Interpreter | None]:
    if not Path(path).is_absolute():
        return "an absolute path is expected", None
    try:
        asked = _run([path, "-I", "-S", "-c", _QUESTION], uid)
    except FileNotFoundError:
        return "not there", None
    except (OSError, subprocess.TimeoutExpired) as exc:
        return _refusal(exc, Path(path), uid), None
    if asked.returncode:
        return f"not complete: {asked.stderr.strip()[-200:]}", None
    facts = json.loads(asked.stdout)
    version = ".".join(map(str, facts["version"]))
    if tuple(facts["version"][:2]) < OLDEST:
        return f"is {version}", None
    return "", _described(facts, version, uid)


def _run(argv: list[str], uid: int | None) -> subprocess.CompletedProcess[str]:
    """Run as the user that boxes run as: what it can read and execute, a box can."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment, cwd="/", **identity(uid))


def identity(uid: int | None) -> dict[str, Any]:
    """Options of subprocess.Popen to become that user, with no group but its own."""
    return {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}


def _described(facts: dict[str, Any], version: str, uid: int | None) -> Interpreter:
    path, folders = facts["path"], [Path(folder) for folder in facts["stdlib"]]
    objects = [path, *sorted(str(found) for folder in folders for found in (folder / "lib-dynload").glob("*.so"))]
    binds = [(path, path), *((str(folder), str(folder)) for folder in folders)]
    packages = (folder / name for folder in folders for name in ("site-packages", "dist-packages"))
    return Interpreter(
        path=path,
        version=version,
        binds=(*binds, *shared_objects(objects, uid)),
        hidden=tuple(str(folder) for folder in packages if folder.is_dir()),
    )


def shared_objects(files: Iterable[str], uid: int | None) -> Iterable[tuple[str, str]]:
    """What programs and libraries load: pairs (path here, path in the box).

    Each where it is, and again beside libc: the loader in a box has no cache to find them with.
    """
    if not (named := list(files)):
        return []
    found = sorted(set(re.findall(r"(/\S+\.so\S*) \(", _run(["ldd", *named], uid).stdout)))
    standard = {os.path.dirname(path) for path in found if os.path.basename(path).startswith("libc.")}  # noqa: PTH119, PTH120
    places: dict[str, str] = {}
    for path in found:
        places[os.path.normpath(path)] = os.path.realpath(path)
    for path in found:
        for folder in standard:
            places.setdefault(f"{folder}/{os.path.basename(path)}", os.path.realpath(path))  # noqa: PTH119
    return [(here, there) for there, here in places.items()]


def _refusal(exc: Exception, path: Path, uid: int | None) -> str:
    if isinstance(exc, OSError) and exc.errno in (errno.EPERM, errno.EINVAL):
        return f"this process may not become uid {uid}; run the worker as another user than root"
    return closed_at(path, uid) or str(exc)


def closed_at(path: Path, uid: int | None) -> str:
    """Which folder above `path` that user may not pass, in words; "" if none."""
    user = os.geteuid() if uid is None else uid
    for folder in reversed(path.parents):
        found = folder.stat()
        bit = 0o100 if found.st_uid == user else 0o010 if found.st_gid == user else 0o001
        if not found.st_mode & bit:
            return f"{folder} is closed to {_who(uid)}"
    return ""


def _who(uid: int | None) -> str:
    return "this user" if uid is None else f"uid {uid} (boxes of a worker that is root run as it)"
