"""Begin and end of each execution go to a file outside of what is judged: one line each, written at once."""

import json
import os
import time


def note(context, what):
    line = json.dumps([what, context.task_id, context.call_id, context.attempt, time.time(), context.key, "tick"])
    descriptor = os.open(context.workspace + "/effects.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode() + b"\n")
    os.close(descriptor)


def run(i, ms, tag, context):
    """The number of this call among those of its task, in the order in which they began."""
    note(context, "begin")
    time.sleep(ms / 1000)
    with open(context.workspace + "/effects.log", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    keys = list(dict.fromkeys(row[5] for row in rows if row[1] == context.task_id and row[6] == "tick"))
    note(context, "end")
    return {"number": keys.index(context.key) + 1}
