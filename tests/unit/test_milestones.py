"""From histories to milestones, and from two histories to one story that can be gone on with anywhere."""

import heapq
import random
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.api.history.v1 import HistoryEvent

from api.cursor import Cursor, EventIdInvalid, Place
from api.feed import Feed, Told
from api.house import House, opened
from holdfast.config import Settings
from holdfast.contracts.base import Failure, Nothing, Value
from holdfast.contracts.llm import (
    LLM_ANSWER,
    LLM_ASK,
    LLM_PLAN,
    LLM_PROGRAM,
    LLM_SKILL,
    Answer,
    AnswerRequest,
    Brief,
    Draft,
    DraftRequest,
    ModelAsk,
    Plan,
    PlanRequest,
    SkillPrompt,
)
from holdfast.contracts.message import TextPart
from holdfast.contracts.milestone import (
    AttemptMade,
    CallMade,
    Delta,
    Milestone,
    ProgramWritten,
    QuestionAsked,
    StatusChanged,
    UsageTaken,
)
from holdfast.contracts.model import Usage
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import (
    PROGRAM_RUN,
    PROGRAM_WORKFLOW,
    RECORD_SAVE,
    SIGNAL_ANSWER,
    UPDATE_ANSWER,
    UPDATE_HELLO,
    Author,
    Carried,
    HelloMessage,
    ProgramEnd,
    ProgramJob,
    ProgramReport,
    ProgramSpec,
    RecordChange,
    Version,
)
from holdfast.contracts.question import AnswerMessage, Question
from holdfast.contracts.skill import SKILL_RUN, SkillAnswer, SkillCall
from holdfast.contracts.work import SIGNAL_REPORT, TASK_WORKFLOW, program_workflow_id
from holdfast.ids import new_task_id
from store.deltas import Deltas
from store.records import NewTask, TaskRow
from tests.support.histories import Script, Shelf, milestones, saved, shifted

TRACE = "0123456789abcdef" * 2
SHA = "a" * 64
TASK = TaskRef(task_id="01a1fd2e-81e3-7384-bd82-d539375062ad", trace_id=TRACE)
BRIEF = Brief(task=TASK, catalogue=SHA)
USAGE = Usage(provider="anthropic", model="m", input_tokens=10, output_tokens=2, cost=Decimal("0.5"))
ENDED = ("cancelled", "error", "gave-up", "plain", "question", "repair", "timed-out")


def brief(told: Milestone) -> str:
    """A milestone in a word or three."""
    match told:
        case StatusChanged(state=state, current_step=step):
            return f"status {state} {step}"
        case CallMade(summary=summary, state=state):
            return f"call {summary} {state}"
        case AttemptMade(version=version, generation=generation, attempt=attempt, state=state):
            return f"attempt {version}.{generation}.{attempt} {state}"
        case ProgramWritten(version=version, lines=lines):
            return f"program {version}: {lines}"
        case QuestionAsked(id=one, state=state):
            return f"question {one} {state}"
        case UsageTaken(step=step, cost=cost):
            return f"usage {step} {cost}"
    return f"{told.event} {getattr(told, 'state', None)}"


BEGIN = ["program 1: {}", "status RUNNING Starting", "status RUNNING Running", "attempt 1.1.1 started"]


def begin(lines: int) -> list[str]:
    return [each.format(lines) for each in BEGIN]


def called(text: str, *states: str) -> list[str]:
    return [f"call {text} {state}" for state in states]


STORIES = {
    "plain": [
        *begin(1),
        "status RUNNING Calling echo",
        *called("echo(i=1)", "started", "done"),
        "attempt 1.1.1 done",
        "status DONE Done",
        "done DONE",
    ],
    "error": [*begin(1), "attempt 1.1.1 failed", "status ERROR Done", "done ERROR"],
    "cancelled": [
        *begin(1),
        "status RUNNING Calling echo",
        *called("echo(i=1, ms=8000)", "started"),
        "attempt 1.1.1 suspended",
        *called("echo(i=1, ms=8000)", "failed"),
        "status CANCELLED Done",
        "done CANCELLED",
    ],
    "repair": [
        *begin(2),
        "status RUNNING Calling echo",
        *called("echo(i=1)", "started", "done"),
        "attempt 1.1.1 failed",
        "status WAITING Waiting",
        "question repair.1 open",
        "question repair.1 answered",
        "status RUNNING Running",
        "program 2: 1",
        "attempt 2.2.1 started",
        "attempt 2.2.1 done",
        "status DONE Done",
        "done DONE",
    ],
}


