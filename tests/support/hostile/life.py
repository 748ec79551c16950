"""How a program would like to outlive, or end, those who run it."""

PROGRAMS = {
    "deaf to signals": """
for n in signal.valid_signals():
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True: time.sleep(1)
""",
    "a daemon": """
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(1)
except OSError: pass
attempt(os.setsid, os.setpgrp)
look()
""",
    "kill them all": "attempt(lambda: os.kill(-1, 15), lambda: os.kill(-1, 9), lambda: os.killpg(0, 9))\nlook()",
    "kill the worker": """
for pid in (inputs["worker"], inputs["victim"], os.getppid(), 1):
    for n in (9, 15, 19, 2, 1, 12): attempt(lambda: os.kill(pid, n), lambda: call(234, pid, pid, n), lambda: call(200, pid, n),
        lambda: call(129, pid, n, struct.pack("iii", n, 0, -1) + bytes(128)), lambda: call(424, call(434, pid, 0), n, 0, 0))
look()
""",
    "kill by way of a descriptor": """
import fcntl
for pid in (inputs["victim"], -inputs["victim"], inputs["worker"]):
    for n in (9, 15):
        def poke():
            out, into = os.pipe()
            for command, value in ((8, pid), (10, n), (4, os.O_ASYNC | os.O_NONBLOCK)):
                try: fcntl.fcntl(out, command, value)
                except OSError: pass
            os.write(into, b"x")
        attempt(poke)
look()
""",
    "stop itself": "os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(60)",
    "close everything": "for fd in range(1000):\n    try: os.close(fd)\n    except OSError: pass\nwhile True: threading.Event().wait(1)",
    "close everything, busy": "os.closerange(0, 1000)\nwhile True: pass",
    "a thread that never ends": "threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()",
    "an exit that never ends": "import atexit\natexit.register(lambda: time.sleep(1000))\nsys.exit(0)",
    "not to end with the worker": "attempt(lambda: libc.prctl(1, 0, 0, 0, 0), lambda: libc.prctl(4, 0, 0, 0, 0), lambda: libc.prctl(36, 1, 0, 0, 0))\nlook()",
    "crash": "ctypes.string_at(0)",
    "abort": "os.abort()",
    "an end without a word": "os._exit(0)",
    "another name": """
libc.prctl(15, b"systemd", 0, 0, 0)
look()
""",
}
