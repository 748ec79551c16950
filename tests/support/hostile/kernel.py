"""What a program would like of the kernel. x86-64 numbers: elsewhere they are other calls that do no harm."""

_CODE = """
code = mmap.mmap(-1, 4096, prot=7)
code.write({machine!r})
attempt(lambda: ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))())
look()
"""

PROGRAMS = {
    "mount": "attempt(lambda: call(165, b'none', b'.', b'tmpfs', 0, 0), lambda: call(166, b'/dev', 2), lambda: call(428, -100, b'/', 1))\nlook()",
    "the new mount calls": "for n in (428, 429, 430, 431, 432, 433, 442): attempt(lambda: call(n, -100, b'/', 0, 0, 0))\nlook()",
    "another root": "attempt(lambda: os.chroot('.'), lambda: call(155, b'.', b'.'), lambda: os.chroot('/'))\nlook()",
    "another user": """
for uid in (0, 1, 1000, 65534):
    attempt(lambda: os.setuid(uid), lambda: os.setgid(uid), lambda: os.setresuid(uid, uid, uid), lambda: os.setgroups([uid]),
            lambda: call(122, uid), lambda: os.seteuid(uid))
look()
""",
    "capabilities": "attempt(lambda: call(126, struct.pack('II', 0x20080522, 0), struct.pack('6I', *[2**32 - 1] * 6)), lambda: libc.prctl(47, 2, 21, 0, 0))\nlook()",
    "new namespaces": """
for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000, 0x80):
    attempt(lambda: call(272, flag), lambda: call(56, flag | 17, 0, 0, 0, 0))
look()
""",
    "clone3": "attempt(lambda: call(435, struct.pack('11Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88))\nlook()",
    "another process's namespaces": """
for pid in (1, inputs["worker"]):
    attempt(lambda: call(308, os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), 0), lambda: call(308, call(434, pid, 0), 0x20000))
look()
""",
    "io_uring": "attempt(lambda: call(425, 8, ctypes.create_string_buffer(200)))\nlook()",
    "userfaultfd": "attempt(lambda: call(323, 0), lambda: call(323, 1))\nlook()",
    "bpf": "attempt(lambda: call(321, 0, struct.pack('5I', 2, 4, 4, 1, 0), 20))\nlook()",
    "perf": "attempt(lambda: call(298, ctypes.create_string_buffer(struct.pack('III', 1, 112, 0), 112), 0, -1, -1, 0))\nlook()",
    "ptrace": """
for pid in (inputs["victim"], inputs["worker"], os.getppid(), 1):
    attempt(lambda: call(101, 16, pid, 0, 0), lambda: call(101, 0x4206, pid, 0, 0), lambda: call(312, os.getpid(), pid, 0, 0, 0))
attempt(lambda: call(101, 0, 0, 0, 0))
look()
""",
    "descriptors of others": "for pid in (inputs['worker'], inputs['victim']): attempt(lambda: call(438, call(434, pid, 0), 0, 0))\nlook()",
    "memory with a name": "attempt(lambda: call(319, b'x', 0), lambda: call(447, 0), lambda: os.memfd_create('x'))\nlook()",
    "a program of its own": """
open("x", "wb").write(b"\\x7fELF" + bytes(100)); os.chmod("x", 0o755)
open("y", "w").write("#!/bin/sh\\n"); os.chmod("y", 0o755)
attempt(lambda: os.execv("x", ["x"]), lambda: os.execv("y", ["y"]), lambda: os.execv(sys.executable, ["x", "-c", "0"]),
        lambda: os.posix_spawn(sys.executable, ["x"], {}), lambda: call(322, 3, b"", 0, 0, 0x1000), lambda: os.system("true"))
look()
""",
    "shared memory of System V": "attempt(lambda: call(29, 4711, 1 << 30, 0o1666), lambda: call(68, 4711, 0o1666), lambda: call(64, 4711, 1, 0o1666))\nlook()",
    "message queues": "attempt(lambda: call(240, b'holdfast', 0o102, 0o666, 0))\nlook()",
    "keys": "attempt(lambda: call(248, b'user', b'holdfast-mine', b'x', 1, -4), lambda: call(250, 1, 0), lambda: call(249, b'user', b'x', 0, 0))\nlook()",
    "calls of x32": "attempt(lambda: call(0x40000000 | 39), lambda: call(0x40000000 | 520))\nlook()",
    "calls of 32 bits": _CODE.format(machine=b"\xb8\x02\x00\x00\x00\xcd\x80\xc3"),
    "a far call into 32 bits": _CODE.format(
        machine=b"\x6a\x23\xe8\x00\x00\x00\x00\x83\x04\x24\x05\xcb\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    ),
    "calls without a name": """
for n in (423, 452, 453, 457, 462, 467, 500, 547, 1000, 0x3FFFFFFF, 0x7FFFFFFF): attempt(lambda: call(n, 0, 0, 0, 0, 0, 0))
look()
""",
    "machine code of its own": _CODE.format(machine=b"\xb8\x39\x00\x00\x00\x0f\x05\xc3"),
    "modules, swap, clocks and names": """
for n, *a in ((175, b"", 0, b""), (313, 0, b"", 0), (176, b"x", 0), (167, b"x", 0), (169, 0xfee1dead, 672274793, 0), (227, 0, bytes(16)),
              (170, b"escaped", 7), (171, b"escaped", 7), (246, 0, 0, 0, 0), (103, 5, 0, 0), (172, 3), (173, 0, 1, 1), (153,), (163, b"x")):
    attempt(lambda: call(n, *a))
look()
""",
    "the terminal of the worker": """
import fcntl
for fd in (0, 1, 2, 64, 65, 66, 67):
    for request in (0x5412, 0x541C, 0x5423, 0x540E):
        attempt(lambda: fcntl.ioctl(fd, request, b"x"))
""",
    "limits of others": """
for pid in (inputs["victim"], inputs["worker"], os.getppid(), 1):
    for limit in range(16):
        attempt(lambda: call(302, pid, limit, struct.pack("QQ", 0, 0), None))
    attempt(lambda: os.setpriority(0, pid, 19), lambda: call(203, pid, 8, struct.pack("Q", 1)), lambda: call(251, 1, pid, 0x6000),
            lambda: call(144, pid, 5, struct.pack("i", 0)))
look()
""",
    "another personality": "attempt(lambda: call(135, 0x0040000), lambda: call(135, 8))\nlook()",
    "filters of its own": """
allow = struct.pack("HBBI", 6, 0, 0, 0x7fff0000)
buffer = ctypes.create_string_buffer(allow)
attempt(lambda: call(317, 1, 8, struct.pack("HxxxxxxQ", 1, ctypes.addressof(buffer))), lambda: call(317, 1, 0, struct.pack("HxxxxxxQ", 1, ctypes.addressof(buffer))))
attempt(os.fork)
look()
""",
}
