"""What the engine is asked for: a container, in the words of its API, and what goes to its process 1 first."""

import hashlib
import itertools
import secrets
from pathlib import Path
from typing import Any

from sandbox import bwrap, docker_keeper, seccomp
from sandbox.base import BoxSpec
from sandbox.bwrap import PYTHON_OPTIONS
from sandbox.lockdown import MEMORY_HEADROOM_BYTES
from sandbox.packages import IN_BOX

LABEL_BOX, LABEL_WORKER = "holdfast.box", "holdfast.worker"

_FIRST_UID, _LAST_UID, GID = 61001, 64999, 61001
# Without a user namespace RLIMIT_NPROC counts all processes of a user on the machine: each box is one of its own.
_uids = itertools.cycle(range(_FIRST_UID, _LAST_UID + 1))
for _ in range(secrets.randbelow(_LAST_UID - _FIRST_UID)):
    next(_uids)

_PROCESSES = 80
"""Beside the guest's 64 threads: process 1, and the reader of an export."""
_KEEPER = Path(docker_keeper.__file__)
_PATH = "/usr/local/bin:/usr/bin:/bin"


def container(spec: BoxSpec, image: str, runtime: str, worker: str, packages: Path | None = None) -> dict[str, Any]:
    """Body of `POST /containers/create`."""
    variables = {**bwrap.ENVIRONMENT, **spec.environment, "PATH": _PATH}
    uid = next(_uids)
    return {
        "Image": image,
        "Entrypoint": ["python3", *PYTHON_OPTIONS, "-c", _KEEPER.read_text("utf-8")],
        "Cmd": list(variables),
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "User": f"{uid}:{GID}",
        "WorkingDir": "/ws",
        "Hostname": "sandbox",
        "NetworkDisabled": True,
        "OpenStdin": True,
        # When our stream ends, so does its stdin, and process 1 with it: no box outlives its worker.
        "StdinOnce": True,
        **{f"Attach{name}": True for name in ("Stdin", "Stdout", "Stderr")},
        "Labels": {LABEL_BOX: spec.key or spec.name, LABEL_WORKER: worker},
        "HostConfig": _host_config(spec, uid, packages) | ({"Runtime": runtime} if runtime else {}),
    }


def _host_config(spec: BoxSpec, uid: int, packages: Path | None) -> dict[str, Any]:
    # RLIMIT_AS, set by the guest, is met first, as a MemoryError; this bounds the whole box, with its files.
    disk = spec.limits.disk_bytes
    memory = spec.limits.memory_bytes + MEMORY_HEADROOM_BYTES + disk
    return {
        "NetworkMode": "none",
        "IpcMode": "none",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Memory": memory,
        "MemorySwap": memory,
        "PidsLimit": _PROCESSES,
        "Ulimits": [{"Name": name, "Soft": most, "Hard": most} for name, most in _ULIMITS.items()],
        "Tmpfs": {"/ws": f"rw,size={disk},nr_inodes={spec.limits.inodes},mode=0700,uid={uid},gid={GID}"},
        "Mounts": [*_read_only(spec.inputs, "/ws/in"), *_read_only(packages, IN_BOX)],
        "LogConfig": {"Type": "none"},
    }


_ULIMITS = {"nofile": 256, "core": 0, "memlock": 0, "msgqueue": 0}


def _read_only(folder: Path | None, there: str) -> list[dict[str, Any]]:
    if folder is None:
        return []
    return [{"Type": "bind", "Source": str(folder.resolve()), "Target": there, "ReadOnly": True}]


def container_name(spec: BoxSpec) -> str:
    """The same for all attempts with one key: a later one finds the box of the one before, and ends it."""
    unique = hashlib.sha256(spec.key.encode()).hexdigest()[:24] if spec.key else secrets.token_hex(12)
    return f"holdfast-{unique}"


def new_last_word() -> bytes:
    """What process 1 will say when the guest has ended, before its exit code: nothing that a guest says by chance."""
    return b"\x1eend %s " % secrets.token_hex(16).encode("ascii")


def first_words(spec: BoxSpec, last_word: bytes) -> bytes:
    """What process 1 reads before the guest begins: first filter, guest, last word, each with its length before it."""
    parts = (seccomp.stage1(), spec.guest.read_bytes(), last_word)
    return b"".join(b"%08d" % len(part) + part for part in parts)
