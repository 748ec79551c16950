import json
import random
import re
import struct
import time
import uuid
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import ids

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: shuffled(item, chance) for key, item in items}
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


@given(values, st.randoms())
def test_order_of_keys_never_matters(value: Any, chance: random.Random):
    assert ids.canonical(shuffled(value, chance)) == ids.canonical(value)


@given(values)
def test_canonical_json_is_json_of_the_same_value(value: Any):
    # Integers beyond 2**53 are wrapped; every other number is a double, whatever its text looks like.
    def unwrapped(item: dict[str, Any]) -> Any:
        if list(item) == ["$int"]:
            return int(item["$int"])
        return {key.replace("$", "", 1) if re.fullmatch(r"\$+int", key) else key: each for key, each in item.items()}

    assert json.loads(ids.canonical(value), object_hook=unwrapped, parse_int=float) == value


def test_no_value_looks_like_a_large_integer():
    number = 2**60
    same = [number, {"$int": str(number)}, {"$$int": str(number)}, {"$int": str(number), "a": 1}, {"$int": number}]
    assert len({ids.canonical(value) for value in same}) == len(same)


# RFC 8785, appendix B: the bits of a double, and its text.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_the_rfc_says(bits: str, text: str):
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert ids.canonical(number) == text.encode()


def test_the_example_of_the_rfc():
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert ids.canonical(value).decode() == expected


def test_keys_are_sorted_by_utf16():
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(ids.canonical(dict.fromkeys(keys)))) == ["\r", "1", "\x80", "ö", "€", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**53 + 1, 10**300, 2**63])
def test_integer_that_no_double_holds_keeps_all_its_digits(number: int):
    assert json.loads(ids.canonical([number])) == [{"$int": str(number)}]
    assert ids.canonical(number) != ids.canonical(number + 1)


@pytest.mark.parametrize("number", [2**53 - 1, -(2**53 - 1), 0, True])
def test_other_integers_are_plain(number: int):
    assert json.loads(ids.canonical(number)) == number


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        [{"a": float("nan")}],
        "\ud800",
        {"\udfff": 1},
        b"a",
        {1, 2},
        {1: 2},
        nested(100_000),
    ],
    ids=["nan", "inf", "-inf", "nan inside", "surrogate", "surrogate key", "bytes", "set", "number as key", "too deep"],
)
def test_what_is_not_json_is_refused(value: Any):
    with pytest.raises(ValueError, match="not canonical JSON"):
        ids.canonical(value)


def test_mappings_and_tuples_are_objects_and_arrays():
    assert ids.canonical(MappingProxyType({"b": (1, 2), "a": []})) == b'{"a":[],"b":[1,2]}'


def test_call_id_is_what_is_asked_and_which_time():
    digest = ids.call_hash("program", "web-search", {"q": "acme", "n": 3})
    assert digest == ids.call_hash("program", "web-search", {"n": 3.0, "q": "acme"})
    assert len({ids.call_id(digest, time) for time in range(1, 4)}) == 3
    assert ids.call_id(digest, 2) == f"{digest}.2" and len(digest) == 24


def test_call_hash_never_changes_between_releases():
    assert ids.call_hash("program", "web-search", {"q": "acme"}) == "a4dbdb7ca5ff2dae7bc21e19"
    assert ids.task_id_from_key("default", "order-7") == "73615c4b-db59-5152-a933-655386b9f06a"
    assert (
        ids.idempotency_key("default", "task-1", "c.1")
        == "7ea6ff01d10d81debcde5109bf722832c41f569185c57935dc27e23863fdcd54"
    )


@given(st.lists(st.tuples(texts, texts, texts), min_size=2, max_size=2, unique=True))
def test_scope_skill_and_arguments_all_count(asks: list[tuple[str, str, str]]):
    first, second = (ids.call_hash(scope, skill, {"q": argument}) for scope, skill, argument in asks)
    assert first != second


def test_keys_differ_between_tenants_tasks_and_calls():
    asks = [("a", "t", "c.1"), ("b", "t", "c.1"), ("a", "u", "c.1"), ("a", "t", "c.2")]
    assert len({ids.idempotency_key(*ask) for ask in asks}) == 4
    assert ids.idempotency_key(*asks[0]) == ids.idempotency_key(*asks[0])


def test_task_id_of_a_key_differs_between_tenants():
    one, other = ids.task_id_from_key("acme", "order-7"), ids.task_id_from_key("globex", "order-7")
    assert one != other and one == ids.task_id_from_key("acme", "order-7")
    assert uuid.UUID(one).version == 5


def test_task_ids_are_uuid7_and_sort_by_time():
    before = time.time_ns() // 1_000_000
    made = [ids.new_task_id()]
    while len(made) < 3:
        fresh = ids.new_task_id()
        if fresh[:13] != made[-1][:13]:  # the next millisecond
            made.append(fresh)
    after = time.time_ns() // 1_000_000
    assert made == sorted(made)
    for each in map(uuid.UUID, made):
        assert (each.version, each.variant) == (7, uuid.RFC_4122)
        assert before <= each.int >> 80 <= after
    assert len({ids.new_task_id() for _ in range(10_000)}) == 10_000


def test_trace_id_has_the_w3c_form():
    assert len({ids.new_trace_id() for _ in range(100)}) == 100
    assert len(ids.new_trace_id()) == 32 and int(ids.new_trace_id(), 16) > 0
