"""Process 1 of a docker box. Standard library only; the engine gets it as `python -c`, the guest comes by stdin.

It starts the guest under the first filter, ends the box when the worker is gone, and keeps the workspace for export
once the guest has ended: with its last process a container loses its tmpfs.
"""

import ctypes
import os
import select
import signal
import sys
import types

HOST_GONE = 86
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 38, 22, 2

libc = ctypes.CDLL(None, use_errno=True)


class Filter(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def main() -> None:
    """Returns in the child only, whose program is the guest."""
    code, source, last_word = (take(int(take(8))) for _ in range(3))
    # The guest has our uid: so that it can neither trace us nor read our environment.
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    child = os.fork()
    if child:
        keep(child, woken, last_word)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.close(woken)
    os.close(wake)
    confine(code)
    become(source)


def take(size: int) -> bytes:
    """Unbuffered: what follows is for the guest."""
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(HOST_GONE)
        data += piece
    return data


def keep(child: int, woken: int, last_word: bytes) -> None:
    """Never returns: ends with the worker, or is ended by it."""
    poll = select.poll()
    # No event asked for: of the guest's stdin only the end of the other side is told.
    poll.register(0, 0)
    poll.register(woken, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == 0:
                os._exit(HOST_GONE)
            os.read(woken, 4096)
            reap(child, last_word)


def reap(child: int, last_word: bytes) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == child:
            tell(os.waitstatus_to_exitcode(status), last_word)


def tell(code: int, last_word: bytes) -> None:
    """On stdout, behind all that the guest wrote: the engine ends the stream with the container only."""
    if code == -signal.SIGKILL:
        # Perhaps for want of memory: the engine knows, and tells it of a container that has ended.
        os._exit(128 + signal.SIGKILL)
    os.write(1, last_word + b"%d\n" % (code if code >= 0 else 128 - code))


def confine(code: bytes) -> None:
    """The first filter, on top of the engine's own; and only the variables that argv names."""
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    program = Filter(len(code) // 8, code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the first filter was not accepted")
    for name in set(os.environ) - set(sys.argv[1:]):
        del os.environ[name]
    # The engine needed it, to find Python.
    os.environ["PATH"] = "/nonexistent"


def become(source: bytes) -> None:
    sys.argv[:] = ["/guest.py"]
    sys.excepthook = told
    module = types.ModuleType("__main__")
    module.__file__ = "/guest.py"
    sys.modules["__main__"] = module
    exec(compile(source, "/guest.py", "exec"), vars(module))  # noqa: S102 (the guest is ours)


def told(kind: type[BaseException], exc: BaseException, trace: types.TracebackType | None) -> None:
    """As ever, without our own lines."""
    while trace and trace.tb_frame.f_code.co_filename == tell.__code__.co_filename:
        trace = trace.tb_next
    sys.__excepthook__(kind, exc.with_traceback(trace), trace)


if __name__ == "__main__":
    main()
