"""bubblewrap's options for the `exec` profile: all of the system's programs, read-only."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from holdfast.errors import shown
from sandbox.bwrap import DEVICES, Bwrap

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/ws",
    "TMPDIR": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "USER": "program",
    "LOGNAME": "program",
    "SHELL": "/bin/sh",
}
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives")
ACCOUNTS = {
    "/etc/passwd": b"root:x:0:0::/:/bin/false\nprogram:x:1000:1000::/ws:/bin/sh\n",
    "/etc/group": b"root:x:0:\nprogram:x:1000:\n",
    "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}
TMP_BYTES = 64 << 20

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class CommandLimits:
    """Bounds of one command and all that it starts. `cpu_seconds` is of each of its processes.

    `memory_bytes` counts what lies in /tmp too, and in /ws where that is no folder of the caller's. `disk_bytes`
    bounds /ws; `inodes` only a folder of the caller's.
    """

    wall_seconds: float = 60.0
    cpu_seconds: int = 60
    memory_bytes: int = 512 << 20
    disk_bytes: int = 64 << 20
    output_bytes: int = 8 << 20
    processes: int = 64
    open_files: int = 256
    inodes: int = 10_000


@dataclass(frozen=True)
class Command:
    """What to run: words, or a text for /bin/sh.

    `files` are put into an otherwise empty /ws, by relative path, all of them executable. Or `workspace`, a folder of
    the uid that commands run as, becomes /ws, and what is written there stays. `cwd` is relative to /ws. `environment`
    is all that a command sees of the outside; what a caller passes, it grants.
    """

    run: str | Sequence[str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    workspace: Path | None = None
    cwd: str = "."
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    limits: CommandLimits = field(default_factory=CommandLimits)

    def __post_init__(self) -> None:
        if self.workspace and self.files:
            raise ValueError("a command has files or a workspace, not both: put the files into the workspace")
        for path in (*self.files, self.cwd):
            if path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path:
                raise ValueError(
                    f"a command's paths lie in its workspace; found {shown(path)}, allowed is like 'a/b.sh'"
                )
        for name, value in self.environment.items():
            if not _NAME.fullmatch(name) or "\0" in value:
                raise ValueError(
                    f"a command's environment: {shown(name)} is no name of a variable, or its value has a NUL"
                )

    @property
    def words(self) -> list[str]:
        return ["/bin/sh", "-c", self.run] if isinstance(self.run, str) else list(self.run)


@dataclass(frozen=True)
class Pipes:
    """Descriptors that bubblewrap inherits: the filter, where it reports the pid to, and what it waits for."""

    filter: int
    info: int
    go: int


def options(bwrap: Bwrap, command: Command, pipes: Pipes, contents: Mapping[str, int]) -> list[str]:
    """All before the command. `contents` are paths in the box and descriptors to read them from."""
    line = [*_namespaces(bwrap), *_system(), *_devices()]
    line += _files(contents, "0444", "--ro-bind-data", inside=False)
    line += _workspace(command)
    line += _files(contents, "0700", "--file", inside=True)
    line += ["--remount-ro", "/", "--chdir", str(PurePosixPath("/ws") / command.cwd), "--clearenv"]
    for name, value in {**ENVIRONMENT, **command.environment}.items():
        line += ["--setenv", name, value]
    return [*line, "--seccomp", str(pipes.filter), "--info-fd", str(pipes.info), "--block-fd", str(pipes.go)]


def limited(command: Command) -> list[str]:
    """The command below a shell that sets the rlimits, which hold for all that it starts, and is pid 1."""
    limits = command.limits
    # dash calls the number of processes -p, where bash says -u. -f counts in 512 bytes in dash, in 1024 in bash.
    script = (
        f"{{ ulimit -u {limits.processes} || ulimit -p {limits.processes}; }} 2>/dev/null && "
        f"ulimit -n {limits.open_files} && ulimit -t {limits.cpu_seconds} && ulimit -c 0 && ulimit -l 0 && "
        f"ulimit -f {max(1, limits.disk_bytes // 512)} || exit 125; "
        '"$@"; exit $?'
    )
    return ["/bin/sh", "-c", script, "sh", *command.words]


def _files(contents: Mapping[str, int], mode: str, kind: str, inside: bool) -> list[str]:
    found = [(path, fd) for path, fd in contents.items() if path.startswith("/ws/") == inside]
    return [word for path, fd in found for word in ("--perms", mode, kind, str(fd), path)]


def _namespaces(bwrap: Bwrap) -> list[str]:
    line = [f"--unshare-{name}" for name in ("user", "pid", "net", "ipc", "uts", "cgroup-try")]
    if bwrap.can_disable_userns:
        line.append("--disable-userns")
    line += ["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "sandbox"]
    # Its own pid 1 it would not wait for: a zombie for each command, where the init of the machine does not care.
    return [*line, "--die-with-parent", "--new-session", "--as-pid-1"]


def _system() -> list[str]:
    """No --proc: it tells of the machine, and containers do not allow it."""
    line = ["--ro-bind", "/usr", "/usr"]
    for name in SYSTEM:
        here = Path("/", name)
        if here.is_symlink():
            line += ["--symlink", os.readlink(here), str(here)]  # noqa: PTH115
        elif here.is_dir():
            line += ["--ro-bind", str(here), str(here)]
    return [*line, *(word for path in SETTINGS for word in ("--ro-bind-try", path, path))]


def _devices() -> list[str]:
    line = ["--size", "65536", "--tmpfs", "/dev"]
    for name in DEVICES:
        line += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    line += ["--symlink", "/tmp", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    return [*line, "--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]  # noqa: S108


def _workspace(command: Command) -> list[str]:
    if command.workspace:
        return ["--bind", str(command.workspace.resolve()), "/ws"]
    return ["--perms", "0700", "--size", str(command.limits.disk_bytes), "--tmpfs", "/ws"]
