import json
import os
import time


def note(context, what):
    line = json.dumps([what, context.task_id, context.call_id, context.attempt, time.time(), context.key])
    descriptor = os.open(context.workspace + "/effects.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode() + b"\n")
    os.close(descriptor)


def run(i, ms=0, fail=False, context=None):
    note(context, "begin")
    time.sleep(ms / 1000)
    note(context, "end")
    if fail:
        raise ValueError("not seen")
    return {"i": i}
