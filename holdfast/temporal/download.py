"""Run as a process of its own, `python -m holdfast.temporal.download FOLDER VERSION`, because a download that the SDK
has begun cannot be stopped from within: behind a proxy that never answers it waits for ever."""

import asyncio
import os
import sys

from temporalio.testing import WorkflowEnvironment


async def _download(folder: str, version: str) -> None:
    server = await WorkflowEnvironment.start_local(download_dest_dir=folder, dev_server_download_version=f"v{version}")
    await server.shutdown()


def main() -> None:
    code = 0
    try:
        asyncio.run(_download(*sys.argv[1:3]))
    except RuntimeError as exc:
        print(exc, file=sys.stderr)
        code = 1
    sys.stderr.flush()
    # The SDK may abort at interpreter exit (3 of 20 short runs).
    os._exit(code)


if __name__ == "__main__":
    main()
