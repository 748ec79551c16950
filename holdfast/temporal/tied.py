"""Processes that do not outlive the one that started them, however it ends."""

import os
import sys

# Run between fork and exec, in a fresh interpreter: a Python function in a process with threads may deadlock there.
_TIE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]): sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def tied(argv: list[str]) -> list[str]:
    """The same command, killed as soon as the thread that starts it is gone. On Linux only; elsewhere unchanged.

    `argv[0]` is a path: nothing is looked up on PATH.
    """
    if sys.platform != "linux":
        return argv
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *argv]
