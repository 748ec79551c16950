"""What runs between the worker and a Landlock box's guest: it shuts the doors behind itself, then becomes the guest.

Standard library only; started as `python -c <this text> <plan as JSON>`, by the user that the box runs as. A plan has
`parent` (pid), `read`, `folders`, `run` and `write` (paths), `filters` (hex, in order), `environment`, `argv`.
See landlock(7), and linux/landlock.h for the numbers.
"""

import ctypes
import json
import os
import signal
import struct
import sys
from typing import Any, NoReturn

CREATE_RULESET, ADD_RULE, RESTRICT_SELF, SECCOMP = (
    (444, 445, 446, 317) if os.uname().machine == "x86_64" else (444, 445, 446, 277)
)
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
OLDEST_ABI = 3
"""Before it, truncate() reached every file of the user."""
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
PID = 0x7FFF1DAB

libc = ctypes.CDLL(None, use_errno=True)


def checked(answer: int, what: str) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        sys.exit(f"landlock: {what}: {os.strerror(number)}")
    return answer


def abi() -> int:
    return checked(libc.syscall(CREATE_RULESET, None, 0, 1), "this kernel has none, or it is switched off")


def restrict(plan: dict[str, Any]) -> None:
    """From here on this process reaches the plan's paths, no TCP, no abstract socket and no other process."""
    version = abi()
    if version < OLDEST_ABI:
        sys.exit(f"landlock: version {version} of its interface; {OLDEST_ABI} (Linux 6.2) or newer is needed")
    known = (1 << 16) - 1 if version >= 5 else (1 << 15) - 1
    attributes = struct.pack("QQQ", known, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = checked(libc.syscall(CREATE_RULESET, attributes, size, 0), "no rules")
    everything = known & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK | MAKE_SOCK | IOCTL_DEV)
    for key, access in {
        "read": READ_FILE | READ_DIR,
        "folders": READ_DIR,
        "run": READ_FILE | EXECUTE,
        "write": everything,
    }.items():
        for path in plan[key]:
            allow(rules, path, access)
    checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    checked(libc.syscall(RESTRICT_SELF, rules, 0), "not restricted")
    os.close(rules)


def allow(rules: int, path: str, access: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = struct.pack("=Qi", access if os.path.isdir(path) else access & OF_FILES, fd)  # noqa: PTH112
    checked(libc.syscall(ADD_RULE, rules, 1, rule, 0), f"no rule for {path}")
    os.close(fd)


def filter_calls(code: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    own = b"".join(
        struct.pack("<HBBI", *rest, os.getpid() if value == PID else value)
        for *rest, value in struct.iter_unpack("<HBBI", code)
    )
    program = ctypes.byref(Program(len(own) // 8, own))
    checked(libc.syscall(SECCOMP, 1, 1, program), "seccomp filter")


def main() -> NoReturn:
    plan = json.loads(sys.argv[1])
    checked(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "not to end with the worker")
    if os.getppid() != plan["parent"]:
        sys.exit("landlock: the worker is gone already")
    os.umask(0o077)
    restrict(plan)
    for code in plan["filters"]:
        filter_calls(bytes.fromhex(code))
    os.execve(plan["argv"][0], plan["argv"], plan["environment"])  # noqa: S606


if __name__ == "__main__":
    main()