@pytest.mark.parametrize("name", STORIES)
async def test_saved_history_tells_its_story(name: str):
    told = [brief(each) for each in await milestones(saved(name))]
    assert told == STORIES[name]


async def test_question_is_told_when_it_is_asked_and_when_it_is_answered():
    told = await milestones(saved("question"))
    asked, answered = [each for each in told if isinstance(each, QuestionAsked)]
    assert (asked.text, asked.state, asked.answer) == ("ok?", "open", None)
    assert (answered.text, answered.state, answered.answer) == ("ok?", "answered", "yes")
    states = [brief(each) for each in told]
    assert states.index(brief(asked)) < states.index("status WAITING Waiting") < states.index(brief(answered))


async def test_question_that_nobody_waits_for_any_more_is_withdrawn():
    for name in ("gave-up", "timed-out"):
        told = [each.state for each in await milestones(saved(name)) if isinstance(each, QuestionAsked)]
        assert told == ["open", "withdrawn"], name


async def test_run_that_goes_on_as_new_tells_each_call_once():
    told = [*await milestones(saved("continued")), *await milestones(saved("continued-2"))]
    calls = Counter((each.id, each.state) for each in told if isinstance(each, CallMade))
    assert set(calls.values()) == {1}
    assert Counter(state for _, state in calls) == {"started": len(calls) // 2, "done": len(calls) // 2}
    assert [each.version for each in told if isinstance(each, ProgramWritten)] == [1]


@pytest.mark.parametrize("name", ENDED)
async def test_every_beginning_has_its_end(name: str):
    told = await milestones(saved(name))
    begun = Counter(each.id for each in told if isinstance(each, CallMade) and each.state == "started")
    ended = Counter(each.id for each in told if isinstance(each, CallMade) and each.state != "started")
    assert begun == ended
    attempts = [each for each in told if isinstance(each, AttemptMade)]
    assert [each.state == "started" for each in attempts] == [True, False] * (len(attempts) // 2)
    assert [each.event for each in told].count("done") == 1 and told[-1].event == "done"


# what saved histories do not hold


async def program(**fields: object) -> Script:
    script = Script()
    spec = {"task": TASK, "source": "x = 1\ny = 2", "catalogue": SHA, **fields}
    await script.begin(PROGRAM_WORKFLOW, ProgramSpec.model_validate(spec))
    return script


def job(version: int = 1, generation: int = 1) -> ProgramJob:
    return ProgramJob(
        task=TASK, source="x = 1\ny = 2", version=version, generation=generation, seed=1, started_at=1.0, catalogue=SHA
    )


def call(number: int = 1) -> SkillCall:
    arguments = Value(inline={"i": number})
    return SkillCall(
        task=TASK, call_id=f"{number:024}.1", skill="echo", arguments=arguments, catalogue=SHA, effect="pure"
    )


async def test_lost_box_is_another_attempt_and_its_call_stays_one():
    script = await program()
    box = await script.schedule(PROGRAM_RUN.name, job())
    one = await script.schedule(SKILL_RUN.name, call(), "echo(i=1)")
    await script.update(UPDATE_HELLO, HelloMessage(generation=1, attempt=2))
    await script.complete(one, SkillAnswer(error=Failure(type="X", message="no")))
    await script.complete(box, ProgramEnd(outcome="done", attempt=2))
    told = await milestones(script.events)
    assert [brief(each) for each in told if isinstance(each, AttemptMade | CallMade)] == [
        "attempt 1.1.1 started",
        "call echo(i=1) started",
        "attempt 1.1.2 started",
        "call echo(i=1) failed",
        "attempt 1.1.2 done",
    ]
    failed = told[-2]
    assert isinstance(failed, CallMade)
    assert (failed.error, failed.ms) == ("no", 200)


async def test_program_that_a_model_mends_is_told_with_its_cause_and_its_cost():
    script = await program(author=Author(brief=BRIEF))
    await script.done(PROGRAM_RUN.name, job(), ProgramEnd(outcome="raised", error=Failure(type="E", message="broken")))
    request = DraftRequest(brief=BRIEF, why="broken", version=2)
    await script.done(LLM_PROGRAM.name, request, Draft(source="x", problems="no such skill", head=SHA, usage=[USAGE]))
    request = DraftRequest(brief=BRIEF, why="no such skill", version=3)
    await script.done(LLM_PROGRAM.name, request, Draft(source="x\ny", head=SHA, usage=[USAGE]))
    await script.schedule(PROGRAM_RUN.name, job(3, 2))
    told = await milestones(script.events, "program")
    written = [(each.version, each.why, each.problems) for each in told if isinstance(each, ProgramWritten)]
    assert written == [(1, "", ""), (2, "broken", "no such skill"), (3, "no such skill", "")]
    assert [brief(each) for each in told if isinstance(each, UsageTaken)] == ["usage program 0.5"] * 2
    assert [brief(each) for each in told if isinstance(each, StatusChanged)] == [
        "status RUNNING Running",
        "status RUNNING Generating",
        "status RUNNING Running",
    ]


async def test_what_skills_ask_of_models_is_told_with_its_parent_and_its_price():
    script = await program()
    prompt = await script.schedule(LLM_SKILL.name, SkillPrompt(call=call(1)), "echo(i=1)")
    await script.complete(prompt, SkillAnswer(value=Value(inline=1), usage=[USAGE]))
    ask = ModelAsk(task=TASK, call_id=call(2).call_id, parent=call(1).call_id, skill="llm", arguments=Value(inline={}))
    nested = await script.schedule(LLM_ASK.name, ask)
    free = USAGE.model_copy(update={"cost": None})
    await script.complete(nested, SkillAnswer(value=Value(inline=1), usage=[free]))
    told = await milestones(script.events)
    calls = [(each.id[23], each.parent and each.parent[23], each.state) for each in told if isinstance(each, CallMade)]
    assert calls == [("1", None, "started"), ("1", None, "done"), ("2", "1", "started"), ("2", "1", "done")]
    usage = [(each.call and each.call[23], each.cost) for each in told if isinstance(each, UsageTaken)]
    assert usage == [("1", 0.5), ("2", None)], "what is not known is null"


async def test_refused_signal_answers_nothing():
    script = await program()
    question = Question(id="q", text="?", options=["a"], asked_at=1.0)
    await script.done(RECORD_SAVE.name, RecordChange(task=TASK, state="WAITING", questions=[question]), Nothing())
    await script.signal(SIGNAL_ANSWER, AnswerMessage(question_id="q", value="b"))
    await script.signal(SIGNAL_ANSWER, AnswerMessage(question_id="unknown", value="a"))
    await script.signal(SIGNAL_ANSWER, AnswerMessage(question_id="q", value="a"))
    await script.signal(SIGNAL_ANSWER, AnswerMessage(question_id="q", value="a"))
    told = [(each.state, each.answer) for each in await milestones(script.events) if isinstance(each, QuestionAsked)]
    assert told == [("open", None), ("answered", "a")]


async def test_question_that_is_open_over_continue_as_new_is_told_once():
    question = Question(id="q", text="?", asked_at=1.0)
    first = await program()
    handed = Carried(version=Version(source="x"), generation=1, runs=2, repairs=0, seed=1, started_at=1.0)
    spec = ProgramSpec(task=TASK, catalogue=SHA, carried=handed.model_copy(update={"questions": [question]}))
    await first.go_on(PROGRAM_WORKFLOW, "run-2", spec)
    second = Script(now=first.now)
    await second.begin(PROGRAM_WORKFLOW, spec)
    await second.done(RECORD_SAVE.name, RecordChange(task=TASK, state="WAITING", questions=[question]), Nothing())
    await second.update(UPDATE_ANSWER, AnswerMessage(question_id="q", value=1))
    told = [*await milestones(first.events), *await milestones(second.events)]
    assert [each.state for each in told if isinstance(each, QuestionAsked)] == ["open", "answered"]


# one story of two histories


Runs = dict[str, list[tuple[str, list[HistoryEvent]]]]


async def agent() -> Runs:
    """The histories of an agent's task and of its program, which asks, and goes on as new twice."""
    script, name = Script(now=1000.0), TASK.workflow_id
    await script.begin(TASK_WORKFLOW)
    await script.done(RECORD_SAVE.name, RecordChange(task=TASK, state="RUNNING"), Nothing())
    plan = Plan(kind="skills", selected_skills=["echo"], reasoning="why not", head=SHA, usage=[USAGE, USAGE])
    await script.done(LLM_PLAN.name, PlanRequest(brief=BRIEF, say=[TextPart(text="do")]), plan)
    await script.done(LLM_PROGRAM.name, DraftRequest(brief=BRIEF), Draft(source="x", head=SHA, usage=[USAGE]))
    script.child(program_workflow_id(name), "run-1")
    runs = await _runs(script.now)
    question = Question(id="q", text="?", asked_at=1001.0)
    await script.signal(SIGNAL_REPORT, ProgramReport(state="WAITING", questions=[question]))
    await script.done(RECORD_SAVE.name, RecordChange(task=TASK, state="WAITING", questions=[question]), Nothing())
    await script.update(UPDATE_ANSWER, AnswerMessage(question_id="q", value="yes"))
    closed = question.model_copy(update={"state": "answered", "answer": "yes"})
    await script.signal(SIGNAL_REPORT, ProgramReport(state="RUNNING", questions=[closed]))
    await script.done(RECORD_SAVE.name, RecordChange(task=TASK, state="RUNNING"), Nothing())
    script.now = _end_of(runs[-1])
    await script.done(LLM_ANSWER.name, AnswerRequest(brief=BRIEF), Answer(value=Value(inline=1), head=SHA))
    script.end()
    return {
        name: [("run", script.events)],
        program_workflow_id(name): [(f"run-{number}", _linked(run, number)) for number, run in enumerate(runs, 1)],
    }


async def _runs(start: float) -> list[list[HistoryEvent]]:
    first = shifted(saved("continued"), start)
    second = shifted(saved("continued-2"), _end_of(first))
    third = Script(now=_end_of(second))
    handed = Carried(version=Version(source="x"), generation=2, runs=3, repairs=0, seed=1, started_at=1.0)
    await third.begin(PROGRAM_WORKFLOW, ProgramSpec(task=TASK, catalogue=SHA, carried=handed))
    await third.done(PROGRAM_RUN.name, job(1, 3), ProgramEnd(outcome="done"))
    third.end()
    return [first, second, third.events]


def _end_of(events: list[HistoryEvent]) -> float:
    return events[-1].event_time.seconds + events[-1].event_time.nanos / 1e9


def _linked(events: list[HistoryEvent], number: int) -> list[HistoryEvent]:
    """A run that names the next one by our id."""
    last = events[-1].workflow_execution_continued_as_new_event_attributes
    if last.new_execution_run_id:
        last.new_execution_run_id = f"run-{number + 1}"
    return events


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    settings = Settings.load(tmp_path, home=tmp_path)
    async with opened(settings) as house:
        yield house


@pytest.fixture
async def row(house: House) -> TaskRow:
    """A task that is over."""
    await house.records.create(NewTask(tenant="default", id=TASK.task_id, type="agent:x", trace_id=TRACE))
    return (await house.records.change("default", TASK.task_id, "DONE")).row


async def heard(house: House, row: TaskRow, shelf: Shelf, after: str | None = None) -> list[Told]:
    """All that a watcher hears, up to the end of the stream."""
    feed = Feed(house, row, Cursor.parse(after) if after else None, shelf)
    try:
        return [told async for told in feed.told() if told.what is not None]
    finally:
        feed.close()


async def recorded() -> Runs:
    """A task of an agent and its program, as they were recorded."""
    child = program_workflow_id(TASK.workflow_id)
    return {TASK.workflow_id: [("run", saved("task-program"))], child: [("run-1", saved("task-program-child"))]}


@pytest.fixture(params=[agent, recorded])
async def runs(request: pytest.FixtureRequest) -> Runs:
    found: Runs = await request.param()
    return found


async def test_two_histories_are_one_story_in_order_of_time(house: House, row: TaskRow, runs: Runs):
    told = await heard(house, row, Shelf(runs))
    parts = await milestones(runs[TASK.workflow_id][0][1])
    of_program = [
        each
        for _, events in runs[program_workflow_id(TASK.workflow_id)]
        for each in await milestones(events, "program")
    ]
    assert [each.what for each in told[1:]] == list(heapq.merge(parts, of_program, key=lambda each: each.at))
    asked = [each.what.state for each in told if isinstance(each.what, QuestionAsked)]
    assert asked == ["open", "answered"]
    assert (brief(parts[-1]), told[-1].what) == ("done DONE", parts[-1])
    assert len({each.id for each in told}) == len(told)


async def test_a_cut_behind_any_event_misses_and_repeats_nothing(house: House, row: TaskRow, runs: Runs):
    shelf = Shelf(runs)
    whole = await heard(house, row, shelf)
    for number, each in enumerate(whole[:-1], 1):
        assert await heard(house, row, shelf, each.id) == whole[number:], each


async def test_task_and_program_with_clocks_that_differ_end_with_the_task(house: House, row: TaskRow, runs: Runs):
    child = program_workflow_id(TASK.workflow_id)
    late = runs | {child: [(one, shifted(events, 9e9)) for one, events in runs[child]]}
    told = await heard(house, row, Shelf(late))
    assert Counter(each.id for each in told) == Counter({each.id for each in told})
    assert [brief(each.what) for each in told[-2:] if isinstance(each.what, Milestone)] == [
        "status DONE Done",
        "done DONE",
    ]
    assert len(told) == len(await heard(house, row, Shelf(runs)))


@pytest.mark.parametrize("seed", range(10))
async def test_cuts_of_a_story_that_is_still_happening_miss_and_repeat_nothing(house: House, row: TaskRow, seed: int):
    """Pages of both histories come at any time, the server is away at times, and the watcher comes back often."""
    chance = random.Random(seed)
    shelf = Shelf(await agent(), page=chance.randrange(1, 20), chance=chance)
    expected = await heard(house, row, Shelf(shelf.runs))
    union: list[Told] = []
    while not union or union[-1].what is None or union[-1].what.event != "done":
        rest = await heard(house, row, shelf, union[-1].id if union else None)
        union += rest[: chance.randrange(1, 40)]
    assert Counter(_said(union)) == Counter(_said(expected))
    for part in (0, 1):
        assert _places(union, part) == sorted(_places(union, part))
    assert union[-1].what == expected[-1].what


def _said(told: list[Told]) -> list[str]:
    return [f"{each.what.event} {each.what.model_dump_json()}" for each in told if each.what is not None]


def _places(told: list[Told], part: int) -> list[Place]:
    cursors = [Cursor.parse(each.id) for each in told if each.id]
    return [(cursor.task, cursor.program)[part] for cursor in cursors]


@pytest.mark.parametrize("name", ENDED)
async def test_saved_history_can_be_gone_on_with_behind_any_event(house: House, row: TaskRow, name: str):
    shelf = Shelf({TASK.workflow_id: [("run", saved(name))]})
    whole = await heard(house, row, shelf)
    for number, each in enumerate(whole[:-1], 1):
        assert await heard(house, row, shelf, each.id) == whole[number:], each


async def test_task_whose_history_is_gone_ends_by_its_record(house: House, row: TaskRow):
    told = await heard(house, row, Shelf({}))
    assert [brief(each.what) for each in told if isinstance(each.what, Milestone)] == [
        "status PENDING Pending",
        "status DONE Done",
        "done DONE",
    ]
    assert told[-1].id is not None and Cursor.parse(told[-1].id).is_end


async def test_task_that_was_never_started_ends_with_the_reason(house: House):
    new = NewTask(tenant="default", id=new_task_id(), type="program", trace_id=TRACE)
    await house.records.create(new)
    failure = {"type": "NotStarted", "message": "never started"}
    row = (await house.records.change("default", new.id, "ERROR", failure=failure)).row
    told = await heard(house, row, Shelf({}))
    assert getattr(told[-1].what, "error", None) == "never started"


@pytest.mark.parametrize("text", ["", "1", "1.2.3-4.5.6-", "1.2.3-4.5.6-end ", "a.2.3-4.5.6", "1.2.3-4.5.1234567890"])
def test_id_that_no_event_had_is_refused(text: str):
    with pytest.raises(EventIdInvalid, match="is not the id of an event"):
        Cursor.parse(text)


@pytest.mark.parametrize("cursor", [Cursor(), Cursor(Place(1, 2, 3), Place(4, 5, 6)), Cursor(is_end=True)])
def test_id_says_where_a_watcher_is(cursor: Cursor):
    assert Cursor.parse(str(cursor)) == cursor


# deltas


async def test_what_a_model_says_is_heard_while_it_is_asked_and_not_again(house: House, row: TaskRow):
    deltas, waiting = Deltas(house.records.db), Script(now=row.created_at.timestamp())
    await waiting.begin(TASK_WORKFLOW)
    asked = await waiting.schedule(LLM_PLAN.name, PlanRequest(brief=BRIEF, say=[]))
    for text in ("Hel", "lo"):
        await deltas.add("default", TASK.task_id, "plan", text)
    shelf = Shelf({TASK.workflow_id: [("run", waiting.events)]})
    feed = Feed(house, row, None, shelf)
    texts: list[str] = []
    async for told in feed.told():
        texts += [told.what.text] if isinstance(told.what, Delta) else []
        if len(texts) == 2:
            break
    feed.close()
    assert texts == ["Hel", "lo"]
    await waiting.complete(asked, Plan(kind="answer", head=SHA))
    waiting.end()
    later = await heard(house, row, shelf)
    assert [each for each in later if isinstance(each.what, Delta)] == [], "no model is asked now"
