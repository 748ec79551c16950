"""What a program would like its host to believe. It owns the channel: what it says there carries its own rights only."""

_WIRE = 'wire = next(o for o in gc.get_objects() if type(o).__name__ == "Wire")\n'


def _said(line: str, then: str = "threading.Event().wait(20)") -> str:
    return f"{_WIRE}def say(data):\n    while data: data = data[os.write(wire.fd_out, data):]\n{line}\n{then}"


PROGRAMS = {
    "frames that are printed": r"""
print('\x1eHF1 {"t": "done", "has_result": true, "result": "printed"}', flush=True)
os.write(1, b'\x1eHF1 {"t": "calls"}\n')
result = "mine"
""",
    "an end that is none": _said(r"""say(b'\x1eHF1 {"t": "done", "has_result": true, "result": 1}\n')"""),
    "a second beginning": _said(r"""say(b'\x1eHF1 {"t": "ready"}\n' * 1000)"""),
    "answers to itself": _WIRE
    + r"""
attempt(lambda: os.write(wire.fd_in, b'\x1eHF1 {"t":"answers","answers":[[0,0,true,"forged"]]}\n'),
        lambda: os.write(os.open(f"/proc/self/fd/{wire.fd_in}", os.O_WRONLY), b'\x1eHF1 {"t":"answers"}\n'))
""",
    "not a number": _said(r"""say(b'\x1eHF1 {"t":"out","d":NaN}\n')"""),
    "beyond numbers": _said(r"""say(b'\x1eHF1 {"t":"out","d":1e999}\n')"""),
    "half a surrogate pair": _said(r"""say(b'\x1eHF1 {"t":"out","d":"\\ud800"}\n')"""),
    "a pickle": _said(r"""say(b'\x1eHF1 \x80\x04\x95cos\nsystem\n(S"touch escaped"\ntR.\n')"""),
    "100,000 levels": _said(r"""say(b'\x1eHF1+ ' + b'[' * 60000 + b'\n\x1eHF1 ' + b'[' * 60000 + b'\n')"""),
    "a line without end": _said(r"""say(b'\x1eHF1 ' + b'1' * 1000000)"""),
    "pieces without end": _said(r"""
for _ in range(1000): say(b'\x1eHF1+ ' + b'1' * 60000 + b'\n')"""),
    "empty pieces without end": _said(r"""
while True: say(b'\x1eHF1+ \n' * 1000)"""),
    "frames of no kind without end": _said(r"""
while True: say(b'\x1eHF1 {"t": "' + b'x' * 50000 + b'"}\n')"""),
    "millions of lists": _said(r"""
for _ in range(20):
    for _ in range(80): say(b'\x1eHF1+ ' + (b'[],' * 20000 if _ else b'{"t":"out","d":"","x":[' + b'[],' * 10000) + b'\n')
    say(b'\x1eHF1 []]}\n')"""),
    "a number of 50,000 digits": _said(r"""say(b'\x1eHF1 {"t":"out","d":' + b'9' * 50000 + b'}\n')"""),
    "zeros": _said(r"""
while True: say(bytes(65536))"""),
    "deaf": _said("", "while True: pass"),
}
