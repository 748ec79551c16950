"""What a program would like to read."""

PROGRAMS = {
    "the worker's environment": "print(dict(os.environ))",
    "environments in proc": """
for pid in (1, os.getppid(), inputs["worker"], "self"):
    attempt(lambda: open(f"/proc/{pid}/environ", "rb").read())
""",
    "a file that all may read": "attempt(lambda: open(inputs['secret']).read())",
    "a file by way of another process's root": """
for pid in (1, os.getppid(), inputs["worker"], inputs["victim"]):
    attempt(lambda: open(f"/proc/{pid}/root{inputs['secret']}").read(), lambda: os.listdir(f"/proc/{pid}/cwd"))
""",
    "descriptors of the worker": """
for pid in (inputs["worker"], "self"):
    for fd in range(200):
        try: print(os.read(os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK), 65536))
        except OSError: pass
""",
    "inherited descriptors": """
for fd in range(3, 64):
    try: print(os.pread(fd, 65536, 0))
    except OSError: pass
""",
    "another box's workspace": """
for path in inputs["neighbour"]:
    attempt(lambda: open(path).read())
""",
    "all files that can be found": """
seen = 0
for root, folders, files in os.walk("/"):
    if root.startswith(("/proc", "/sys")): folders.clear()
    for name in files:
        seen += 1
        if name == "canary": attempt(lambda: open(os.path.join(root, name)).read())
    if seen > 200_000: break
""",
    "memory of the worker by proc": """
def peek():
    with open(f"/proc/{inputs['worker']}/mem", "rb") as memory:
        memory.seek(inputs["address"]); return memory.read(200)
attempt(peek)
""",
    "memory of the worker by process_vm_readv": """
into = ctypes.create_string_buffer(200)
local = struct.pack("QQ", ctypes.addressof(into), 200)
remote = struct.pack("QQ", inputs["address"], 200)
attempt(lambda: call(310, inputs["worker"], local, 1, remote, 1, 0))
print(into.raw)
""",
    "keys of the session": """
into = ctypes.create_string_buffer(200)
for ring in (-3, -4, -5, -1, -2):
    key = libc.syscall(250, 10, ring, b"user", b"holdfast-canary", 0)
    attempt(lambda: call(250, 11, key, into, 200))
print(into.raw)
""",
    "what the guest still holds": """
texts = [o for o in gc.get_objects() if isinstance(o, (dict, list))]
print(str(texts)[:1_000_000])
""",
    "that a host's file is there": "attempt(lambda: f'<<{os.stat(inputs[\"secret\"]).st_mtime_ns}>>')",
    "which processes run": """
found = []
for pid in range(1, inputs["highest_pid"] + 1):
    if os.path.exists(f"/proc/{pid}"): found.append(pid)
    else:
        try: os.getpgid(pid); found.append(pid)
        except OSError: pass
print("".join(f"<<pid {pid}>>" for pid in found))
""",
    "the host's name": "print(f'<<{os.uname().nodename}>>')",
    "where a host's link leads": "attempt(lambda: os.readlink(inputs['link']))",
    "a file by way of the library": """
import io, linecache, sqlite3, urllib.request, xml.sax, xml.sax.handler
class Seen(xml.sax.handler.ContentHandler):
    def characters(self, text): print(text, flush=True)
def entity():
    reader = xml.sax.make_parser()
    reader.setContentHandler(Seen())
    reader.setFeature(xml.sax.handler.feature_external_ges, True)
    text = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{inputs["secret"]}">]><a>&x;</a>'
    reader.parse(io.StringIO(text))
attempt(entity, lambda: urllib.request.urlopen("file://" + inputs["secret"]).read(), lambda: linecache.getline(inputs["secret"], 1),
        lambda: sqlite3.connect(f"file:{inputs['secret']}?mode=ro&immutable=1", uri=True).execute("pragma schema_version").fetchall(),
        lambda: ctypes.CDLL(inputs["secret"]), lambda: mmap.mmap(os.open(inputs["secret"], os.O_RDONLY), 0, prot=1).read())
""",
}
