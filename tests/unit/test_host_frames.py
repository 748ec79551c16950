"""Frames that only a hostile guest sends, as the host takes them: a result of the program's, never a crash of ours."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from activities import ends, host
from activities.host import Host
from activities.known import Known
from activities.updates import Updates
from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import Limits, ProgramEnd, ProgramJob
from holdfast.ids import call_hash, new_task_id, new_trace_id
from holdfast.names import suggestion
from holdfast.schemas import compiled
from sandbox.base import ProtocolViolation

CALLS: dict[str, Any] = {"t": "calls", "idle": False, "timer": None, "drops": [], "seen": [], "got": 0, "calls": []}
DONE: dict[str, Any] = {"t": "done", "has_result": True, "result": 1}


class Said:
    """A channel on which a guest has said all that it will."""

    def __init__(self, frames: list[dict[str, Any]]) -> None:
        self.all, self.heard = frames, list[dict[str, Any]]()
        self.is_open = False

    async def send(self, frame: dict[str, Any]) -> None:
        self.heard.append(frame)

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        for frame in self.all:
            yield frame
        if self.is_open:
            await asyncio.Event().wait()


def host_of(blobs: BlobStore, frames: Sequence[dict[str, Any]], **limits: Any) -> tuple[Host, Said]:
    catalogue = Catalogue.open(blobs, Catalogue({}).save(blobs))
    task = TaskRef(task_id=new_task_id(), trace_id=new_trace_id())
    fields: dict[str, Any] = {"version": 1, "generation": 1, "seed": 1, "started_at": 0.0, "catalogue": "0" * 64}
    job = ProgramJob(task=task, source="", limits=Limits(**limits), **fields)
    said = Said([*frames])
    return Host(job, 1, said, cast(Updates, None), Known(), catalogue, blobs), said


async def hosted(blobs: BlobStore, *frames: dict[str, Any], **limits: Any) -> tuple[ProgramEnd, Said]:
    one, said = host_of(blobs, frames, **limits)
    return await one.run(), said


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.mark.parametrize(
    "forged",
    [
        {"timer": 10**400},
        {"timer": 1e300},
        {"timer": -1},
        {"timer": True},
        {"drops": [10**400]},
        {"drops": [True]},
        {"seen": [10**400]},
        {"seen": [-2]},
        {"seen": [0]},
        {"seen": {"0": 1}},
        {"calls": [[-1, "x", [], {}]]},
        {"calls": [[1 << 31, "x", [], {}]]},
        {"calls": [[True, "x", [], {}]]},
        {"calls": [[0, "x", [], []]]},
        {"calls": {"0": 1}},
        {"more": 1},
    ],
    ids=str,
)
async def test_a_calls_frame_of_another_shape_is_a_violation(blobs: BlobStore, forged: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation):
        await hosted(blobs, CALLS | forged, DONE)


ASKED = CALLS | {"calls": [[0, "x", [], {}], [1, "x", [], {}]]}


async def test_what_was_answered_may_be_told_as_seen(blobs: BlobStore) -> None:
    end, said = await hosted(blobs, ASKED, CALLS | {"seen": [-1, 1, -1, 0]}, DONE)
    assert (end.outcome, end.seen, len(said.heard)) == ("done", [-1, 1, -1, 0], 1)


@pytest.mark.parametrize("seen", [[2], [0, 0], [1, -1, 0, 1]])
async def test_an_answer_that_was_not_given_or_was_told_before_is_a_violation(
    blobs: BlobStore, seen: list[int]
) -> None:
    with pytest.raises(ProtocolViolation, match="not given"):
        await hosted(blobs, ASKED, CALLS | {"seen": seen}, DONE)


async def test_waiting_for_a_timer_alone_is_running_time(blobs: BlobStore) -> None:
    """Else it would hold its box, and a place for another program, for as long as a task may take."""
    one, said = host_of(blobs, [CALLS | {"idle": True, "timer": 86400.0}], run_seconds=0.5)
    said.is_open = True
    end = await asyncio.wait_for(one.run(), 30)
    assert end.error and end.error.type == "ProgramTimeout"


async def test_a_call_is_given_up_once(blobs: BlobStore) -> None:
    """Millions of times the same made a message that no server takes, and that was sent again for ever."""
    one, _ = host_of(blobs, [CALLS | {"drops": [0] * 100_000}, CALLS | {"drops": [0, 7]}, DONE])
    one.ids, one.numbers = {0: "a call"}, {"a call": 0}
    await one.run()
    assert (one.drops, one.numbers) == (["a call"], {})


async def test_a_flood_of_deliveries_ends_the_program_and_is_not_kept(blobs: BlobStore) -> None:
    flood = CALLS | {"seen": [-1] * host.UNSAVED_SEEN}
    end, _ = await hosted(blobs, flood, flood, DONE)
    assert end.error and end.error.type == "TimerLimit"
    assert len(end.seen) == host.UNSAVED_SEEN


async def test_names_of_megabytes_are_unknown_at_once(blobs: BlobStore) -> None:
    _, said = await hosted(blobs, CALLS | {"calls": [[0, "echo" * 100_000, [], {}]]}, DONE)
    [[number, _, ok, error]] = said.heard[0]["answers"]
    assert (number, ok, error["type"]) == (0, False, "UnknownSkill")
    assert len(error["message"]) < 1000


async def test_large_arguments_are_hashed_beside_the_event_loop() -> None:
    """5 MB of small lists took 11 s in which no other program's host could do anything."""
    lists: dict[str, Any] = {"x": [[]] * 100_000}
    hashing = asyncio.create_task(host._digest("program", "x", lists))
    await asyncio.sleep(0)
    assert not hashing.done()
    assert await hashing == call_hash("program", "x", lists)


async def test_what_is_printed_letter_by_letter_costs_no_more_for_what_was_printed_before(blobs: BlobStore) -> None:
    letters = [{"t": "out", "d": "x" * 1000}] * 4000 + [{"t": "out", "d": "é"}] * 20_000
    before = time.process_time()
    end, _ = await hosted(blobs, *letters, {"t": "done", "has_result": False})
    assert time.process_time() - before < 20  # it was a copy of 4 MB for each letter
    assert (end.outcome, end.stdout) == ("done", "é" * 8192)


async def test_only_the_end_of_too_much_print_is_kept(blobs: BlobStore) -> None:
    words = [{"t": "out", "d": f"{number:08}"} for number in range(3000)]
    end, _ = await hosted(blobs, *words, {"t": "done", "has_result": False}, result_bytes=1024)
    assert end.error and end.error.type == "ResultTooLarge"
    assert end.stdout == "".join(f"{number:08}" for number in range(3000 - 1024, 3000))


def test_what_a_guest_reports_of_its_error_is_cut() -> None:
    end = ends.told({"t": "raised", "type": "x" * 5000, "message": ["y" * 5_000_000], "line": 10**400})
    assert end.error
    assert (len(end.error.type), len(end.error.message), end.error.details) == (200, 100_000, {"kind": "execution"})


def test_a_number_that_no_float_holds_is_a_problem_of_the_arguments() -> None:
    schema = compiled({"type": "object", "properties": {"n": {"multipleOf": 0.5}}})
    assert schema.problems({"n": 10**400}, "arguments") == [
        "arguments: a number in it is beyond the range that can be checked"
    ]


def test_a_long_name_is_compared_by_its_beginning() -> None:
    assert suggestion("web-serch", ["web-search"]) == " did you mean 'web-search'?"
    assert suggestion("x" * 5_000_000, ["web-search"]) == ""
