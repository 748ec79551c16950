"""The filters, run by an interpreter of classic BPF: so the one for a machine that is not here is tested too."""

import errno
import struct

import pytest

from holdfast.errors import NoIsolation
from sandbox import seccomp
from sandbox.base import BoxLimits
from sandbox.lockdown import _counts_per_namespace, lockdown

ALLOWED, KILLED = "allowed", "killed"
ARCHES = ["x86_64", "aarch64"]
SIGCHLD = 17
TIOCSTI, TIOCLINUX, TIOCSETD, FIOSETOWN, FICLONE = 0x5412, 0x541C, 0x5423, 0x8901, 0x40049409
F_SETFD, F_SETFL, F_SETLK, F_GETOWN, F_DUPFD_CLOEXEC, PR_SET_NO_NEW_PRIVS = 2, 4, 6, 9, 1030, 38
THREAD = 0x3D0F00
"""What glibc's pthread_create passes to clone: VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, …"""


def verdict(code: bytes, arch: str, number: int, *arguments: int) -> str | int:
    """What the kernel would do: "allowed", "killed", or the errno."""
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<iIQ6Q", number, seccomp.AUDIT_ARCH[arch], 0, *words)
    at = accumulator = 0
    while True:
        operation, if_true, if_false, value = struct.unpack_from("<HBBI", code, at * 8)
        at += 1
        match operation:
            case seccomp.LOAD:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case seccomp.JUMP_EQUAL:
                at += if_true if accumulator == value else if_false
            case seccomp.JUMP_GREATER:
                at += if_true if accumulator > value else if_false
            case seccomp.JUMP_ANY_BIT:
                at += if_true if accumulator & value else if_false
            case seccomp.RETURN:
                return _read(value)
            case _:
                raise AssertionError(f"unknown operation {operation:#x}")


def _read(value: int) -> str | int:
    if value & 0xFFFF0000 == seccomp.ERRNO:
        return value & 0xFFFF
    return {seccomp.ALLOW: ALLOWED, seccomp.KILL_PROCESS: KILLED}[value]


def of(name: str, arch: str, *arguments: int, stage: int = 1) -> str | int:
    code = seccomp.stage1(arch) if stage == 1 else seccomp.stage2(arch)
    return verdict(code, arch, seccomp.numbers(arch)[name], *arguments)


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("name", ["read", "openat", "mmap", "futex", "getrandom", "execve", "prctl", "fchmodat2"])
def test_stage_1_allows_what_python_needs(arch, name):
    assert of(name, arch) == ALLOWED


@pytest.mark.parametrize(
    ("name", "x86_64", "aarch64"),
    [
        ("ptrace", 101, 117),
        ("mount", 165, 40),
        ("umount2", 166, 39),
        ("chroot", 161, 51),
        ("pivot_root", 155, 41),
        ("setns", 308, 268),
        ("unshare", 272, 97),
        ("bpf", 321, 280),
        ("perf_event_open", 298, 241),
        ("io_uring_setup", 425, 425),
        ("userfaultfd", 323, 282),
        ("keyctl", 250, 219),
        ("memfd_create", 319, 279),
        ("process_vm_readv", 310, 270),
        ("pidfd_getfd", 438, 438),
        ("setuid", 105, 146),
        ("shmget", 29, 194),
        ("kexec_load", 246, 104),
        ("personality", 135, 92),
    ],
)
def test_stage_1_refuses_the_calls_that_reach_the_kernel_or_others(name, x86_64, aarch64):
    found = {arch: verdict(seccomp.stage1(arch), arch, n) for arch, n in [("x86_64", x86_64), ("aarch64", aarch64)]}
    assert found == {"x86_64": errno.EPERM, "aarch64": errno.EPERM}, name


@pytest.mark.parametrize("arch", ARCHES)
def test_stage_1_makes_no_namespace(arch):
    assert of("clone", arch, SIGCHLD) == ALLOWED
    assert of("clone", arch, THREAD) == ALLOWED
    for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert of("clone", arch, bit | SIGCHLD) == errno.EPERM, hex(bit)
    assert of("clone3", arch) == errno.ENOSYS


