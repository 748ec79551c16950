import io, locale, os, platform, select, signal, socket, sys, time, contextvars, errno, mmap, tempfile, resource, getpass
print(os.path.join("a", "b"), os.sep, os.name, sys.platform, platform.system(), platform.python_implementation(), os.cpu_count() > 0, os.getpid() > 0, isinstance(os.environ.get("HOME", ""), str))
r, w = os.pipe(); os.write(w, b"through a pipe"); print(os.read(r, 7), select.select([r], [], [], 0)[0] == [r]); os.close(r); os.close(w)
a, b = socket.socketpair(); a.sendall(b"ping"); print(b.recv(10)); a.close(); b.close()
with tempfile.TemporaryFile() as f:
    f.write(b"0123456789"); f.flush()
    with mmap.mmap(f.fileno(), 0) as m: m[2:4] = b"xx"; print(m[:6], m.find(b"9"))
raw = io.TextIOWrapper(io.BytesIO("é\r\nß\n".encode()), "utf-8", newline=None); print(raw.readlines(), io.StringIO("a\nb").readline())
var = contextvars.ContextVar("v", default=1); ctx = contextvars.copy_context(); ctx.run(var.set, 5); print(var.get(), ctx[var])
seen = []; old = signal.signal(signal.SIGUSR1, lambda n, f: seen.append(n)); os.kill(os.getpid(), signal.SIGUSR1); time.sleep(0.01); signal.signal(signal.SIGUSR1, old)
print(seen == [signal.SIGUSR1], os.strerror(errno.ENOENT), sys.getsizeof([]) > 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0, sys.getdefaultencoding(), sys.getfilesystemencoding(), locale.str(1.5))
print(os.urandom(4).__len__(), time.gmtime(0)[:6], time.strftime("%Y-%m-%d", time.gmtime(86400)), time.perf_counter() >= 0, time.tzname[0], os.get_terminal_size.__name__)
sys.stderr.write(""); sys.stdout.write("written\n"); print("no newline", end=""); print(); print("ünïcode →", "日本", file=sys.stdout, flush=True)
d = os.open(tempfile.gettempdir(), os.O_RDONLY); os.close(d); print(os.umask(0o22) >= 0, os.access("/", os.R_OK), len(os.listdir("/")) > 0)
result = {"argv": len(sys.argv) > 0, "stdin": sys.stdin.read()}
