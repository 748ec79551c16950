"""A guest for the probe: tries to get out of its box, and tells what it could. Standard library only.

Its frames are short, so it needs only the simple half of the channel's rules (see sandbox/channel.py).
"""

import contextlib
import ctypes
import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


host_files: list[str] = []
"""Told by the job: what a file of the host's is depends on the adapter."""


def see_a_host_file() -> bool:
    return any(Path(path).exists() for path in host_files)


def read_a_host_file() -> bool:
    for path in host_files:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDONLY))
            return True
    return False


def open_a_network_socket() -> bool:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    return True


def write_outside_the_workspace() -> bool:
    for folder in (Path("/"), Path("/dev"), Path("/usr"), Path(os.__file__).parent):
        with contextlib.suppress(OSError):
            (folder / "escaped").touch()
            return True
    return False


def start_a_process() -> bool:
    if os.fork() == 0:
        os._exit(0)
    return True


def execute_a_file() -> bool:
    os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    return True


def reach_an_inherited_descriptor() -> bool:
    """Beside the three of its channel."""
    for fd in range(3, 256):
        try:
            os.fstat(fd)
        except OSError:
            continue
        return True
    return False


ATTEMPTS = (
    reach_an_inherited_descriptor,
    see_a_host_file,
    read_a_host_file,
    open_a_network_socket,
    write_outside_the_workspace,
    start_a_process,
    execute_a_file,
)


def succeeded(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except OSError:
        return False


def lock_down(job: dict[str, Any]) -> None:
    for name, value in job["rlimits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    code = bytes.fromhex(job["filter"])

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    program = Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the second filter was not accepted")


def good_program() -> int:
    """Threads, files and arithmetic: what a program must be able to do."""
    squares: list[int] = []
    thread = threading.Thread(target=lambda: squares.extend(n * n for n in range(10)))
    thread.start()
    thread.join()
    file = Path("squares")
    file.write_text(json.dumps(squares), "utf-8")
    return sum(json.loads(file.read_text("utf-8")))


def send(frame: dict[str, Any]) -> None:
    data = b"\x1eHF1 " + json.dumps(frame).encode("ascii") + b"\n"
    while data:
        data = data[os.write(1, data) :]


def main() -> None:
    send({"t": "ready"})
    job = json.loads(sys.stdin.readline().partition(" ")[2])
    lock_down(job)
    host_files.extend(job["host_files"])
    names = {attempt: attempt.__name__.replace("_", " ") for attempt in ATTEMPTS}
    escaped = [names[attempt] for attempt in ATTEMPTS if succeeded(attempt)]
    held = [name for name in names.values() if name not in escaped]
    send({"t": "done", "escaped": escaped, "held": held, "environment": list(os.environ), "result": good_program()})


if __name__ == "__main__":
    main()
