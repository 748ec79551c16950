"""Events as they come in: CloudEvents 1.0, agentrunner's envelope, and the short form. And as they go out."""

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import ValidationError

from holdfast.contracts.base import Json
from holdfast.contracts.event import Event, EventPriority
from holdfast.errors import InvalidRequest, TooLarge, shown
from holdfast.ids import canonical, new_task_id, new_trace_id
from holdfast.names import listed, suggestion
from holdfast.topics import check_topic

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MAX_EVENT_BYTES = 256 << 10
MAX_BATCH = 100
MAX_ID_CHARACTERS = 180
"""An id may grow by a mark of its source, and an event's row keeps 200."""

SHORT = ("topic", "payload", "event_id", "timestamp", "trace_id", "priority", "ttl_seconds", "parent_event_id")
OLDER = (
    "event_id",
    "event_type",
    "timestamp",
    "trace_id",
    "execution_id",
    "parent_event_id",
    "payload",
    "priority",
    "ttl_seconds",
    "retry_count",
    "source",
)
_CLOUD = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data")
_EXTENSION = re.compile(r"[a-z0-9]{1,40}")
_TRACE = re.compile(r"[0-9a-f]{32}")
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_PRIORITIES: tuple[str, ...] = get_args(EventPriority)


def one(given: Json, tenant: str, now: float, trace_id: str = "") -> Event:
    """The event in an envelope of whichever kind: its keys tell. `trace_id` is that of an event that says none.

    Raises:
        InvalidRequest: says which key, what was found and what is allowed.
        TooLarge: it has more than 256 KiB of JSON.
    """
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"event: found {shown(given)}; allowed is a mapping: {_forms()}")
    _bounded(given)
    if "specversion" in given:
        return _cloud(given, tenant, now, trace_id)
    if "event_type" in given:
        return _older(given, tenant, now, trace_id, OLDER, "event_type")
    if "topic" in given:
        return _older(given, tenant, now, trace_id, SHORT, "topic")
    raise InvalidRequest(f"event: found the keys {listed(map(str, given))}; allowed are {_forms()}")


def many(given: Json, tenant: str, now: float, trace_id: str = "") -> list[Event]:
    """The events of a batch. One that is wrong refuses all of it, and the message says which.

    Raises:
        InvalidRequest, TooLarge: as `one`.
    """
    if not isinstance(given, list) or len(given) > MAX_BATCH:
        found = f"{len(given)} events" if isinstance(given, list) else shown(given)
        raise InvalidRequest(f"batch: found {found}; allowed is a list of at most {MAX_BATCH} events")
    events = []
    for number, each in enumerate(given):
        try:
            events.append(one(each, tenant, now, trace_id))
        except (InvalidRequest, TooLarge) as exc:
            raise type(exc)(f"event {number} of the batch: {exc}") from None
    return events


