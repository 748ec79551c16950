"""`python -m holdfast.temporal`: where the dev server is; found, or built once. So no test has to wait for it.

`python -m holdfast.temporal cluster`: the same for a real server and its schema tool.
"""

import asyncio
import sys

from holdfast.config import Settings
from holdfast.errors import HoldfastError
from holdfast.temporal import binary


def main() -> int:
    try:
        if sys.argv[1:] == ["cluster"]:
            print(*asyncio.run(binary.cluster()), sep="\n")
        else:
            print(asyncio.run(binary.find(Settings.load())))
    except HoldfastError as exc:
        sys.stderr.write(f"{exc}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
