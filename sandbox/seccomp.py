"""The two seccomp filters of a box, assembled by hand (classic BPF), so that no libseccomp is needed.

Stage 1 is given to bubblewrap and holds for everything inside. Stage 2 is installed by the guest once it is up,
and takes away what only starting needed: exec and fork. See seccomp(2) and linux/seccomp.h.
"""

import errno
import functools
import json
import platform
import struct
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import NoIsolation, shown

LOAD, JUMP_EQUAL, JUMP_GREATER, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

# Offsets into struct seccomp_data. Of an argument only the low word is read: the kernel itself cuts the
# arguments that are looked at here (clone flags, socket domain, request of ioctl and fcntl, pid) to 32 bits.
NUMBER, ARCHITECTURE, ARGUMENT_0, ARGUMENT_1, ARGUMENT_2 = 0, 4, 16, 24, 32

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT = 0x40000000

CLONE_NEWTIME, CLONE_NEWNS, CLONE_THREAD, CLONE_FILES = 0x00000080, 0x00020000, 0x00010000, 0x00000400
CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
NEW_NAMESPACE = (
    CLONE_NEWTIME | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID
) | CLONE_NEWNET

AF_UNIX = 1
SOCK_DGRAM_BIT = 2
"""Set in SOCK_DGRAM and SOCK_RAW, not in SOCK_STREAM and SOCK_SEQPACKET."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, RLIMIT_NPROC = 1, 4, 22, 6
CLOSE_RANGE_UNSHARE = 2
PID = 0x7FFF1DAB
"""No process has that number (the highest is 2^22): a mark to be replaced."""
IOCTLS = {
    "TCGETS": 0x5401,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}
"""What CPython asks of a descriptor: is it a terminal, how wide, how much is there, and its flags."""
FCNTLS = {"F_SETOWN": 8, "F_SETSIG": 10, "F_SETOWN_EX": 15, "F_SETLEASE": 1024, "F_NOTIFY": 1026, "F_SETPIPE_SZ": 1031}
"""Refused: signals to others through a descriptor's owner, holding up who opens a file, and 1 MB of kernel a pipe."""

ALLOWED = {
    "files": """
        read write open openat openat2 close close_range stat fstat lstat newfstatat statx lseek pread64
        pwrite64 readv writev preadv pwritev preadv2 pwritev2 access faccessat faccessat2 pipe pipe2 dup
        dup2 dup3 fcntl flock fsync fdatasync truncate ftruncate getdents getdents64 getcwd chdir fchdir
        rename renameat renameat2 mkdir mkdirat rmdir creat link linkat unlink unlinkat symlink symlinkat
        readlink readlinkat chmod fchmod fchmodat fchmodat2 umask utime utimes utimensat futimesat statfs
        fstatfs sendfile copy_file_range fallocate fadvise64 getxattr lgetxattr fgetxattr listxattr
        llistxattr flistxattr chown fchown lchown fchownat
    """,
    "memory": "mmap mprotect munmap brk mremap msync madvise membarrier",
    "itself": """
        getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp
        getsid setsid setpgid uname sysinfo getrusage getrlimit setrlimit prlimit64 getpriority getcpu
        getrandom prctl seccomp arch_prctl exit exit_group wait4 waitid fork vfork execve restart_syscall
    """,
    "threads": """
        futex futex_waitv set_robust_list get_robust_list set_tid_address rseq sched_yield sched_getaffinity
        sched_getparam sched_getscheduler
    """,
    "signals": """
        rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait rt_sigqueueinfo
        sigaltstack kill tgkill tkill pause signalfd4
    """,
    "time": """
        alarm setitimer getitimer nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time
        times timer_create timer_settime timer_gettime timer_getoverrun timer_delete timerfd_create
        timerfd_settime timerfd_gettime
    """,
    "waiting": """
        eventfd eventfd2 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait poll ppoll select
        pselect6
    """,
    "sockets": """
        sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown getsockname getpeername getsockopt setsockopt
    """,
}
"""What CPython and its standard library use. Not here, so refused: ptrace, mount, unshare, setns, bpf, io_uring,
keyctl, userfaultfd, perf_event_open, memfd_create, process_vm_*, pidfd_*, SysV IPC, set*id, chroot."""


class Instruction(NamedTuple):
    """One `struct sock_filter`. The jumps count from the next instruction."""

    code: int
    value: int
    if_true: int = 0
    if_false: int = 0

    def packed(self) -> bytes:
        return struct.pack("<HBBI", self.code, self.if_true, self.if_false, self.value)


