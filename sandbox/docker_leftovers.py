"""Containers whose worker is gone. They have ended by themselves, with its connection; here they are forgotten."""

import json
import time
from typing import Any

from sandbox import procs
from sandbox.docker_box import remove
from sandbox.docker_engine import Engine
from sandbox.docker_spec import LABEL_WORKER

_OLD_SECONDS = 600.0


def worker_label() -> str:
    """Tells `reap` whose a container is."""
    return procs.new_title()


async def reap(engine: Engine) -> int:
    """Remove boxes of workers that are gone; returns how many.

    Of a worker in another container only the end of its boxes can be seen, not its own: a box that has ended, and is
    still there after ten minutes, is nobody's.
    """
    filters = json.dumps({"label": [LABEL_WORKER]})
    found = await engine.call("GET", "/containers/json", all="1", filters=filters)
    left = [each["Id"] for each in found if _is_left(each)]
    for container in left:
        await remove(engine, container)
    return len(left)


def _is_left(found: dict[str, Any]) -> bool:
    if procs.is_orphan(found["Labels"][LABEL_WORKER]):
        return True
    return found["State"] in ("exited", "dead", "created") and time.time() - found["Created"] > _OLD_SECONDS
