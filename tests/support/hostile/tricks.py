"""What a program tries that knows how boxes are built. x86-64 numbers: elsewhere they are other calls that do no harm."""

_GUEST = 'guest = next(o for o in gc.get_objects() if isinstance(o, dict) and "exit_now" in o and "lock_down" in o)\n'
_WIRE = 'wire = next(o for o in gc.get_objects() if type(o).__name__ == "Wire")\n'
_SAY = f"{_WIRE}def say(data):\n    while data: data = data[os.write(wire.fd_out, data):]\n"

PROGRAMS = {
    "a file by its handle": """
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
number = ctypes.c_int()
attempt(lambda: call(303, -100, inputs["secret"].encode(), handle, ctypes.byref(number), 0))
for kind in (1, 2, 0x81, 0xfb):
    known = struct.pack("Ii", 16, kind) + struct.pack("QQ", 2, 0)
    attempt(lambda: os.read(call(304, os.open(".", os.O_RDONLY), handle, 0), 1000),
            lambda: os.read(call(304, os.open("/", os.O_RDONLY), known, 0), 1000))
look()
""",
    "descriptors over the channel": _WIRE
    + """
def sent(fd):
    with socket.socket(fileno=os.dup(fd)) as one:
        return one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", os.open(".", os.O_RDONLY)))])
def taken(fd):
    with socket.socket(fileno=os.dup(fd)) as one:
        return one.recvmsg(100, 1000, socket.MSG_DONTWAIT)
attempt(*(lambda f=f, fd=fd: f(fd) for f in (sent, taken) for fd in (wire.fd_out, wire.fd_in, 0, 1, 2)))
look()
""",
    "signals by way of a descriptor's owner": """
import fcntl
ours, theirs = socket.socketpair()
for target in (inputs["victim"], inputs["worker"], os.getppid()):
    for what, value in ((8, target), (8, -target), (15, struct.pack("ii", 1, target)), (10, 9)):
        attempt(lambda: fcntl.fcntl(ours, what, value))
    attempt(lambda: fcntl.ioctl(ours, 0x8901, struct.pack("i", target)), lambda: fcntl.ioctl(ours, 0x8902, struct.pack("i", target)))
attempt(lambda: fcntl.fcntl(ours, fcntl.F_SETFL, 0x2000), lambda: theirs.send(b"x"), lambda: fcntl.ioctl(ours, 0x5452, struct.pack("i", 1)))
look()
""",
    "signals by timer": """
for target in (inputs["victim"], inputs["worker"]):
    event = struct.pack("QiiI", 0, 9, 4, target) + bytes(48)
    timer = ctypes.c_int()
    soon = struct.pack("4q", 0, 1000, 0, 1000)
    attempt(lambda: call(222, 1, event, ctypes.byref(timer)), lambda: call(223, timer.value, 0, soon, 0))
    attempt(lambda: call(129, target, 9, ctypes.create_string_buffer(128)), lambda: call(297, target, target, 9, ctypes.create_string_buffer(128)))
look()
""",
    "a hundred thousand timers": """
made = [call(222, 1, 0, ctypes.byref(ctypes.c_int())) for _ in range(100_000)]
fds = []
try:
    while True: fds.append(call(283, 1, 0)); assert isinstance(fds[-1], int)
except BaseException: pass
look()
""",
    "rings of epoll": """
import select
rings = []
try:
    while True:
        rings.append(select.epoll())
        for other in rings[:-1]:
            try: rings[-1].register(other.fileno(), 5)
            except OSError: pass
except OSError: pass
look()
""",
    "its own memory by proc": _GUEST
    + """
at = id(guest)
def over(path):
    with open(path, "r+b", buffering=0) as file:
        file.seek(at)
        return file.write(bytes(64))
attempt(*(lambda path=path: over(path) for path in ("/proc/self/mem", f"/proc/{os.getpid()}/mem", "/proc/thread-self/mem")))
attempt(lambda: call(311, os.getpid(), 0, 0, 0, 0, 0), lambda: call(101, 0, 0, 0, 0), lambda: call(312, os.getpid(), inputs["worker"], 0, 0, 0))
look()
""",
    "a core": """
import resource
attempt(lambda: libc.prctl(4, 1, 0, 0, 0), lambda: resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)),
        lambda: open("/proc/self/coredump_filter", "w").write("0x7f"), lambda: os.chdir(inputs["open"]))
os.kill(os.getpid(), signal.SIGSEGV)
look()
""",
    "a guest without an end": _GUEST
    + """
wait = lambda *a, **k: threading.Event().wait()
for name in ("exit_now", "real_sleep", "real_select", "outcome", "raised", "to_json", "read"): guest[name] = wait
sys.modules.clear()
os._exit = sys.exit = wait
""",
    "an end while it goes on": _GUEST
    + _SAY
    + r"""
guest["exit_now"] = lambda code: None
say(b'\x1eHF1 {"t": "done", "has_result": true, "result": "first"}\n\x1eHF1 {"t": "done", "has_result": true, "result": "second"}\n')
attempt(lambda: open(inputs["secret"]).read())
look()
""",
    "names twice in a frame": _SAY
    + r"""
say(b'\x1eHF1 {"t": "out", "d": "", "t": "done", "has_result": false, "has_result": true, "result": 1, "result": {"a": 1, "a": 2}}\n')
threading.Event().wait(20)
""",
    "frames in other clothes": _SAY
    + r"""
for text in ('{"t": "out", "d": "\xfcber"}', '{"t": "out", "d": "x"}'):
    for code in ("utf-8-sig", "utf-16", "utf-32", "utf-7", "latin-1"): say(b'\x1eHF1 ' + text.encode(code) + b'\n')
say(b'\x1eHF1 {"t":"out","d":"\x00\x07\x1b]0;x\x07"}\r\n\x1eHF1 [1]\n\x1eHF1 null\n\x1eHF1 "t"\n\x1eHF1 {"t": {"t": []}}\n\x1eHF1 {"t": "out", "d": {}}\n')
threading.Event().wait(20)
""",
    "forks at the end": """
import atexit
os.register_at_fork(before=lambda: None, after_in_child=lambda: time.sleep(60))
def again(): attempt(os.fork, os.forkpty, lambda: os.posix_spawn("/bin/sh", ["sh"], {}), lambda: os.execv(sys.executable, ["x"]))
atexit.register(again)
threading._register_atexit(again)
class Last:
    def __del__(self): again()
sys.last = Last()
again()
look()
""",
    "terminals": """
import fcntl
attempt(os.openpty, lambda: os.open("/dev/ptmx", os.O_RDWR), lambda: os.open("/dev/tty", os.O_RDWR), lambda: os.open("/dev/console", os.O_RDWR))
for fd in (0, 1, 2, *range(60, 80)):
    attempt(lambda: fcntl.ioctl(fd, 0x540E, 0), lambda: fcntl.ioctl(fd, 0x5412, b"x"), lambda: fcntl.ioctl(fd, 0x541C, b"\\x0b"))
look()
""",
    "watches on the host's folders": """
watcher = call(294, 0)
attempt(lambda: call(254, watcher, inputs["open"].encode(), 0xfff), lambda: call(254, watcher, b"/", 0xfff), lambda: call(300, 0, 0), lambda: call(300, 0x200, 0))
look()
""",
    "others' memory, moved or dropped": """
for pid in (inputs["victim"], inputs["worker"]):
    attempt(lambda: call(256, pid, 64, struct.pack("Q", 1), struct.pack("Q", 1)), lambda: call(279, pid, 1, 0, 0, 0, 0),
            lambda: call(440, call(434, pid, 0), 0, 0, 21, 0), lambda: call(448, call(434, pid, 0), 0), lambda: call(434, pid, 0))
look()
""",
    "the machine's time and pace": """
for pid in (inputs["victim"], inputs["worker"], 0):
    attempt(lambda: os.setpriority(os.PRIO_PROCESS, pid, -20), lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), lambda: os.sched_setaffinity(pid, {0}),
            lambda: os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(99)), lambda: call(251, 1, pid, 1 << 13), lambda: call(314, pid, bytes(56), 0),
            lambda: libc.prctl(62, 1, pid, 1, 0), lambda: libc.prctl(62, 2, pid, 1, 0))
attempt(lambda: call(227, 0, struct.pack("2q", 0, 0)), lambda: call(159, bytes(208)), lambda: call(305, 0, bytes(208)))
look()
""",
    "memory that no limit sees": """
kept = []
for flags in (0x40022, 0x40000 | 0x8000 | 0x22, 0x8022, 0x22 | 0x100, 0x21):
    for _ in range(40):
        try: kept.append(mmap.mmap(-1, 64 << 20, flags=flags))
        except BaseException: break
        try:
            for at in range(0, 64 << 20, 4096): kept[-1][at] = 1
        except BaseException: break
attempt(lambda: call(151, 7), lambda: call(325, 0, 4096, 0), lambda: call(447, 0))
look()
""",
    "swaps at the moment of export": """
os.mkdir("folder")
def swap():
    open("a", "w").write("plain")
    os.symlink(inputs["secret"], "b")
    for _ in range(10**7):
        call(316, -100, b"a", -100, b"export", 0)
        call(316, -100, b"b", -100, b"export", 2)
        call(316, -100, b"export", -100, b"a", 4)
        try: os.link("a", "export")
        except OSError: pass
        try: os.mkfifo("folder/canary"); os.unlink("folder/canary")
        except OSError: pass
threading.Thread(target=swap, daemon=True).start()
look()
""",
    "pipes and holes for export": """
os.mkfifo("export")
os.mkdir("folder")
with open("folder/canary", "w") as file: attempt(lambda: os.truncate(file.fileno(), 1 << 40), lambda: os.truncate(file.fileno(), 7 << 20))
attempt(lambda: os.mknod("device", 0o60666, os.makedev(8, 0)), lambda: os.mknod("export\\n", 0o20666, os.makedev(1, 1)))
look()
""",
    "what a cgroup or a score is set to": """
for path in ("/proc/self/oom_score_adj", "/proc/self/uid_map", "/proc/self/setgroups", "/proc/self/clear_refs", "/proc/self/attr/current", "/proc/sysrq-trigger",
             "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/tasks", "/sys/kernel/uevent_helper", f"/proc/{inputs['victim']}/oom_score_adj"):
    attempt(lambda: os.write(os.open(path, os.O_WRONLY), b"0"))
look()
""",
    "marks on files": """
open("mine", "w").close()
for path in ("mine", inputs["shared"], inputs["open_file"]):
    for name in ("user.x", "security.capability", "trusted.x", "system.posix_acl_access"):
        attempt(lambda: os.setxattr(path, name, struct.pack("<IIIII", 0x2000001, 1 << 21, 0, 0, 0)), lambda: os.getxattr(path, name))
try:
    for number in range(10**6): os.setxattr("mine", f"user.{number}", b"x" * 60000)
except OSError: pass
look()
""",
}