@pytest.mark.parametrize("arch", ARCHES)
def test_stage_1_opens_no_socket_but_a_local_stream_pair(arch):
    for family in range(46):
        assert of("socket", arch, family) == errno.EAFNOSUPPORT
        assert of("socketpair", arch, family, 1) == (ALLOWED if family == 1 else errno.EAFNOSUPPORT), family
    stream, datagram, raw, seqpacket, no_block = 1, 2, 3, 5, 0o4000
    assert of("socketpair", arch, 1, stream | no_block) == of("socketpair", arch, 1, seqpacket) == ALLOWED
    assert of("socketpair", arch, 1, datagram | no_block) == of("socketpair", arch, 1, raw) == errno.EPERM
    assert of("socketpair", arch, 1 << 32 | 2, stream) == errno.EAFNOSUPPORT, "the high word must not hide the family"
    for name, (x86_64, aarch64) in {"connect": (42, 203), "bind": (49, 200), "listen": (50, 201)}.items():
        number = {"x86_64": x86_64, "aarch64": aarch64}[arch]
        assert verdict(seccomp.stage1(arch), arch, number) == errno.EPERM, name


@pytest.mark.parametrize("arch", ARCHES)
def test_stage_1_asks_of_descriptors_only_what_python_asks(arch):
    for request in (TIOCSTI, TIOCLINUX, TIOCSETD, 1 << 32 | TIOCSTI, FIOSETOWN, FICLONE):
        assert of("ioctl", arch, 0, request) == errno.EPERM, hex(request)
    for request in seccomp.IOCTLS.values():
        assert of("ioctl", arch, 0, request) == ALLOWED, hex(request)


@pytest.mark.parametrize("arch", ARCHES)
def test_stage_1_lets_nobody_signal_others_by_way_of_a_descriptor(arch):
    for name, command in seccomp.FCNTLS.items():
        assert of("fcntl", arch, 0, command) == errno.EPERM, name
    for command in (F_DUPFD_CLOEXEC, F_SETFD, F_SETFL, F_SETLK, F_GETOWN):
        assert of("fcntl", arch, 0, command) == ALLOWED, command


@pytest.mark.parametrize("arch", ARCHES)
def test_stage_1_sets_limits_of_nobody_else_and_keeps_the_end_with_its_parent(arch):
    assert of("prlimit64", arch, 0, 7) == ALLOWED
    assert of("prlimit64", arch, 4711, 7) == errno.EPERM
    assert of("prctl", arch, PR_SET_NO_NEW_PRIVS) == ALLOWED
    assert of("prctl", arch, seccomp.PR_SET_PDEATHSIG) == errno.EPERM


@pytest.mark.parametrize("arch", ARCHES)
def test_no_thread_gets_descriptors_of_its_own(arch):
    assert of("close_range", arch, 3, 100, 0) == of("close_range", arch, 3, 100, 4) == ALLOWED
    for flags in (seccomp.CLOSE_RANGE_UNSHARE, seccomp.CLOSE_RANGE_UNSHARE | 4, 1 << 32 | 2):
        assert of("close_range", arch, 3, 100, flags) == errno.EPERM, flags
    apart = THREAD & ~seccomp.CLONE_FILES
    assert of("clone", arch, apart, stage=2) == errno.EPERM
    assert without_namespaces("clone", arch, apart) == errno.EPERM


@pytest.mark.parametrize("stage", [seccomp.stage1, seccomp.stage2])
def test_another_abi_is_killed(stage):
    assert verdict(stage("x86_64"), "aarch64", 0) == KILLED
    assert verdict(stage("aarch64"), "x86_64", 63) == KILLED
    assert verdict(stage("x86_64"), "x86_64", 0x40000000 | 0) == KILLED
    assert verdict(stage("x86_64"), "x86_64", -1) == KILLED


@pytest.mark.parametrize("arch", ARCHES)
def test_calls_newer_than_our_tables_do_not_exist(arch):
    assert verdict(seccomp.stage1(arch), arch, 453) == errno.ENOSYS
    assert verdict(seccomp.stage1(arch), arch, 450) == errno.EPERM


@pytest.mark.parametrize("arch", ARCHES)
def test_stage_2_starts_threads_and_nothing_else(arch):
    assert of("clone", arch, THREAD, stage=2) == ALLOWED
    assert of("clone", arch, SIGCHLD, stage=2) == errno.EPERM
    assert of("clone", arch, 0x4111, stage=2) == errno.EPERM, "vfork by way of clone"
    assert of("clone3", arch, stage=2) == errno.ENOSYS
    for name in ("execve", "execveat", "fork", "vfork"):
        if name in seccomp.numbers(arch):
            assert of(name, arch, stage=2) == errno.EPERM, name
    assert of("read", arch, stage=2) == ALLOWED


