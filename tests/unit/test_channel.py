import json
import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.base import Box, ProtocolViolation
from sandbox.channel import MAX_DEPTH, MAX_LINE_BYTES, Channel, Decoder, encode

LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | LETTERS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(LETTERS, inner, max_size=4))
FRAMES = st.dictionaries(LETTERS, VALUES, max_size=5)


def frame(text: str) -> bytes:
    return f"\x1eHF1 {text}\n".encode()


def fed(*parts: bytes, decoder: Decoder | None = None) -> list[dict[str, Any]]:
    decoder = decoder or Decoder()
    return [found for part in parts for found in decoder.feed(part)]


@given(st.lists(FRAMES, max_size=5), st.integers(1, 50))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(frames, width):
    stream = b"".join(encode(one) for one in frames)
    assert fed(*(stream[at : at + width] for at in range(0, len(stream), width))) == frames


@pytest.mark.parametrize("size", [59_900, 60_000, 60_001, 120_000, 3_000_000])
def test_a_long_frame_travels_in_lines_that_stay_short(size):
    value = {"v": "é" * (size // 6)}
    stream = encode(value)
    assert max(map(len, stream.splitlines())) <= MAX_LINE_BYTES
    assert stream.isascii()
    assert fed(stream) == [value]


def test_noise_between_frames_and_pieces_is_ignored_and_counted():
    decoder = Decoder()
    first, second = b'\x1eHF1+ {"a":', b"\x1eHF1 1}"
    assert fed(b"hello\n" + first + b"\nbanner\n" + second + b"\n", decoder=decoder) == [{"a": 1}]
    assert decoder.noise_bytes == len(b"hello\nbanner\n")


def test_noise_without_an_end_is_counted_but_not_kept():
    decoder = Decoder()
    for _ in range(1000):
        decoder.feed(b"x" * 10_000)
    decoder.feed(b"\n")
    assert decoder.noise_bytes == 10_000_001
    assert fed(frame('{"a":1}'), decoder=decoder) == [{"a": 1}]


def test_a_flood_of_empty_pieces_counts_as_output():
    decoder = Decoder()
    decoder.feed(b"\x1eHF1+ \n" * 1000)
    assert decoder.noise_bytes == 7000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":NaN}', "NaN is not JSON"),
        ('{"a":-Infinity}', "-Infinity is not JSON"),
        ('{"a":1e999}', "beyond the range"),
        ('{"a":' + "9" * 5000 + "}", "not strict JSON"),
        (r'{"a":"\ud800"}', "not strict JSON"),
        (r'{"\udfff":1}', "not strict JSON"),
        ('{"a":"é"}', "not strict JSON"),
        ('{"a":1', "not strict JSON"),
        ("", "not strict JSON"),
        ("[1]", "an object is expected"),
        ("null", "an object is expected"),
        ("{" + '"a":[' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "]}", "levels deep"),
    ],
)
def test_what_is_not_a_strict_object_is_refused(text, reason):
    with pytest.raises(ProtocolViolation, match=reason):
        fed(frame(text))


def test_a_value_200_000_levels_deep_is_refused():
    text = '{"a":' + "[" * 200_000 + "]" * 200_000 + "}"
    pieces = [text[at : at + 60_000] for at in range(0, len(text), 60_000)]
    stream = "".join(f"\x1eHF1+ {piece}\n" for piece in pieces) + "\x1eHF1 \n"
    with pytest.raises(ProtocolViolation, match="not strict JSON"):
        fed(stream.encode())


def test_many_brackets_that_are_not_deep_are_no_violation():
    value = {"rows": [[{"text": "[[[{{{"}] for _ in range(1000)]}
    assert fed(encode(value)) == [value]


def test_a_whole_pair_of_surrogates_is_a_letter():
    assert fed(frame(r'{"a":"\ud83d\ude00"}')) == [{"a": "😀"}]


def test_a_line_that_does_not_end_is_refused_before_it_fills_memory():
    decoder = Decoder()
    decoder.feed(b"\x1eHF1 " + b"1" * (MAX_LINE_BYTES - 5))
    with pytest.raises(ProtocolViolation, match="longer than 65536 bytes"):
        decoder.feed(b"1")


