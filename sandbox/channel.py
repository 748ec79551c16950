"""The channel between host and guest: "stdio frames".

A frame is one ASCII line, `\\x1eHF1 <json>`. Longer JSON comes in pieces: `\\x1eHF1+ <piece>` lines, then the last
piece as a plain frame line. Any other line is noise (banners, prints of a transport): ignored, but counted as output.
JSON and never pickle: the guest is hostile. `sandbox/guest.py` holds the same rules for its side.
"""

import asyncio
import json
import math
import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from holdfast.errors import shown
from sandbox.base import Box, BoxLost, ProtocolViolation

MARK = b"\x1eHF1"
PIECE_CHARACTERS = 60_000
MAX_LINE_BYTES = 64 * 1024
MAX_FRAME_BYTES = 5 << 20
MAX_DEPTH = 128
"""Below the recursion limits of everything that a frame's content meets later (pydantic-core: 200)."""

_ONCE = frozenset({"ready", "session", "files", "done", "raised"})
"""Kinds of frames that a guest of ours sends at most once."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def encode(frame: dict[str, Any]) -> bytes:
    """Bytes of a frame, in as many lines as it needs.

    Raises:
        ValueError: it holds NaN or an infinity, or is cyclic.
    """
    text = json.dumps(frame, allow_nan=False, separators=(",", ":")).encode("ascii")
    cuts = range(0, max(len(text), 1), PIECE_CHARACTERS)
    pieces = [text[cut : cut + PIECE_CHARACTERS] for cut in cuts]
    return b"".join(MARK + b"+ " + piece + b"\n" for piece in pieces[:-1]) + MARK + b" " + pieces[-1] + b"\n"


class Decoder:
    """Frames out of a stream that arrives in pieces of any size. Never holds more than one frame and one line.

    `noise_bytes` counts what was no frame. After a violation the decoder is of no more use.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self.noise_bytes = 0
        self._max_frame_bytes = max_frame_bytes
        self._line = bytearray()
        self._in_noise = False
        # Not a list: of pieces of a byte each it would be many times as large as what they hold.
        self._pieces = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The frames that end within `data`.

        Raises:
            ProtocolViolation: a line or frame is too large, not ASCII, not strict JSON, or not an object.
        """
        frames = []
        at = 0
        while at < len(data):
            if self._in_noise or not (self._line or data.startswith(MARK[:1], at)):
                at = self._pass_noise(data, at)
                continue
            at, ended = self._take(data, at)
            if ended and (frame := self._end_of_line()) is not None:
                frames.append(frame)
        return frames

    def _pass_noise(self, data: bytes, at: int) -> int:
        """Skip to the next line that may be a frame, at one go: millions of empty lines must not cost us time."""
        found = data.find(b"\n" + MARK[:1], at)
        end = len(data) if found < 0 else found + 1
        self.noise_bytes += end - at
        self._in_noise = data[end - 1 : end] != b"\n"
        return end

    def _take(self, data: bytes, at: int) -> tuple[int, bool]:
        """Add to the line; returns where to go on, and whether the line has ended."""
        found = data.find(b"\n", at)
        end = len(data) if found < 0 else found
        self._line += data[at:end]
        if not MARK.startswith(self._line[: len(MARK)]):
            self.noise_bytes += len(self._line)
            self._line.clear()
            self._in_noise = True
            return end, False
        if len(self._line) > MAX_LINE_BYTES:
            raise ProtocolViolation(f"a line of the guest is longer than {MAX_LINE_BYTES} bytes")
        return (end, False) if found < 0 else (end + 1, True)

    def _end_of_line(self) -> dict[str, Any] | None:
        line = bytes(self._line)
        self._line.clear()
        if line.startswith(MARK + b"+ "):
            self._keep(line[len(MARK) + 2 :])
            return None
        if line.startswith(MARK + b" "):
            self._keep(line[len(MARK) + 1 :])
            return self._frame()
        self.noise_bytes += len(line) + 1
        return None

    def _keep(self, piece: bytes) -> None:
        if len(self._pieces) + len(piece) > self._max_frame_bytes:
            raise ProtocolViolation(f"a frame of the guest is larger than {self._max_frame_bytes} bytes")
        self._pieces += piece
        if not piece:
            # A flood of these would never add up to a limit.
            self.noise_bytes += len(MARK) + 3

    def _frame(self) -> dict[str, Any]:
        text = bytes(self._pieces)
        self._pieces.clear()
        return parse(text)


def parse(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`, strictly: finite numbers, whole characters, at most 128 levels deep.

    Raises:
        ProtocolViolation: it is anything else.
    """
    try:
        ascii_text = text.decode("ascii")
        value = json.loads(ascii_text, parse_constant=_not_finite, parse_float=_finite)
        if _SURROGATE.search(ascii_text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as exc:
        raise ProtocolViolation(f"a frame of the guest is not strict JSON: {str(exc)[:200]}") from None
    if not isinstance(value, dict):
        raise ProtocolViolation(f"a frame of the guest is {shown(value)}; an object is expected")
    if ascii_text.count("[") + ascii_text.count("{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise ProtocolViolation(f"a frame of the guest is nested more than {MAX_DEPTH} levels deep")
    return value


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is beyond the range of a number")
    return number


def _deeper_than(value: Any, levels: int) -> bool:
    """Level by level, not by recursion."""
    level = [value]
    for _ in range(levels):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
        if not level:
            return False
    return True


class Channel:
    """Frames to and from one box. A guest that breaks the rules loses its box."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._decoder = Decoder()
        self._noise_seen = 0
        self._sending = asyncio.Lock()
        self._received: deque[dict[str, Any]] = deque()
        self._said: set[str] = set()

    async def ready(self, timeout_s: float = 30.0) -> str:
        """Wait until the guest is up, and tell its Python: its first frame is `ready`. To be called once, and first.

        Raises:
            BoxLost: it ended, or said nothing in time; the message holds what it wrote on its way down.
        """
        try:
            async with asyncio.timeout(timeout_s):
                frame = await self.receive()
        except TimeoutError:
            raise BoxLost(f"the guest was not up within {timeout_s} s; it wrote {shown(self._box.noise)}") from None
        if frame is None:
            raise BoxLost(f"the guest ended with {self._box.exit_code} at start; it wrote {shown(self._box.noise)}")
        if frame.get("t") != "ready":
            raise BoxLost(f"the guest began with {shown(frame)} instead of a 'ready' frame")
        return str(frame.get("python", ""))

    async def send(self, frame: dict[str, Any]) -> None:
        """Hand over a frame of any size. Waits for a guest that reads slowly, so a time limit is the caller's.

        Raises:
            BoxLost: the box is gone.
        """
        async with self._sending:
            await self._box.write(encode(frame))

    async def receive(self) -> dict[str, Any] | None:
        """The next frame; None once the box has ended. A caller that gives up (a timeout) loses no frame.

        Raises:
            ProtocolViolation: the guest broke the rules; its box is gone.
        """
        while not self._received:
            data = await self._box.read()
            if not data:
                return None
            self._received += await self._decoded(data)
        return self._received.popleft()

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        """What `receive` gives, until the box has ended."""
        while (frame := await self.receive()) is not None:
            yield frame

    async def _decoded(self, data: bytes) -> list[dict[str, Any]]:
        try:
            frames = self._decoder.feed(data)
            printed = sum(map(self._output_bytes, frames))
        except ProtocolViolation:
            await self._box.kill()
            raise
        noise = self._decoder.noise_bytes
        self._box.count_output(noise - self._noise_seen + printed)
        self._noise_seen = noise
        return frames

    def _output_bytes(self, frame: dict[str, Any]) -> int:
        """What counts as output: all of a frame that our guest would not send, or else a flood of them were free.

        Raises:
            ProtocolViolation: it has no kind.
        """
        kind = frame.get("t")
        if not isinstance(kind, str):
            raise ProtocolViolation(f"a frame of the guest has the kind {shown(kind)}; a word is expected")
        if kind == "out" and frame.keys() == {"t", "d"} and isinstance(frame["d"], str) and frame["d"]:
            return len(frame["d"].encode())
        if kind == "calls" or (kind in _ONCE and kind not in self._said):
            self._said.add(kind)
            return 0
        return len(json.dumps(frame))