@pytest.mark.parametrize("arch", ARCHES)
def test_stage_2_is_the_last_filter(arch):
    assert of("seccomp", arch) == of("prctl", arch, seccomp.PR_SET_SECCOMP) == ALLOWED
    assert of("seccomp", arch, stage=2) == of("prctl", arch, seccomp.PR_SET_SECCOMP, stage=2) == errno.EPERM
    assert of("prctl", arch, PR_SET_NO_NEW_PRIVS, stage=2) == ALLOWED


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("stage", [seccomp.stage1, seccomp.stage2])
def test_every_path_through_a_filter_ends(arch, stage):
    code = stage(arch)
    assert len(code) // 8 < 4096
    for number in range(600):
        for argument in (0, 1, SIGCHLD, THREAD, 0x10000000, TIOCSTI):
            assert verdict(code, arch, number, argument, argument)


def test_the_tables_agree_with_what_python_knows():
    assert set(seccomp.numbers("aarch64")) - set(seccomp.numbers("x86_64")) == set()
    for arch in ARCHES:
        found = seccomp.numbers(arch)
        assert len(set(found.values())) == len(found), "a number stands twice"


def test_an_unknown_machine_is_refused_with_its_name():
    with pytest.raises(NoIsolation, match="'riscv64'; known: x86_64, aarch64"):
        seccomp.stage1("riscv64")


def test_lockdown_says_the_limits_as_plain_data():
    found = lockdown(BoxLimits(memory_bytes=1 << 28, disk_bytes=1 << 20, cpu_seconds=5))
    assert found["rlimits"]["AS"] >= 1 << 28
    assert found["rlimits"]["FSIZE"] == 1 << 20
    assert found["rlimits"]["CPU"] == 5
    assert found["rlimits"]["CORE"] == 0
    assert bytes.fromhex(found["filter"]) == seccomp.stage2()


@pytest.mark.parametrize(
    ("release", "expected"),
    [("6.18.44-fc", True), ("5.14.0", True), ("5.10.0-28-amd64", False), ("4.18.0", False), ("odd", False)],
)
def test_a_kernel_that_counts_processes_of_the_whole_machine_is_known(release, expected):
    assert _counts_per_namespace(release) is expected


def without_namespaces(name: str, arch: str, *arguments: int, own_user: bool = True) -> str | int:
    return verdict(seccomp.without_namespaces(own_user, arch), arch, seccomp.numbers(arch)[name], *arguments)


@pytest.mark.parametrize("arch", ARCHES)
def test_without_namespaces_a_box_reaches_its_own_process_alone(arch):
    for name in ("kill", "tgkill", "rt_sigqueueinfo"):
        assert without_namespaces(name, arch, seccomp.PID, 9) == ALLOWED
        for other in (0, 1, 4711, 0xFFFFFFFF):
            assert without_namespaces(name, arch, other, 9) == errno.EPERM, (name, other)
    assert without_namespaces("tkill", arch, seccomp.PID, 9) == errno.EPERM
    assert without_namespaces("clone", arch, SIGCHLD) == errno.EPERM
    assert without_namespaces("clone", arch, THREAD) == ALLOWED
    assert without_namespaces("prctl", arch, seccomp.PR_SET_DUMPABLE) == errno.EPERM


@pytest.mark.parametrize("arch", ARCHES)
def test_without_a_user_of_its_own_a_box_changes_no_file_of_the_worker(arch):
    for name, refused in {"fchmodat": 0, "fchmod": 0, "fchownat": errno.EPERM, "utimensat": errno.EPERM}.items():
        assert without_namespaces(name, arch) == ALLOWED, name
        assert without_namespaces(name, arch, own_user=False) == refused, name


@pytest.mark.parametrize("arch", ARCHES)
def test_without_a_user_of_its_own_a_box_sets_no_limit_on_processes(arch):
    pointer, other_limit = 0x7F0000001000, 7
    assert without_namespaces("prlimit64", arch, 0, seccomp.RLIMIT_NPROC, pointer, own_user=False) == 0
    assert without_namespaces("prlimit64", arch, 0, seccomp.RLIMIT_NPROC, 0, own_user=False) == ALLOWED
    assert without_namespaces("prlimit64", arch, 0, other_limit, pointer, own_user=False) == ALLOWED
    assert without_namespaces("prlimit64", arch, 0, seccomp.RLIMIT_NPROC, pointer) == ALLOWED
