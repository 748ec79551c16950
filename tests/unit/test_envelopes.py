"""Events in every form that they come in: what is read, what is refused, and that they leave as they came."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.event import Event
from holdfast.envelopes import MAX_BATCH, binary, cloud, is_binary, many, one
from holdfast.errors import InvalidRequest, TooLarge

NOW = 1_795_000_000.0
TRACE = "0af7651916cd43dd8448eb211c80319c"
CLOUD = {"specversion": "1.0", "id": "a-1", "source": "/till/7", "type": "shop.order.paid"}
OLDER = {
    "event_id": "e-1",
    "event_type": "task.submitted.general",
    "timestamp": "2026-11-26T07:30:00Z",
    "trace_id": "0af76519-16cd-43dd-8448-eb211c80319c",
    "execution_id": "x-9",
    "parent_event_id": "e-0",
    "payload": {"prompt": "Go"},
    "priority": "critical",
    "ttl_seconds": 60,
    "retry_count": 2,
}


def read(given: Any) -> Event:
    return one(given, "acme", NOW)


def test_agentrunners_envelope_keeps_all_that_it_says() -> None:
    event = read(OLDER)
    assert (event.id, event.topic, event.tenant) == ("e-1", "task.submitted.general", "acme")
    assert (event.data, event.priority, event.trace_id) == ({"prompt": "Go"}, "critical", TRACE)
    assert (event.execution_id, event.parent_event_id, event.depth) == ("x-9", "e-0", 0)
    assert event.expires_at == event.at + 60


def test_short_form_needs_a_topic_only() -> None:
    event = read({"topic": "a.b"})
    assert (event.topic, event.data, event.at, event.priority, event.expires_at) == ("a.b", None, NOW, "normal", None)
    assert event.id != read({"topic": "a.b"}).id


def test_cloudevent_keeps_all_that_it_says() -> None:
    more = {"time": "2026-11-26T08:30:00+01:00", "subject": "o-7", "data": [1], "priority": "low", "depth": 3}
    more |= {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "expirytime": "2026-11-26T08:00:00Z", "myown": "kept"}
    event = read({**CLOUD, **more})
    assert (event.topic, event.source, event.subject, event.data) == ("shop.order.paid", "/till/7", "o-7", [1])
    assert (event.trace_id, event.priority, event.depth) == (TRACE, "low", 3)
    assert event.expires_at is not None
    assert event.expires_at - event.at == 1800


def test_ids_are_those_of_their_source_and_stay_the_same() -> None:
    here, there = read(CLOUD), read({**CLOUD, "source": "/till/8"})
    assert here.id == read(CLOUD).id != there.id
    assert here.id.startswith("a-1@")
    unique = {**CLOUD, "id": "0198c2f1-8f7e-7c5e-9d0a-2f6f5f0c9a11"}
    assert read(unique).id == unique["id"]
    assert read({**CLOUD, "source": "holdfast/default"}).id == "a-1"


@pytest.mark.parametrize(
    ("media_type", "body", "data"),
    [
        ("application/json", b'{"n": 1}', {"n": 1}),
        ("application/vnd.shop+json; charset=utf-8", b"[1]", [1]),
        ("text/plain", "grün".encode(), "grün"),
        ("image/png", b"\x89PNG", {"base64": "iVBORw==", "media_type": "image/png"}),
    ],
)
def test_binary_mode_reads_its_body_by_its_type(media_type: str, body: bytes, data: Any) -> None:
    headers = {"Content-Type": media_type, **{f"CE-{name}": value for name, value in CLOUD.items()}}
    assert is_binary(headers)
    event = binary(headers, body, "acme", NOW)
    assert (event.data, event.id) == (data, read(CLOUD).id)


def test_binary_mode_without_a_version_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="specversion"):
        binary({"ce-id": "1", "ce-type": "a", "ce-source": "b"}, b"", "acme", NOW)


def test_base64_data_is_what_it_stands_for() -> None:
    given = {**CLOUD, "data_base64": "eyJuIjogMX0=", "datacontenttype": "application/json"}
    assert read(given).data == {"n": 1}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "mapping"),
        ({}, "specversion"),
        ({**CLOUD, "specversion": "0.3"}, "allowed is '1.0'"),
        ({**CLOUD, "type": "a/b"}, "type: found 'a/b'"),
        ({**CLOUD, "source": ""}, "source"),
        ({**CLOUD, "id": 7}, "id: found 7"),
        ({**CLOUD, "Big": 1}, "Big"),
        ({**CLOUD, "data": 1, "data_base64": "MQ=="}, "one of the two"),
        ({**CLOUD, "data_base64": "!"}, "no base64"),
        ({**CLOUD, "data_base64": "ä"}, "no base64"),
        ({**CLOUD, "depth": -1}, "depth"),
        ({**CLOUD, "time": "noon"}, "time: found 'noon'"),
        ({**OLDER, "prio": 1}, "did you mean 'priority'"),
        ({**OLDER, "priority": "soon"}, "low, normal, high, critical"),
        ({**OLDER, "ttl_seconds": 0}, "ttl_seconds"),
        ({**OLDER, "event_id": "x" * 181}, "180"),
        ({"topic": "a.*"}, "wildcard"),
        ({"topic": "a..b"}, "a word is empty"),
        ({"topic": 7}, "topic: found 7"),
        ({"topic": "a", "payload": float("nan")}, "NaN"),
        ({"topic": "a", "payload": "\ud800"}, "UTF-8"),
    ],
)
def test_what_is_wrong_is_named(given: Any, says: str) -> None:
    with pytest.raises(InvalidRequest) as found:
        read(given)
    assert says in str(found.value)


def test_large_events_and_batches_are_refused() -> None:
    with pytest.raises(TooLarge, match="262144"):
        read({"topic": "a", "payload": "x" * (256 << 10)})
    with pytest.raises(InvalidRequest, match="at most 100"):
        many([CLOUD] * (MAX_BATCH + 1), "acme", NOW)
    with pytest.raises(InvalidRequest, match="event 1 of the batch"):
        many([CLOUD, {}], "acme", NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["low", "normal", "high", "critical"]), st.integers(0, 9), st.none() | st.just(60.0))
def test_event_that_leaves_and_comes_back_is_the_same(data: Any, priority: Any, depth: int, ttl: float | None) -> None:
    event = Event(
        id="7.completed",
        tenant="acme",
        topic="agent.task.completed",
        source="holdfast/acme",
        subject="7",
        data=data,
        at=NOW,
        expires_at=None if ttl is None else NOW + ttl,
        priority=priority,
        depth=depth,
        trace_id=TRACE,
        parent_event_id="p",
        execution_id="7",
    )
    assert read(json.loads(json.dumps(cloud(event)))) == event