def stage1(arch: str | None = None) -> bytes:
    """Filter for everything in the box: an allowlist; EPERM for the rest.

    Raises:
        NoIsolation: there is no table for this machine (known: x86_64, aarch64).
    """
    rules = _Rules(arch)
    # Its flags lie in memory, where no filter can look; with ENOSYS libc falls back to clone.
    rules.on("clone3", _refuse(errno.ENOSYS))
    # A new user namespace would give back the capabilities that were dropped.
    rules.on("clone", _if_any_bit(ARGUMENT_0, NEW_NAMESPACE, then=errno.EPERM))
    # AF_VSOCK is not bound to a network namespace; netlink, packet and alg are kernel attack surface.
    # Not AF_UNIX either: what waits in the queue of a listener is kernel memory that no limit of a process counts.
    rules.on("socket", _refuse(errno.EAFNOSUPPORT))
    # A pair is enough for asyncio. Datagrams could be sent to any socket of the machine that has a path.
    rules.on("socketpair", _one_kind_of_pair())
    # Requests without number: terminals that the worker may sit on, file systems, whatever a driver offers.
    rules.on("ioctl", _unless_any_equal(ARGUMENT_1, tuple(IOCTLS.values()), then=errno.EPERM))
    rules.on("fcntl", _if_any_equal(ARGUMENT_1, tuple(FCNTLS.values()), then=errno.EPERM))
    # A thread with descriptors of its own: the limit on their number would hold once for each thread.
    rules.on("close_range", _if_any_bit(ARGUMENT_2, CLOSE_RANGE_UNSHARE, then=errno.EPERM))
    # Limits of another process (of a worker with our uid, say) are not a box's to set.
    rules.on("prlimit64", _unless_equal(ARGUMENT_0, 0, then=errno.EPERM))
    # It ends a box whose worker is gone.
    rules.on("prctl", _if_any_equal(ARGUMENT_0, (PR_SET_PDEATHSIG,), then=errno.EPERM))
    for names in ALLOWED.values():
        for name in names.split():
            rules.on(name, [Instruction(RETURN, ALLOW)])
    # Newer than our tables: libc takes ENOSYS, but not EPERM, as the sign to use an older call.
    rules.above_all_known(_refuse(errno.ENOSYS))
    return rules.ending_with(_refuse(errno.EPERM))


def stage2(arch: str | None = None) -> bytes:
    """Filter for a running program: no new process, no new program; threads stay possible.

    It is what makes limits per process (address space) limits of the whole box, without cgroups.

    Raises:
        NoIsolation: there is no table for this machine (known: x86_64, aarch64).
    """
    rules = _Rules(arch)
    # Nothing to execute is in the box, but a program could write it.
    rules.on("execve", _refuse(errno.EPERM))
    rules.on("execveat", _refuse(errno.EPERM))
    # A fork bomb, a daemon, or RLIMIT_AS once per process.
    rules.on("fork", _refuse(errno.EPERM))
    rules.on("vfork", _refuse(errno.EPERM))
    rules.on("clone3", _refuse(errno.ENOSYS))
    rules.on("clone", _threads_only())
    # A filter of its own could log each call to the machine's audit log, and take kernel memory that nobody counts.
    rules.on("seccomp", _refuse(errno.EPERM))
    rules.on("prctl", _if_any_equal(ARGUMENT_0, (PR_SET_SECCOMP,), then=errno.EPERM))
    return rules.ending_with([Instruction(RETURN, ALLOW)])


def without_namespaces(own_user: bool, arch: str | None = None) -> bytes:
    """Filter that stands in for the namespaces of a box: it can reach only its own process, and what it made itself.

    `PID` in it stands for the number of the process that installs it. Without a user of its own (`own_user`), a limit
    on processes would count those of the worker too, so that one is not set.

    Raises:
        NoIsolation: there is no table for this machine (known: x86_64, aarch64).
    """
    rules = _Rules(arch)
    for name in ("kill", "tgkill", "rt_sigqueueinfo"):
        rules.on(name, _unless_equal(ARGUMENT_0, PID, then=errno.EPERM))
    rules.on("tkill", _refuse(errno.EPERM))
    # One process, from the start: it is all that a kill has to reach, and all that a watchdog has to look at.
    rules.on("fork", _refuse(errno.EPERM))
    rules.on("vfork", _refuse(errno.EPERM))
    rules.on("clone", _threads_only())
    # With another file's descriptor in flight, a file without a name escapes who counts what is on the disk.
    for name in ("sendmsg", "sendmmsg"):
        rules.on(name, _refuse(errno.EPERM))
    for name in ("getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr"):
        rules.on(name, _refuse(errno.EOPNOTSUPP))
    # It would hide the open files of the box from a worker of the same user.
    rules.on("prctl", _if_any_equal(ARGUMENT_0, (PR_SET_DUMPABLE, PR_SET_PDEATHSIG), then=errno.EPERM))
    if not own_user:
        _leave_the_workers_files_alone(rules)
        rules.on("prlimit64", _ignore_setting(RLIMIT_NPROC))
    return rules.ending_with([Instruction(RETURN, ALLOW)])


