"""Patterns of topics: RabbitMQ's meaning of `*` and `#`, and many of them at once."""

import re
import time
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.topics import Topics, check_pattern, check_topic

FITS = [
    ("a", "a"),
    ("a.b", "a.b"),
    ("*", "a"),
    ("*.b", "a.b"),
    ("a.*", "a.b"),
    ("*.*", "a.b"),
    ("#", "a"),
    ("#", "a.b.c"),
    ("a.#", "a"),
    ("a.#", "a.b"),
    ("a.#", "a.b.c.d"),
    ("#.z", "z"),
    ("#.z", "a.b.z"),
    ("a.#.z", "a.z"),
    ("a.#.z", "a.b.c.z"),
    ("a.#.z", "a.z.z"),
    ("*.#", "a"),
    ("#.*", "a"),
    ("#.*", "a.b.c"),
    ("#.b.#", "b"),
    ("#.b.#", "a.b.c.b"),
    ("a.*.#.z", "a.b.z"),
    ("#.#", "a"),
    ("slack.command.*", "slack.command.ask"),
    ("task.submitted.general", "task.submitted.general"),
    ("agent.output.*", "agent.output.my_agent-2"),
]
FITS_NOT = [
    ("a", "b"),
    ("a", "a.b"),
    ("a", "A"),
    ("a.b", "a"),
    ("*", "a.b"),
    ("*.b", "b"),
    ("*.b", "a.c"),
    ("*.*", "a"),
    ("a.*", "a"),
    ("a.*", "a.b.c"),
    ("a.#", "b"),
    ("a.#", "ab"),
    ("#.z", "a.z.b"),
    ("a.#.z", "a"),
    ("a.#.z", "z"),
    ("a.#.z", "a.b"),
    ("*.#.*", "a"),
    ("a.*.#.z", "a.z"),
    ("#.b.#", "a.c"),
]
WORDS = st.sampled_from(["a", "b", "c"])
PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#"])), min_size=1, max_size=6).map(".".join)
TOPICS = st.lists(WORDS, min_size=1, max_size=6).map(".".join)


def fits(pattern: str, topic: str) -> bool:
    topics: Topics[int] = Topics()
    topics.add(pattern, 1)
    return topics.match(topic) == [1]


@pytest.mark.parametrize(("pattern", "topic"), FITS)
def test_pattern_fits_as_in_rabbitmq(pattern: str, topic: str) -> None:
    assert fits(pattern, topic)


@pytest.mark.parametrize(("pattern", "topic"), FITS_NOT)
def test_pattern_does_not_fit_as_in_rabbitmq(pattern: str, topic: str) -> None:
    assert not fits(pattern, topic)


@given(PATTERNS, TOPICS)
def test_trie_matches_as_the_definition_by_words_does(pattern: str, topic: str) -> None:
    assert fits(pattern, topic) == _defined(tuple(pattern.split(".")), tuple(topic.split(".")))


@cache
def _defined(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_defined(pattern[1:], words[used:]) for used in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _defined(pattern[1:], words[1:])


@given(st.lists(PATTERNS, max_size=12), TOPICS)
def test_many_patterns_match_as_each_alone(patterns: list[str], topic: str) -> None:
    topics: Topics[int] = Topics()
    for number, pattern in enumerate(patterns):
        topics.add(pattern, number)
    assert topics.match(topic) == [number for number, pattern in enumerate(patterns) if fits(pattern, topic)]


def test_value_with_several_patterns_is_found_once() -> None:
    topics: Topics[str] = Topics()
    for pattern in ("#", "a.*", "a.b"):
        topics.add(pattern, "me")
    assert topics.match("a.b") == ["me"]


@pytest.mark.parametrize("pattern", ["", ".", "a.", ".a", "a..b", "a b", "a*", "#b", "a.**", "ä", "a/b", "x" * 256])
def test_malformed_pattern_is_refused_and_the_message_shows_it(pattern: str) -> None:
    shown = re.escape(repr(pattern)) if 0 < len(pattern) < 200 else "1 to 255"
    with pytest.raises(ValueError, match=shown):
        check_pattern(pattern)


@pytest.mark.parametrize("topic", ["*", "a.#", "a..b", "a.b.", "a:b"])
def test_topic_has_no_wildcards_and_no_empty_words(topic: str) -> None:
    with pytest.raises(ValueError, match="a topic is words"):
        check_topic(topic)


def test_ten_thousand_subscriptions_are_matched_in_well_under_a_millisecond() -> None:
    topics: Topics[int] = Topics()
    for number in range(10_000):
        topics.add(f"shop.{number}.*.#", number)
    topics.add("#.#.#.#.#.#.#.#", -1)
    began = time.process_time()
    for number in range(1000):
        assert topics.match(f"shop.{number}.order.paid.late") == [number, -1]
    assert time.process_time() - began < 1.0