def binary(headers: Mapping[str, str], body: bytes, tenant: str, now: float, trace_id: str = "") -> Event:
    """The event of a request in binary mode: attributes are `ce-` headers, the body is the data.

    Raises:
        InvalidRequest, TooLarge: as `one`.
    """
    if len(body) > MAX_EVENT_BYTES:
        raise TooLarge(f"event: its data has {len(body)} bytes; {MAX_EVENT_BYTES} are allowed")
    lowered = {name.lower(): value for name, value in headers.items()}
    given: dict[str, Json] = {name[3:]: value for name, value in lowered.items() if name.startswith("ce-")}
    given.setdefault("specversion", "")
    kind = lowered.get("content-type", "")
    data = {"data": _data(body, kind)} if body else {}
    return one({**given, **data, **({"datacontenttype": kind} if kind else {})}, tenant, now, trace_id)


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether a request is one in binary mode."""
    return any(name.lower() in ("ce-specversion", "ce-type", "ce-id") for name in headers)


def cloud(event: Event, source: str = "") -> dict[str, Json]:
    """The event as CloudEvents 1.0 in JSON. `source` is said for one that has none."""
    extensions: dict[str, Json] = {
        "subject": event.subject,
        "expirytime": _iso(event.expires_at) if event.expires_at is not None else "",
        "priority": event.priority,
        "depth": event.depth,
        "parenteventid": event.parent_event_id,
        "executionid": event.execution_id,
        "traceparent": f"00-{event.trace_id}-{event.trace_id[:16]}-01",
    }
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source or source or "holdfast",
        "type": event.topic,
        "time": _iso(event.at),
        "datacontenttype": "application/json",
        **{name: value for name, value in extensions.items() if value not in (None, "")},
        "data": event.data,
    }


# CloudEvents


def _cloud(given: Mapping[str, Json], tenant: str, now: float, trace_id: str) -> Event:
    if given["specversion"] != "1.0":
        raise InvalidRequest(f"specversion: found {shown(given['specversion'])}; allowed is '1.0'")
    wrong = [name for name in given if name not in (*_CLOUD, "data_base64") and not _EXTENSION.fullmatch(str(name))]
    if wrong:
        raise InvalidRequest(f"{wrong[0]}: is no name of an attribute; allowed are small letters and digits")
    source, at = _word(given, "source"), _time(given, "time", now)
    fields: dict[str, Any] = {
        "id": _sourced(_word(given, "id"), source),
        "topic": _topic(given, "type"),
        "source": source,
        "subject": _word(given, "subject", ""),
        "data": _cloud_data(given),
        "at": at,
        "expires_at": _time(given, "expirytime", None),
        "priority": _priority(given, "priority"),
        "parent_event_id": _word(given, "parenteventid", None),
        "execution_id": _word(given, "executionid", None),
        "depth": _depth(given),
        "trace_id": _traced(given.get("traceparent"), trace_id),
    }
    return _event(tenant, fields)


def _sourced(event_id: str, source: str) -> str:
    """CloudEvents promises that an id is unique within its source: of two sources that say `1`, both are heard. Ids
    that are unique by themselves, and those of our own events, stay."""
    if len(event_id) > MAX_ID_CHARACTERS:
        raise InvalidRequest(f"id: found {len(event_id)} characters; {MAX_ID_CHARACTERS} are allowed")
    if _is_uuid(event_id) or source == "holdfast" or source.startswith("holdfast/"):
        return event_id
    return f"{event_id}@{hashlib.sha256(source.encode()).hexdigest()[:12]}"


def _is_uuid(text: str) -> bool:
    try:
        return len(text) >= 32 and bool(uuid.UUID(text))
    except ValueError:
        return False


def _cloud_data(given: Mapping[str, Json]) -> Json:
    if "data_base64" not in given:
        return given.get("data")
    if "data" in given:
        raise InvalidRequest("data_base64: found beside 'data'; allowed is one of the two")
    try:
        body = base64.b64decode(_word(given, "data_base64"), validate=True)
    except ValueError:
        raise InvalidRequest(f"data_base64: found {shown(given['data_base64'])}, which is no base64") from None
    return _data(body, str(given.get("datacontenttype") or "application/octet-stream"))


def _data(body: bytes, media_type: str) -> Json:
    """JSON as what it says, text as text; other bytes as a mapping of `base64` and `media_type`."""
    kind = media_type.partition(";")[0].strip().lower()
    try:
        if not kind or kind in ("application/json", "text/json") or kind.endswith("+json"):
            return json.loads(body)
        if kind.startswith("text/"):
            return body.decode()
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"data: is not {media_type or 'JSON'} in UTF-8: {str(exc)[:200]}") from None
    return {"base64": base64.b64encode(body).decode(), "media_type": media_type}


def _depth(given: Mapping[str, Json]) -> int:
    """Said by an event that went through another system, so that a loop through it ends too."""
    found = given.get("depth", 0)
    number = int(found) if isinstance(found, str) and re.fullmatch(r"[0-9]{1,6}", found) else found
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1_000_000:
        raise InvalidRequest(f"depth: found {shown(found)}; allowed is a whole number from 0")
    return number


# agentrunner's, and the short form


def _older(
    given: Mapping[str, Json], tenant: str, now: float, trace_id: str, known: tuple[str, ...], topic: str
) -> Event:
    for name in given:
        if name not in known:
            raise InvalidRequest(f"{name}: unknown;{suggestion(str(name), known)} allowed: {listed(known)}")
    at = _time(given, "timestamp", now)
    ttl = given.get("ttl_seconds")
    if ttl is not None and (not isinstance(ttl, int | float) or isinstance(ttl, bool) or not 0 < ttl < 1e9):
        raise InvalidRequest(f"ttl_seconds: found {shown(ttl)}; allowed is a number of seconds above 0")
    found = _word(given, "event_id", "") or new_task_id()
    if len(found) > MAX_ID_CHARACTERS:
        raise InvalidRequest(f"event_id: found {len(found)} characters; {MAX_ID_CHARACTERS} are allowed")
    fields: dict[str, Any] = {
        "id": found,
        "topic": _topic(given, topic),
        "source": _word(given, "source", ""),
        "data": given.get("payload"),
        "at": at,
        "expires_at": None if ttl is None else at + ttl,
        "priority": _priority(given, "priority"),
        "parent_event_id": _word(given, "parent_event_id", None),
        "execution_id": _word(given, "execution_id", None),
        "trace_id": _traced(given.get("trace_id"), trace_id),
    }
    return _event(tenant, fields)


# what the forms have in common


def _forms() -> str:
    forms = "{specversion, id, source, type, data, …} (CloudEvents 1.0), {event_id, event_type, payload, …}"
    return f"{forms} or {{topic, payload}}"


def _bounded(given: Mapping[str, Json]) -> None:
    try:
        size = len(canonical(dict(given)))
    except ValueError as exc:
        raise InvalidRequest(f"event: {exc}; allowed is JSON in UTF-8, without NaN and infinities") from None
    if size > MAX_EVENT_BYTES:
        raise TooLarge(f"event: has {size} bytes of JSON; {MAX_EVENT_BYTES} are allowed. Send a reference instead")


_REQUIRED: Any = object()


def _word(given: Mapping[str, Json], key: str, default: Any = _REQUIRED) -> Any:
    """A text that is not empty."""
    found = given.get(key)
    if found is None and default is not _REQUIRED:
        return default
    if not isinstance(found, str) or not found.strip() or len(found) > 2 * MAX_EVENT_BYTES:
        said = "is missing" if found is None else f"found {shown(found)}"
        raise InvalidRequest(f"{key}: {said}; a text that is not empty is required")
    if "\x00" in found:
        raise InvalidRequest(f"{key}: found {shown(found)}; allowed is text without NUL")
    return found


def _topic(given: Mapping[str, Json], key: str) -> str:
    try:
        return check_topic(_word(given, key))
    except ValueError as exc:
        raise InvalidRequest(f"{key}: {exc}") from None


def _priority(given: Mapping[str, Json], key: str) -> str:
    found = given.get(key)
    if found is None:
        return "normal"
    if found not in _PRIORITIES:
        raise InvalidRequest(f"{key}: found {shown(found)}; allowed: {', '.join(_PRIORITIES)}")
    return str(found)


def _time(given: Mapping[str, Json], key: str, default: Any) -> Any:
    """RFC 3339, or seconds (or milliseconds) since 1970. Without a zone: UTC."""
    found = given.get(key)
    if found is None:
        return default
    if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < 1e14:
        return found / 1000 if found > 1e11 else float(found)
    try:
        moment = datetime.fromisoformat(found)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(f"{key}: found {shown(found)}; allowed: a time such as 2026-11-26T07:30:00Z") from None


def _traced(found: Json, default: str) -> str:
    """32 hex digits of a W3C trace, or a UUID; another text is led to the same 32 digits each time."""
    if found is None or found == "":
        return default or new_trace_id()
    if not isinstance(found, str):
        raise InvalidRequest(f"trace_id: found {shown(found)}; allowed is text, best of 32 hex digits")
    parent, plain = _PARENT.fullmatch(found), found.lower().replace("-", "")
    if parent:
        return parent[1]
    return plain if _TRACE.fullmatch(plain) else hashlib.sha256(found.encode()).hexdigest()[:32]


def _event(tenant: str, fields: dict[str, Any]) -> Event:
    try:
        return Event(tenant=tenant, **fields)
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors())
        raise InvalidRequest(f"event: {faults}") from None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
