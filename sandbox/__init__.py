"""Run code we did not write: `base` is the port, `channel` the frames, `local` bubblewrap, `guest.py` the part inside.

An adapter never falls back to running without isolation: `base.choose` raises `NoIsolation` instead.
"""
