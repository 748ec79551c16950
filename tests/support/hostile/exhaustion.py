"""What a program would like to use up."""

PROGRAMS = {
    "processes": """
while True:
    try: os.fork()
    except OSError: break
for flags in (17, 0x4111, 0x100 | 17, 0): attempt(lambda: call(56, flags, 0, 0, 0, 0))
attempt(lambda: call(57), lambda: call(58))
look()
""",
    "processes of the thread that reads its prints": """
wire = next(o for o in gc.get_objects() if type(o).__name__ == "Wire")
send = wire.send
def fork(**frame):
    try:
        if os.fork() == 0: time.sleep(60)
    except BaseException: pass
    send(**frame)
wire.send = fork
for _ in range(5): print("x", flush=True); threading.Event().wait(0.05)
look()
""",
    "threads": """
threading.stack_size(32768)
try:
    while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except BaseException: pass
look()
""",
    "memory": """
kept = []
while True:
    try: kept.append(bytearray(b"x") * (1 << 20))
    except MemoryError: break
look()
""",
    "memory, shared": """
kept = []
while True:
    try: kept.append(mmap.mmap(-1, 1 << 24)); kept[-1].write(b"x" * (1 << 24))
    except (MemoryError, OSError): break
look()
""",
    "memory of a file without a name": """
kept = []
for n in range(2000):
    try:
        with open("x", "w+b") as file:
            file.truncate(1 << 20)
            kept.append(mmap.mmap(file.fileno(), 1 << 20))
        os.unlink("x")
        kept[-1].write(b"x" * (1 << 20))
    except (MemoryError, OSError, ValueError): break
look()
""",
    "memory in pipes": """
kept = []
import fcntl
try:
    while True:
        kept.append(os.pipe()); os.set_blocking(kept[-1][1], False)
        try: fcntl.fcntl(kept[-1][1], 1031, 1 << 20)
        except OSError: pass
        try: os.write(kept[-1][1], b"x" * (1 << 20))
        except OSError: pass
except OSError: pass
look()
""",
    "memory in the queue of a listener": """
kept = []
def fill(address):
    listener = socket.socket(socket.AF_UNIX); listener.bind(address); listener.listen(4096); kept.append(listener)
    for _ in range(4096):
        one = socket.socket(socket.AF_UNIX); one.setblocking(False); one.connect(address)
        try:
            while True: one.send(b"x" * 65536)
        except BlockingIOError: pass
        one.close()
for n in range(4): attempt(lambda: fill(f"s{n}"), lambda: fill(f"\\0holdfast-{n}"))
look()
""",
    "memory in descriptors in flight": """
kept = []
import array
for _ in range(2000):
    try:
        a, b = socket.socketpair(); c, d = socket.socketpair()
        for one in (a, c):
            one.setblocking(False)
            try:
                while True: one.send(b"x" * 65536)
            except OSError: pass
        socket.send_fds(d, [b"x"], [b.fileno(), a.fileno()])
        kept.append((c, d))
    except OSError: break
look()
""",
    "processor time, whatever is raised": """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "processor time in C": "result = 7 ** (10 ** 9)",
    "processor time in a pattern": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
    "the disk": """
try:
    for n in range(1000): open(f"{n}", "wb").write(b"x" * (1 << 20))
except OSError: pass
look()
""",
    "the disk, without names": """
kept = []
try:
    for n in range(1000):
        kept.append(open("x", "wb")); os.unlink("x")
        kept[-1].write(b"x" * (1 << 20)); kept[-1].flush()
except OSError: pass
look()
""",
    "the disk, by a zip bomb": """
import io, zipfile
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
    with archive.open("zeros", "w", force_zip64=True) as one:
        for _ in range(200): one.write(bytes(1 << 20))
attempt(lambda: zipfile.ZipFile(packed).extractall("out"))
look()
""",
    "inodes": """
try:
    for n in range(10**7): os.close(os.open(f"{n}", os.O_CREAT))
except OSError: pass
look()
""",
    "inodes, as links": """
open("x", "w").close()
try:
    for n in range(10**7): os.link("x", f"{n}") if n % 2 else os.symlink("y" * 4000, f"{n}")
except OSError: pass
look()
""",
    "depth of folders": """
try:
    for n in range(10**6): os.mkdir("d"); os.chdir("d")
except OSError: pass
look()
""",
    "folders that nobody may enter": """
os.makedirs("a/b/c"); open("a/b/c/x", "w").write("x")
for path in ("a/b/c", "a/b", "a"): os.chmod(path, 0)
os.mkdir("none", 0)
look()
""",
    "descriptors": """
kept = []
try:
    while True: kept.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
look()
""",
    "locks": """
import fcntl
file = open("x", "w")
end = time.monotonic() + 3
for n in range(0, 10**6, 2): fcntl.lockf(file, fcntl.LOCK_EX, 1, n)
look()
""",
    "signals in a queue": """
signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 64))
for n in range(10**5): call(129, os.getpid(), 34 + n % 30, struct.pack("iii", 34, 0, -1) + bytes(128))
look()
""",
    "output": "while True: print('x' * 10000)",
    "output beside Python": "while True: os.write(2, b'x' * 65536)",
    "output on the channel": """
wire = next(o for o in gc.get_objects() if type(o).__name__ == "Wire")
while True: os.write(wire.fd_out, b"x" * 65536)
""",
    "recursion": "def f(n): return f(n + 1)\nsys.setrecursionlimit(10**9)\nf(0)",
    "recursion in C": "sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
    "a result that is huge": "result = 'x' * (100 << 20)",
    "a result of many": "result = [[]] * 3_000_000",
    "a result that holds itself": "result = []\nresult.append(result)",
    "a result that is no number": "result = [float('nan'), float('inf')]",
    "a result of 200,000 levels": "result = []\nfor _ in range(200_000): result = [result]",
    "a number of ten million digits": "result = 1 << 33_000_000",
}
