"""Names that must never change meaning: task ids, call ids, idempotency keys, canonical JSON."""

import hashlib
import os
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

import rfc8785

_SAFE_INT = 2**53 - 1
_OWN_KEY = re.compile(r"\$+int")
_TASKS = uuid.UUID("6f6c6466-6173-8074-8001-000000000001")


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value. Integers beyond 2**53 and non-finite numbers are outside of that RFC:
    the first are written as `{"$int": "<digits>"}`, the second are refused. A key `$int` of the value's own gets
    one more `$`, so that different values never have the same bytes.

    Raises:
        ValueError: the value holds NaN, an infinity, a lone surrogate, or something that is not JSON.
    """
    try:
        return rfc8785.dumps(_widened(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as exc:
        raise ValueError(f"not canonical JSON: {exc}") from exc


def _widened(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) > _SAFE_INT:
        return {"$int": str(value)}
    if isinstance(value, Mapping):
        return {_escaped(key): _widened(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_widened(item) for item in value]
    return value


def _escaped(key: Any) -> Any:
    return f"${key}" if isinstance(key, str) and _OWN_KEY.fullmatch(key) else key


def user_hash(user_id: str) -> str:
    """All that is kept of a user's e-mail address or name: sha256 of it, trimmed and in lower case."""
    return hashlib.sha256(user_id.strip().lower().encode()).hexdigest()


def call_hash(scope: str, skill: str, arguments: Mapping[str, Any]) -> str:
    """The part of a call id that says what is asked: 24 hex digits of sha256(scope, skill, canonical arguments)."""
    body = canonical([scope, skill, arguments])
    return hashlib.sha256(body).hexdigest()[:24]


def call_id(digest: str, occurrence: int) -> str:
    """`<hash>.<k>`: the k-th time (from 1) that this scope asks exactly this."""
    return f"{digest}.{occurrence}"


def idempotency_key(tenant: str, task_id: str, call: str) -> str:
    """The key a skill hands to the outside world. Two tasks that ask the same never share one."""
    return hashlib.sha256(f"{tenant}/{task_id}/{call}".encode()).hexdigest()


def task_id_from_key(tenant: str, key: str) -> str:
    """The task id that an idempotency key (or event id) always leads to."""
    return str(uuid.uuid5(_TASKS, f"{tenant}\0{key}"))


def new_task_id() -> str:
    """A uuid7 (RFC 9562): sorts by time of creation, to the millisecond."""
    stamp = time.time_ns() // 1_000_000
    raw = stamp.to_bytes(6, "big") + os.urandom(10)
    number = int.from_bytes(raw, "big")
    number = number & ~(0xF << 76) | (0x7 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=number))


def new_trace_id() -> str:
    """32 hex digits, the W3C trace context form."""
    return os.urandom(16).hex()


def workflow_id(tenant: str, task_id: str) -> str:
    return f"{tenant}/{task_id}"
