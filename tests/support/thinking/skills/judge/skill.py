import json
import time
from pathlib import Path


def note(context, what):
    line = json.dumps([what, context.task_id, context.call_id, context.attempt, time.time()])
    with Path(context.workspace, "effects.log").open("a") as file:
        file.write(line + "\n")


def run(word, ms=0, fail=False, context=None):
    note(context, "begin")
    said = context.llm()
    time.sleep(ms / 1000)
    if fail:
        raise ValueError("failed after the model had answered")
    note(context, "end")
    return {"word": word, "said": said}
