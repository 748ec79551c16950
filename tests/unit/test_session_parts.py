"""The pure parts of conversations: what a turn's task is told, how far a watcher heard, what is shown."""

import pytest

from api.cursor import Cursor, EventIdInvalid, Place
from api.sessionfeed import BEGINNING, SessionCursor
from holdfast.contracts.base import Value
from holdfast.contracts.begin import Begin, begin_of
from holdfast.contracts.flow import FlowSpec, StepSpec
from holdfast.contracts.llm import Brief
from holdfast.contracts.message import BlobPart, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import ProgramSpec
from holdfast.contracts.session import MAX_SHOWN, Memory
from holdfast.contracts.work import FlowTask, TaskSpec
from holdfast.conversing import message_of
from workflows.sessionturns import brief_of, cut, ready, spoken, turn_of

SHA = "a" * 64
TASK = TaskRef(task_id="01a21429-87d5-7bb0-adda-9fb2423d8db9", trace_id="0" * 32)
KNOWN = Memory(turns=3, head="b" * 64, variables=Value(inline={"n": 1}), names=["n"])
SESSION = "default/session:s"


def begin(spec: TaskSpec | ProgramSpec | FlowTask) -> Begin:
    return begin_of(spec, task=TASK, type="program", summary="a summary", catalogue=SHA)


AGENT = TaskSpec(brief=Brief(task=TASK, catalogue=SHA), type="agent", say=[TextPart(text="hello")])
PROGRAM = ProgramSpec(task=TASK, source="result = 1", catalogue=SHA)
FLOW = FlowTask(
    task=TASK,
    type="workflow:x",
    flow=FlowSpec(name="x", steps=[StepSpec(name="a", kind="agent", who="x")]),
    catalogue=SHA,
)


def test_a_turns_task_is_told_what_was_said_and_saved_and_whom_to_report_to() -> None:
    agent = ready(begin(AGENT), KNOWN, SESSION).spec
    assert isinstance(agent, TaskSpec)
    assert (agent.brief.before, agent.brief.variables, agent.variables) == ("b" * 64, ["n"], Value(inline={"n": 1}))
    program = ready(begin(PROGRAM), KNOWN, SESSION).spec
    assert isinstance(program, ProgramSpec)
    assert program.variables == Value(inline={"n": 1})
    flow = ready(begin(FLOW), KNOWN, SESSION).spec
    assert {agent.reports_to, program.reports_to, flow.reports_to} == {SESSION}


def test_programs_of_a_first_turn_may_save_variables() -> None:
    spec = ready(begin(PROGRAM), Memory(), SESSION).spec
    assert isinstance(spec, ProgramSpec)
    assert spec.variables == Value(inline={})


def test_a_turn_shows_what_was_said_cut_and_files_by_their_names() -> None:
    image = BlobPart(ref=SHA, media_type="image/png", size_bytes=3, name="cat.png")
    assert spoken([TextPart(text="look"), image]) == "look\n[cat.png]"
    assert len(cut("x" * 5000)) == MAX_SHOWN
    turn = turn_of(message_of(begin(PROGRAM), event="a.b"), 4)
    assert (turn.number, turn.said, turn.event, turn.state) == (4, "a summary", "a.b", "PENDING")


def test_a_model_is_asked_for_a_summary_as_the_turn_was() -> None:
    own = ModelSettings(provider="p", model="m")
    assert brief_of(begin(AGENT), [own]) == AGENT.brief
    assert brief_of(begin(PROGRAM), [own]).models == [own]


@pytest.mark.parametrize("place", [Cursor(), Cursor(Place(1, 2, 3), Place(4, 5, 6), is_end=True)])
def test_a_place_in_a_session_is_read_as_it_was_written(place: Cursor) -> None:
    cursor = SessionCursor(TASK.task_id, place)
    assert SessionCursor.parse(str(cursor)) == cursor
    assert SessionCursor.parse(BEGINNING) is None


@pytest.mark.parametrize("text", ["", "1", "x:1.1.1-0.0.0", f"{TASK.task_id}:", f"{TASK.task_id}:x", TASK.task_id])
def test_an_id_that_no_event_had_is_refused(text: str) -> None:
    with pytest.raises(EventIdInvalid):
        SessionCursor.parse(text)
