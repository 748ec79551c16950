"""What runs in the process that `skills.apart` starts. Standard library only: its start is paid with every call."""

import json
import resource
import runpy
import sys
from pathlib import Path


def main() -> None:
    script, memory_bytes, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path.insert(0, str(Path(script).parent))
    work = runpy.run_path(script)["main"]
    json.dump(work(json.load(sys.stdin)), sys.stdout, allow_nan=False)


if __name__ == "__main__":
    main()
