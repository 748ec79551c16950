"""JSON values in and out of blobs."""

import asyncio
import json
from typing import Any

from holdfast.blobs import BlobStore
from holdfast.contracts.base import Value


async def stored(blobs: BlobStore, value: Any, inline_bytes: int) -> Value:
    """A value as it travels: inline up to `inline_bytes` of JSON, else by reference."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    if len(text) <= inline_bytes:
        return Value(inline=value)
    return Value(ref=await asyncio.to_thread(blobs.put, text), size_bytes=len(text))


async def loaded(blobs: BlobStore, value: Value | None) -> Any:
    if value is None:
        return None
    if value.ref is None:
        return value.inline
    return await asyncio.to_thread(blobs.get_json, value.ref)
