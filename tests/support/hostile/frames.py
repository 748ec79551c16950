"""Frames of the guest's own kinds, as no guest would send them: what they cost the host, and what it believes."""

from tests.support.hostile.channel import _said

PROGRAMS = {
    "a kind that is a list": _said(r"""say(b'\x1eHF1 {"t": []}\n')"""),
    "a kind that is a frame": _said(r"""say(b'\x1eHF1 {"t": {"t": "done"}}\n\x1eHF1 {"t": null}\n')"""),
    "beginnings without end": _said(r"""
while True: say(b'\x1eHF1 {"t": "ready", "python": "' + b'x' * 60000 + b'"}\n')"""),
    "lists of files without end": _said(r"""
while True: say(b'\x1eHF1 {"t": "files", "paths": ["out/' + b'x' * 60000 + b'"]}\n')"""),
    "half a frame, then gone": _said(r"""say(b'\x1eHF1 {"t": "done", "has_res')""", "os._exit(0)"),
    "a thousand numbers of 4,299 digits": _said(
        r"""
say(b'\x1eHF1+ {"t": "out", "d": [0\n')
for _ in range(80): say(b'\x1eHF1+ ' + (b',' + b'9' * 4299) * 13 + b'\n')
say(b'\x1eHF1 ]}\n')""",
        "look()",
    ),
    "a fraction of a million digits": _said(
        r"""
say(b'\x1eHF1+ {"t": "out", "d": 0.\n')
for _ in range(20): say(b'\x1eHF1+ ' + b'9' * 60000 + b'\n')
say(b'\x1eHF1 }\n')""",
        "look()",
    ),
}
