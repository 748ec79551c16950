"""The bubblewrap command line, hardened, and what its complaints mean."""

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import NoIsolation
from sandbox.base import BoxSpec
from sandbox.interpreter import Interpreter

ENVIRONMENT = {
    "PATH": "/nonexistent",
    "HOME": "/ws",
    "TMPDIR": "/ws",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "USER": "program",
    "LOGNAME": "program",
    # Each arena reserves 64 MB of the address space that is limited: without this, 20 threads are too many.
    "MALLOC_ARENA_MAX": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}
SHARED = ("/usr/share/zoneinfo", "/usr/lib/locale/C.utf8")
DEVICES = ("null", "zero", "full", "random", "urandom")
# Not -I: it would ignore PYTHONHASHSEED. The environment is cleared anyway.
PYTHON_OPTIONS = ("-s", "-P", "-S", "-u", "-X", "utf8")

_INSTALL = "Install it: apt-get install bubblewrap (Debian, Ubuntu), dnf install bubblewrap (Fedora)"


@dataclass(frozen=True)
class Bwrap:
    """A bubblewrap that is installed here."""

    path: str
    version: str
    can_disable_userns: bool


@dataclass(frozen=True)
class Descriptors:
    """Numbers that bubblewrap inherits: the filter, the guest's source, and where it reports the pid to."""

    filter: int
    guest: int
    info: int


def find() -> Bwrap:
    """
    Raises:
        NoIsolation: it is not installed, or too old.
    """
    path = shutil.which("bwrap")
    if path is None:
        raise NoIsolation(f"bubblewrap is not installed (no 'bwrap' on PATH). {_INSTALL}")
    options = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=30).stdout
    version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30).stdout.strip()
    if "--size" not in options or "--perms" not in options:
        raise NoIsolation(f"{path} is {version}; 0.6 or newer is needed, for a workspace with a size. {_INSTALL}")
    setuid = bool(os.stat(path).st_mode & stat.S_ISUID)  # noqa: PTH116
    return Bwrap(path, version, "--disable-userns" in options and not setuid)


def command(bwrap: Bwrap, python: Interpreter, spec: BoxSpec, fds: Descriptors) -> list[str]:
    """Arguments after argv[0]. Measured in each detail; change nothing here without the escape tests."""
    line = [*_namespaces(bwrap), *_environment(spec), *_files(python, fds), *_workspace(spec)]
    # Without this the root, a tmpfs of bubblewrap's, is writable and has no size limit.
    line += ["--remount-ro", "/"]
    line += ["--seccomp", str(fds.filter), "--info-fd", str(fds.info)]
    return [*line, "--", python.path, *PYTHON_OPTIONS, "/guest.py"]


def _namespaces(bwrap: Bwrap) -> list[str]:
    unshared = ("user", "pid", "net", "ipc", "uts", "cgroup-try")
    line = [f"--unshare-{name}" for name in unshared]
    if bwrap.can_disable_userns:
        line.append("--disable-userns")
    line += ["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "sandbox"]
    return [*line, "--die-with-parent", "--new-session"]


def _environment(spec: BoxSpec) -> list[str]:
    variables = {**ENVIRONMENT, **spec.environment}
    return ["--clearenv", *(word for name, value in variables.items() for word in ("--setenv", name, value))]


def _files(python: Interpreter, fds: Descriptors) -> list[str]:
    """No --proc: nothing in CPython needs it, and it tells a lot. No --dev: its tmpfs is writable and has no limit."""
    line = [word for here, there in python.binds for word in ("--ro-bind", here, there)]
    for folder in python.hidden:
        line += ["--size", "4096", "--tmpfs", folder, "--remount-ro", folder]
    for shared in SHARED:
        line += ["--ro-bind-try", shared, shared]
    # By descriptor: the box's user need not be able to reach the file where it lies.
    line += ["--perms", "0444", "--ro-bind-data", str(fds.guest), "/guest.py"]
    line += ["--size", "65536", "--tmpfs", "/dev"]
    for name in DEVICES:
        line += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    # Semaphores lie there: in the workspace they are bounded as all that is in it.
    line += ["--symlink", "/ws", "/dev/shm"]  # noqa: S108
    return [*line, "--remount-ro", "/dev"]


def _workspace(spec: BoxSpec) -> list[str]:
    line = ["--perms", "0700", "--size", str(spec.limits.disk_bytes), "--tmpfs", "/ws"]
    if spec.inputs:
        line += ["--ro-bind", str(Path(spec.inputs).resolve()), "/ws/in"]
    return [*line, "--chdir", "/ws"]


def advice(complaint: str) -> str:
    """What to do about a start that failed, from what bubblewrap wrote."""
    if "uid map" in complaint or "RTM_NEWADDR" in complaint:
        return (
            "AppArmor keeps programs from using user namespaces (Ubuntu 23.10 and newer). Allow it for bubblewrap: "
            "apt-get install apparmor-profiles, copy bwrap-userns-restrict from "
            "/usr/share/apparmor/extra-profiles to /etc/apparmor.d, and run apparmor_parser -r on it"
        )
    if "new namespace" in complaint or "unshare" in complaint or "user namespace" in complaint:
        return (
            "No user namespaces here. In docker: run as another user than root, with a seccomp profile that allows "
            "clone, clone3, unshare, mount, umount2, pivot_root, setns and sethostname. Elsewhere: set "
            "kernel.unprivileged_userns_clone=1 (Debian), or a user.max_user_namespaces above 0, with sysctl"
        )
    if "pivot_root" in complaint:
        return "This container may not change its root. Allow pivot_root in its seccomp profile, and do not run as root"
    return ""
