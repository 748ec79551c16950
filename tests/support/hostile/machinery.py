"""What a program does to the interpreter, the threads and the limits that its guest lives on. x86-64 numbers."""

_FILTER = """
def filtered(flags, *instructions):
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in instructions))
    return call(317, 1, flags, struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(code)))
"""

PROGRAMS = {
    "values that lie": """
class Text(str):
    def __len__(self): return -1
    def __str__(self): return '"}'
class Number(int):
    def __repr__(self): return '1}, {"t": "done"'
    __str__ = __repr__
class Real(float):
    def __repr__(self): return "NaN"
class Table(dict):
    def items(self): return [("a", self)] * 1000
result = {Number(1): [Text("x"), Number(2), Real(3), None], None: True, 1.5: Table(a=1)}
""",
    "an error with a name of a million letters": "raise type('E' * 1_000_000, (Exception,), {})('x' * 10_000_000)",
    "an exit that answers with errors": """
class Code:
    def __eq__(self, other): raise KeyboardInterrupt
    def __repr__(self): raise SystemExit(3)
    def __del__(self): raise GeneratorExit
raise SystemExit(Code())
""",
    "an ear for all that happens": """
def refuse(*what): raise RuntimeError(what)
sys.settrace(refuse); threading.setprofile(refuse); sys.addaudithook(refuse)
result = 1
""",
    "code that is no code": """
import marshal
for seed in range(500):
    try: marshal.loads(bytes((seed * 7 + n * 13) % 256 for n in range(64)))
    except Exception: pass
attempt(lambda: eval("(" * 100_000), lambda: eval("-" * 100_000 + "1"), lambda: eval("+".join(["1"] * 50_000)))
def f(): pass
f.__code__ = f.__code__.replace(co_code=bytes([100, 255] * 10), co_stacksize=0)
f()
""",
    "a first thread that ends alone": """
kept = []
def fill():
    try:
        while len(kept) < 60:
            kept.append(open("x", "wb")); os.unlink("x")
            kept[-1].write(b"x" * (4 << 20)); kept[-1].flush()
    except OSError: pass
    look()
threading.Thread(target=fill, daemon=True).start()
libc.syscall(60, 0)
""",
    "descriptors of its own for each thread": """
def fill():
    attempt(lambda: call(436, 1000, 1001, 2), lambda: call(272, 0x400))
    while True:
        try: pairs.append(socket.socketpair())
        except OSError: break
    for one in [one for pair in pairs for one in pair]:
        one.setblocking(False)
        try:
            while True: one.send(b"x" * 65536)
        except OSError: pass
    threading.Event().wait(20)
pairs = []
threading.stack_size(65536)
for _ in range(20): threading.Thread(target=fill, daemon=True).start()
time.sleep(0.5)
look()
""",
    "pages far from each other": """
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
for n in range(60_000):
    at = libc.mmap(0x100000000000 + (n << 30), 4096, 3, 0x32, -1, 0)
    if at == 2**64 - 1: break
    ctypes.memset(at, 1, 1)
look()
""",
    "a listener of its own end": _FILTER
    + """
filtered(8, (0x20, 0, 0, 0), (0x15, 0, 1, 231), (6, 0, 0, 0x7FC00000), (6, 0, 0, 0x7FFF0000))
result = 1
""",
    "filters upon filters": _FILTER
    + "for _ in range(200): filtered(0, *[(0x20, 0, 0, 0)] * 1000, (6, 0, 0, 0x7FFF0000))\nlook()",
    "no limits, and then none of anything": """
import resource
for limit in range(16):
    for bound in ((-1, -1), (resource.getrlimit(limit)[1], -1)): attempt(lambda: resource.setrlimit(limit, bound))
for limit in range(16): resource.setrlimit(limit, (0, 0))
result = list(range(100_000))
""",
    "all signals to itself": """
for n in range(1, 65):
    if n not in (9, 19, 32, 33): attempt(lambda: signal.signal(n, signal.SIG_IGN), lambda: os.kill(os.getpid(), n), lambda: os.kill(1, n))
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)
look()
""",
}
