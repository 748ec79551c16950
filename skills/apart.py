"""Work on untrusted files in a process of its own: a hostile file may hang, crash or fill it; the worker lives on."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import SkillCrashed, SkillInputError, SkillTimeout

_ENTRY = Path(__file__).with_name("apart_entry.py")


def run_apart(
    script: Path, job: dict[str, Any], *, seconds: float, memory_bytes: int = 1 << 30, fds: Sequence[int] = ()
) -> dict[str, Any]:
    """What `main(job)` of a script answers: a JSON object. The script sees no environment, and only these descriptors.

    Raises:
        SkillInputError: it answered `{"refused": message}`.
        SkillTimeout, SkillCrashed: it ran too long, or its process died.
    """
    command = [sys.executable, "-I", str(_ENTRY), str(script), str(memory_bytes), str(int(seconds) + 1)]
    what = script.parent.name
    try:
        done = subprocess.run(
            command,
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=seconds,
            env={"LC_ALL": "C.UTF-8"},
            pass_fds=fds,
        )
    except subprocess.TimeoutExpired as exc:
        raise SkillTimeout(
            f"{what} worked for {seconds:g} s, which is its limit, and was stopped; give it less at a time"
        ) from exc
    if done.returncode != 0:
        raise SkillCrashed(
            f"{what} ended with {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-400:].strip()}"
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    if "refused" in answer:
        raise SkillInputError(answer["refused"])
    return answer