def _leave_the_workers_files_alone(rules: "_Rules") -> None:
    """Landlock guards no modes, owners and times. Who copies a file sets its mode, so that does as if."""
    for name in ("chmod", "fchmod", "fchmodat", "fchmodat2"):
        rules.on(name, _refuse(0))
    for name in ("chown", "fchown", "lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat"):
        rules.on(name, _refuse(errno.EPERM))


class _Rules:
    """A filter in the making. Each rule is a closed block: it decides its system call, or is jumped over."""

    def __init__(self, arch: str | None) -> None:
        arch = arch or platform.machine()
        self._numbers = numbers(arch)
        # A call through another ABI (int 0x80, x32) has other numbers: no rule below would mean what it says.
        self._code = [
            Instruction(LOAD, ARCHITECTURE),
            Instruction(JUMP_EQUAL, AUDIT_ARCH[arch], if_true=1),
            Instruction(RETURN, KILL_PROCESS),
            Instruction(LOAD, NUMBER),
        ]
        if arch == "x86_64":
            self._code += [Instruction(JUMP_GREATER, X32_BIT - 1, if_false=1), Instruction(RETURN, KILL_PROCESS)]

    def on(self, name: str, block: list[Instruction]) -> None:
        """Decide a call by name. A call that this machine does not have (fork on aarch64) needs no rule."""
        if name in self._numbers:
            self._code += [Instruction(JUMP_EQUAL, self._numbers[name], if_false=len(block)), *block]

    def above_all_known(self, block: list[Instruction]) -> None:
        self._code += [Instruction(JUMP_GREATER, max(self._numbers.values()), if_false=len(block)), *block]

    def ending_with(self, block: list[Instruction]) -> bytes:
        return b"".join(instruction.packed() for instruction in [*self._code, *block])


def _refuse(number: int) -> list[Instruction]:
    return [Instruction(RETURN, ERRNO | number)]


def _if_any_bit(offset: int, bits: int, then: int) -> list[Instruction]:
    test = Instruction(JUMP_ANY_BIT, bits, if_true=0, if_false=1)
    return [Instruction(LOAD, offset), test, *_refuse(then), Instruction(RETURN, ALLOW)]


def _threads_only() -> list[Instruction]:
    """A thread shares address space, descriptors and their limits; anything else that clone makes is a process."""
    return [
        Instruction(LOAD, ARGUMENT_0),
        Instruction(JUMP_ANY_BIT, CLONE_THREAD, if_false=1),
        Instruction(JUMP_ANY_BIT, CLONE_FILES, if_true=1),
        *_refuse(errno.EPERM),
        Instruction(RETURN, ALLOW),
    ]


def _unless_equal(offset: int, value: int, then: int) -> list[Instruction]:
    test = Instruction(JUMP_EQUAL, value, if_true=1, if_false=0)
    return [Instruction(LOAD, offset), test, *_refuse(then), Instruction(RETURN, ALLOW)]


def _ignore_setting(limit: int) -> list[Instruction]:
    """To setting this limit, "done"; asking for it stays possible."""
    return [
        Instruction(LOAD, ARGUMENT_1),
        Instruction(JUMP_EQUAL, limit, if_false=3),
        Instruction(LOAD, ARGUMENT_2),
        Instruction(JUMP_EQUAL, 0, if_true=1),
        *_refuse(0),
        Instruction(RETURN, ALLOW),
    ]


def _one_kind_of_pair() -> list[Instruction]:
    family = _unless_equal(ARGUMENT_0, AF_UNIX, then=errno.EAFNOSUPPORT)
    return [*family[:-1], *_if_any_bit(ARGUMENT_1, SOCK_DGRAM_BIT, then=errno.EPERM)]


def _unless_any_equal(offset: int, values: tuple[int, ...], then: int) -> list[Instruction]:
    tests = [Instruction(JUMP_EQUAL, value, if_true=len(values) - at) for at, value in enumerate(values)]
    return [Instruction(LOAD, offset), *tests, *_refuse(then), Instruction(RETURN, ALLOW)]


def _if_any_equal(offset: int, values: tuple[int, ...], then: int) -> list[Instruction]:
    tests = [Instruction(JUMP_EQUAL, value, if_true=len(values) - at) for at, value in enumerate(values)]
    return [Instruction(LOAD, offset), *tests, Instruction(RETURN, ALLOW), *_refuse(then)]


def numbers(arch: str) -> dict[str, int]:
    """System call numbers by name, of those calls that a filter speaks about."""
    tables = _tables()
    if arch not in tables:
        raise NoIsolation(f"no system call table for a machine of kind {shown(arch)}; known: {', '.join(tables)}")
    return tables[arch]


@functools.cache
def _tables() -> dict[str, dict[str, int]]:
    tables: dict[str, dict[str, int]] = json.loads(Path(__file__).with_name("syscalls.json").read_text("utf-8"))
    return tables
