"""Begin and end of each execution go to a file outside of what is judged: one line each, written at once."""

import json
import os
import time


def note(context, what):
    line = json.dumps([what, context.task_id, context.call_id, context.attempt, time.time(), context.key, "pay"])
    descriptor = os.open(context.workspace + "/effects.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode() + b"\n")
    os.close(descriptor)


def run(i, ms, tag, context):
    note(context, "begin")
    time.sleep(ms / 1000)
    note(context, "end")
    return {"i": i}