def test_a_frame_above_the_limit_is_refused_before_it_is_whole():
    decoder = Decoder(max_frame_bytes=100_000)
    decoder.feed(b"\x1eHF1+ " + b"1" * 60_000 + b"\n")
    with pytest.raises(ProtocolViolation, match="larger than 100000 bytes"):
        decoder.feed(b"\x1eHF1+ " + b"1" * 60_000 + b"\n")


@given(st.binary(max_size=200), st.integers(1, 20))
def test_garbage_never_raises_anything_but_a_violation(data, width):
    decoder = Decoder()
    try:
        fed(*(data[at : at + width] for at in range(0, len(data), width)), decoder=decoder)
    except ProtocolViolation:
        return
    assert decoder.noise_bytes <= len(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_host_sends_no_numbers_that_are_not_json(value):
    with pytest.raises(ValueError, match="JSON"):
        encode({"v": value})


def test_an_encoded_frame_is_one_line_of_plain_json():
    assert json.loads(encode({"a": "x\ny"}).removeprefix(b"\x1eHF1 ")) == {"a": "x\ny"}
    assert encode({"a": "x\ny"}).count(b"\n") == 1


@given(
    st.lists(
        st.sampled_from([b"\n", b"x", b"\x1e", b"\x1eHF1", b"\x1eHF1 {}\n", b"\x1eHF1x\n", b"\x1eHF"]), max_size=30
    )
)
def test_every_byte_is_part_of_a_frame_or_counted_as_noise(parts):
    stream = b"".join(parts) + b"\n"
    lines = stream.split(b"\n")[:-1]
    whole = Decoder()
    try:
        frames = fed(stream, decoder=whole)
    except ProtocolViolation:
        return
    assert frames == [{}] * lines.count(b"\x1eHF1 {}")
    assert whole.noise_bytes == len(stream) - len(frames) * len(b"\x1eHF1 {}\n")
    bytewise = Decoder()
    assert fed(*(bytes([byte]) for byte in stream), decoder=bytewise) == frames
    assert bytewise.noise_bytes == whole.noise_bytes


def test_millions_of_empty_lines_cost_no_time():
    decoder = Decoder()
    before = time.process_time()
    for _ in range(100):
        decoder.feed(b"\n" * 65536)
    assert decoder.noise_bytes == 6_553_600
    assert time.process_time() - before < 1.0


class Told:
    """A box that has said all that it will."""

    def __init__(self, *parts: bytes) -> None:
        self.parts, self.printed, self.is_gone = [*parts], 0, False

    async def read(self) -> bytes:
        return self.parts.pop(0) if self.parts else b""

    def count_output(self, size: int) -> None:
        self.printed += size

    async def kill(self) -> None:
        self.is_gone = True


async def heard(*texts: str) -> tuple[list[dict[str, Any]], int]:
    """The frames that came through, and how much of them counts as output."""
    box = Told(*map(frame, texts))
    return [found async for found in Channel(cast(Box, box)).frames()], box.printed


@pytest.mark.parametrize("kind", ["[]", "{}", "null", "1", "true", '[{"t":"done"}]'])
async def test_a_frame_whose_kind_is_no_word_costs_the_guest_its_box(kind):
    box = Told(frame(f'{{"t":{kind}}}'))
    with pytest.raises(ProtocolViolation, match="a word is expected"):
        await Channel(cast(Box, box)).receive()
    assert box.is_gone


async def test_what_is_printed_is_counted_and_what_our_guest_says_is_not():
    said = ('{"t":"out","d":"\\u00e9x"}', '{"t":"calls"}', '{"t":"calls"}', '{"t":"files","paths":[]}', '{"t":"done"}')
    frames, printed = await heard(*said)
    assert (len(frames), printed) == (5, 3)


@pytest.mark.parametrize(
    "flood",
    [
        '{"t":"ready"}',
        '{"t":"done"}',
        '{"t":"files"}',
        '{"t":"out","d":""}',
        '{"t":"out","d":[]}',
        '{"t":"out"}',
        '{"t":""}',
    ],
)
async def test_a_flood_of_frames_that_our_guest_would_not_send_counts_as_output(flood):
    _, printed = await heard(*[flood] * 1000)
    assert printed >= 999 * len('{"t": ""}')
