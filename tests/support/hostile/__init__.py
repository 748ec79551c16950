"""Programs that try to get out of a box, by kind: name -> text. They are given `inputs`, where the canaries are.

What a program prints is no evidence; only a canary's text in it is. `look()` says that it has done what it can, and
waits to be looked at from outside.
"""

from tests.support.hostile import (
    channel,
    exhaustion,
    frames,
    kernel,
    life,
    machinery,
    network,
    paths,
    secrets,
    tricks,
)

PRELUDE = """
import ctypes, gc, json, mmap, os, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def attempt(*things):
    for thing in things:
        try:
            print(thing(), flush=True)
        except BaseException as exc:
            print(type(exc).__name__, flush=True)

def call(number, *arguments):
    found = libc.syscall(number, *arguments)
    return found if found >= 0 else os.strerror(ctypes.get_errno())

def look():
    print("LOOK", flush=True)
    threading.Event().wait(20)
"""
PROGRAMS: dict[str, str] = {
    f"{kind.__name__.rpartition('.')[2]}: {name}": text
    for kind in (secrets, paths, network, kernel, exhaustion, life, channel, tricks, frames, machinery)
    for name, text in kind.PROGRAMS.items()
}
