"""The model: a process that speaks OpenAI's chat completions, whole and streamed, and counts what it is asked.

GET /stats?run=ID: requests and bytes of one run. What a request says decides its reply, alone.
"""

import asyncio
import json
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from bench.replies import Reply, decide, streamed, whole
from bench.task import Task


@dataclass
class Asked:
    """What a run asked. `size_bytes` of its requests' bodies; a token is taken for four of them."""

    requests: int = 0
    size_bytes: int = 0


class Stub:
    def __init__(self) -> None:
        self.asked: dict[str, Asked] = defaultdict(Asked)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive for as many requests as come."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                kind, content = await self._answered(head, await reader.readexactly(_length(head)))
                start = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n\r\n"
                writer.write(start.encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answered(self, head: str, body: bytes) -> tuple[str, bytes]:
        path = head.split(" ", 2)[1]
        if path.startswith("/stats?run="):
            return "application/json", json.dumps(asdict(self.asked[path.partition("=")[2]])).encode()
        if path != "/v1/chat/completions":
            return "application/json", json.dumps({"object": "list", "data": [{"id": "stub"}]}).encode()
        request: dict[str, Any] = json.loads(body)
        return await self._replied(request, body)

    async def _replied(self, request: dict[str, Any], body: bytes) -> tuple[str, bytes]:
        task = Task.found_in(body.decode())
        if task is None:
            reply = Reply("OK")
        else:
            asked = self.asked[task.run]
            asked.requests += 1
            asked.size_bytes += len(body)
            reply = decide(request, task)
            await asyncio.sleep(task.latency_ms / 1000)
        if request.get("stream"):
            return "text/event-stream", streamed(reply, len(body))
        return "application/json", whole(reply, len(body))


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, found = line.partition(":")
        if name.lower() == "content-length":
            return int(found)
    return 0


async def main(port: int) -> None:
    server = await asyncio.start_server(Stub().serve, "127.0.0.1", port, backlog=2048, limit=1 << 24)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
