"""`python -m holdfast.temporal`: where the dev server is; found, or built once. So no test has to wait for it."""

import asyncio
import sys

from holdfast.config import Settings
from holdfast.errors import HoldfastError
from holdfast.temporal.binary import find


def main() -> int:
    try:
        print(asyncio.run(find(Settings.load())))
    except HoldfastError as exc:
        sys.stderr.write(f"{exc}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
