"""Whom a program would like to talk to."""

_FAMILIES = {"netlink": 16, "packet": 17, "vsock": 40, "alg": 38, "bluetooth": 31, "tipc": 30, "xdp": 44, "kcm": 41}

PROGRAMS = {
    "tcp to the loopback": """
def send():
    s = socket.socket(); s.settimeout(1); s.connect(("127.0.0.1", inputs["tcp"])); s.send(b"x")
attempt(send)
""",
    "tcp by IPv6": """
def send():
    s = socket.socket(socket.AF_INET6); s.settimeout(1); s.connect(("::ffff:127.0.0.1", inputs["tcp"])); s.send(b"x")
attempt(send)
""",
    "udp to the loopback": """
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")):
    attempt(lambda: socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (address, inputs["udp"])))
""",
    "tcp fast open": """
attempt(lambda: socket.socket().sendto(b"x", 0x20000000, ("127.0.0.1", inputs["tcp"])))
""",
    "names and the metadata address": """
import urllib.request
attempt(lambda: socket.getaddrinfo("example.com", 80),
        lambda: urllib.request.urlopen("http://169.254.169.254/latest/meta-data/", timeout=1).read(),
        lambda: urllib.request.urlopen(f"http://127.0.0.1:{inputs['tcp']}/", timeout=1).read())
""",
    "a unix socket by path": """
def send():
    s = socket.socket(socket.AF_UNIX); s.connect(inputs["stream"]); s.send(b"x")
attempt(send)
""",
    "a datagram to a unix socket by path": """
attempt(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", inputs["datagram"]))
""",
    "a datagram out of a pair": """
def pair(kind):
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    return a
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
    attempt(lambda: pair(kind).sendto(b"x", inputs["datagram"]), lambda: pair(kind).connect(inputs["datagram"]),
            lambda: pair(kind).connect(inputs["stream"]), lambda: pair(kind).sendmsg([b"x"], [], 0, inputs["datagram"]),
            lambda: pair(kind).sendto(b"x", "\\0" + inputs["abstract"]))
""",
    "an abstract socket": """
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    def send():
        s = socket.socket(socket.AF_UNIX, kind); s.connect("\\0" + inputs["abstract"]); s.send(b"x")
    attempt(send)
""",
    "docker's socket": """
def send():
    s = socket.socket(socket.AF_UNIX); s.connect("/var/run/docker.sock"); s.send(b"GET /info HTTP/1.0\\r\\n\\r\\n")
    return s.recv(1000)
attempt(send)
""",
    "a door of its own": """
def listen(family, address):
    s = socket.socket(family); s.bind(address); s.listen(); kept.append(s)
kept = []
attempt(lambda: listen(socket.AF_INET, ("0.0.0.0", inputs["free"])), lambda: listen(socket.AF_UNIX, "\\0holdfast-door"))
look()
""",
    "by io_uring": "attempt(lambda: call(425, 8, ctypes.create_string_buffer(200)))\nlook()",
    **{
        f"family {name}": f"""
for kind in (1, 2, 3, 5):
    attempt(lambda: kept.append(socket.socket({number}, kind)), lambda: kept.append(socket.socketpair({number}, kind)))
look()
""".replace("for kind", "kept = []\nfor kind")
        for name, number in _FAMILIES.items()
    },
}
