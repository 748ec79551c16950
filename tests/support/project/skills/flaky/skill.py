import json
import os
import time


def note(context, what):
    line = json.dumps([what, context.task_id, context.call_id, context.attempt, time.time(), context.key])
    descriptor = os.open(context.workspace + "/effects.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode() + b"\n")
    os.close(descriptor)


def run(i, ms=0, size=0, tag="", context=None):
    """Fails at the first two attempts."""
    note(context, "begin")
    if context.attempt < 3:
        raise RuntimeError(f"not yet: attempt {context.attempt}")
    note(context, "end")
    return {"i": i, "attempt": context.attempt}
