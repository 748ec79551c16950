"""What a docker box says of itself is said inside of it, where a program may have taken the place of who says it."""

import json
from typing import Any, cast

import pytest

from sandbox import docker_box
from sandbox.base import BoxSpec, ExportRefused
from sandbox.docker_box import DockerBox
from tests.support.boxes import GUEST

PATHS = ["out/a", "out/b"]


def answer(told: Any, rest: bytes = b"") -> bytes:
    return (told if isinstance(told, bytes) else json.dumps(told).encode()) + b"\n" + rest


def test_contents_are_cut_as_announced() -> None:
    told = answer({"files": [["out/a", 2], ["out/b", 0]]}, b"\n\n")
    assert docker_box._contents(told, PATHS, 100) == {"out/a": b"\n\n", "out/b": b""}


@pytest.mark.parametrize(
    ("told", "rest"),
    [
        (b"", b""),
        (b"[1]", b""),
        (b"5", b""),
        (b"null", b""),
        (b'{"files": 1}', b""),
        (b'{"files": {"out/a": 1}}', b"x"),
        (b'{"files": [["out/a", 1e999], ["out/b", 0]]}', b"x"),
        (b'{"files": [["out/a", NaN], ["out/b", 0]]}', b"x"),
        (b'{"files": [["out/a", -1], ["out/b", 2]]}', b"x"),
        (b'{"files": [["out/b", 1], ["out/a", 0]]}', b"x"),
        (b'{"files": [["out/a", 1], ["../b", 0]]}', b"x"),
        (b'{"files": [["out/a", 1], ["out/b", 0], ["out/b", 0]]}', b"x"),
        (b'{"files": [["out/a", 1], ["out/b", 0]]}', b"xy"),
        (b'{"files": [["out/a", 99], ["out/b", 99]]}', b"x" * 198),
        (b'{"files": [["out/a", ' + b"9" * 5000 + b"]]}", b""),
        (b"[" * 100_000, b""),
        (b'{"files": [' + b"[]," * 2_000_000 + b"[]]}", b""),
        (b'{"refused": {"why": []}}', b""),
        ("\ud800".encode("utf-8", "surrogatepass"), b""),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, bytes) else None,
)
def test_any_other_answer_is_refused(told: bytes, rest: bytes) -> None:
    with pytest.raises(ExportRefused):
        docker_box._contents(answer(told, rest), PATHS, 100)


def box() -> DockerBox:
    return DockerBox(cast(Any, None), "c", cast(Any, None), BoxSpec(name="x", guest=GUEST))


@pytest.mark.parametrize(("code", "exit_code"), [(b"0", 0), (b"86", 86), (b"9999", 137), (b"-1", 137), (b"", 137)])
async def test_a_last_word_is_the_exit_code(code: bytes, exit_code: int) -> None:
    ended = box()
    said = b"frame\n" + ended.last_word + code + b"\n"
    assert b"".join(ended._without_last_word(said[at : at + 1]) for at in range(len(said))) == b"frame\n"
    assert ended.exit_code == exit_code


async def test_a_last_word_that_does_not_end_is_the_end_and_is_not_kept() -> None:
    endless = box()
    endless._without_last_word(endless.last_word + b"0" * 65536)
    assert endless.exit_code == 137
    assert len(endless._held) < 1000
