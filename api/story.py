"""What a task has done so far: its journal as an export that stands alone, and its steps for people."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from api import subtasks
from api.house import House
from api.progress import NotBegun, handle_of, is_agents, is_flow, program_of, query
from api.view import Seen
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Json, Value
from holdfast.contracts.flow import StepRun
from holdfast.contracts.journal import Entry, ExportedCall, JournalExport, JournalView
from holdfast.contracts.model import LlmCall, Spent
from holdfast.contracts.principal import Principal, TaskRef
from holdfast.contracts.program import FINAL, QUERY_JOURNAL, Segment, Version
from holdfast.contracts.question import Question
from holdfast.contracts.task import Step
from holdfast.errors import NoTemporal
from store.records import TaskRow
from store.results import cost

_DETAIL = 160


@dataclass(frozen=True)
class Story:
    """All calls of a task in the order in which they were asked, and the turns of a loop. `seen` are the deliveries of
    the last version.

    `program` is None for a task that has none: of a skill, or of an agent that has written none yet, or answers itself.
    """

    row: TaskRow
    inputs: Json
    program: Version | None
    calls: list[tuple[Entry, Json, Json]] = field(default_factory=list)
    turns: list[LlmCall] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    seed: int = 0
    started_at: float = 0.0
    unused: frozenset[str] = frozenset()


async def told(house: House, seen: Seen) -> Story:
    """The story of a task, from its workflow, or, once that is over and no worker answers, from its record.

    Raises:
        NoTemporal: the task is not over, and nobody can tell.
    """
    return await asyncio.to_thread(_assembled, house.blobs, seen.row, await _view(house, seen))


async def _view(house: House, seen: Seen) -> JournalView:
    row = seen.row
    if is_flow(row) or (is_agents(row) and _called_none(row)):
        return JournalView()
    # Without a program, the task's own workflow knows what its loop called.
    teller = handle_of if _has_no_program(seen) else program_of
    try:
        view: JournalView = await query(await teller(house, row), QUERY_JOURNAL, JournalView)
    except NoTemporal as exc:
        if row.state not in FINAL and isinstance(exc, NotBegun):
            return JournalView()
        if row.state not in FINAL:
            raise
        started = row.started_at.timestamp() if row.started_at else 0.0
        return JournalView(segments=row.journal, version=row.version, started_at=started)
    return view


def _called_none(row: TaskRow) -> bool:
    """Whether an agent's task was answered without a program, and without a loop."""
    return row.state == "DONE" and not row.journal


def _has_no_program(seen: Seen) -> bool:
    """Whether an agent's task has no program, or none yet, as its workflow says."""
    return is_agents(seen.row) and seen.progress is not None and seen.progress.program_id is None


def _assembled(blobs: BlobStore, row: TaskRow, view: JournalView) -> Story:
    segments = [Segment.model_validate(blobs.get_json(ref)) for ref in view.segments]
    by_id = {entry.id: entry for segment in segments for entry in segment.entries}
    by_id |= {entry.id: entry for entry in view.fresh}
    entries = sorted(by_id.values(), key=lambda entry: (entry.asked_at, entry.order))
    seen = [one for segment in segments if segment.seen_version == view.version for one in segment.seen]
    closing = segments[-1].closing if segments else None
    return Story(
        row=row,
        inputs=row.input if row.input_ref is None else blobs.get_json(row.input_ref),
        program=closing.version if closing and closing.version.source else _program(blobs, row, view),
        turns=[*(turn for segment in segments for turn in segment.llm), *view.llm],
        calls=[(entry, _loaded(blobs, entry.arguments), _loaded(blobs, entry.value)) for entry in entries],
        seen=[*seen, *view.seen],
        seed=closing.seed if closing else view.seed,
        started_at=closing.started_at if closing else view.started_at,
        unused=frozenset(closing.unused) if closing else frozenset(),
    )


def _program(blobs: BlobStore, row: TaskRow, view: JournalView) -> Version | None:
    first = first_version(blobs, row)
    if not view.source or (first and view.source == first.source):
        return first
    return Version(number=view.version, source=view.source)


def first_version(blobs: BlobStore, row: TaskRow) -> Version | None:
    """The program as it was sent, made to compile; of an agent's task that is over, the last one."""
    return None if row.source_ref is None else Version.model_validate(blobs.get_json(row.source_ref))


def _loaded(blobs: BlobStore, value: Value | None) -> Json:
    if value is None:
        return None
    return value.inline if value.ref is None else blobs.get_json(value.ref)


def export(story: Story) -> JournalExport:
    """Format 1."""
    row = story.row
    return JournalExport(
        task=TaskRef(
            task_id=row.id, principal=Principal(tenant=row.tenant, user_hash=row.user_hash), trace_id=row.trace_id
        ),
        catalogue=row.catalogue or "",
        source=story.program.source if story.program else "",
        version=story.program.number if story.program else 1,
        seed=story.seed,
        started_at=story.started_at,
        inputs=story.inputs,
        entries=[_exported(call, story.unused) for call in story.calls],
        seen=story.seen,
    )


def _exported(call: tuple[Entry, Json, Json], unused: frozenset[str]) -> ExportedCall:
    entry, arguments, answer = call
    told = entry.model_dump(exclude={"arguments", "value"})
    used = entry.state != "dropped" and entry.id not in unused
    return ExportedCall(**told, arguments=arguments, value=answer, used=used)


def steps(story: Story, seen: Seen, asked: list[Question]) -> list[Step]:
    """One line for each LLM call, the program, each call, question and task that it started, in the order of their
    beginning."""
    ids = {question.id for question in asked}
    calls = [_call(entry, arguments) for entry, arguments, _ in story.calls if entry.id not in ids]
    program = [_program_step(story, story.program, seen)] if story.program else []
    children = [_child(run) for run in subtasks.steps(seen) if run.state != "pending"]
    found = [*map(_llm_step, _llm(story, seen)), *program, *children, *calls, *map(_question, asked)]
    return sorted(found, key=lambda step: step.started_at or 0.0)


def _llm(story: Story, seen: Seen) -> list[LlmCall]:
    """Turns of a loop are in its journal; the newest also where other LLM calls are."""
    if seen.progress and seen.row.state not in FINAL:
        others = seen.progress.llm
    else:
        others = [LlmCall.model_validate(call) for call in seen.row.llm]
    return list({(call.step, call.started_at): call for call in (*story.turns, *others)}.values())


def _llm_step(call: LlmCall) -> Step:
    spent = Spent()
    for usage in call.usage:
        spent = spent.plus(usage)
    known = cost(spent)
    return Step(
        kind="llm",
        name=call.step,
        state="answered",
        detail=call.detail[:_DETAIL],
        started_at=call.started_at,
        ended_at=call.ended_at,
        model=spent.model,
        cost=None if known is None else float(known),
    )


def _program_step(story: Story, program: Version, seen: Seen) -> Step:
    row = story.row
    lines = len(program.source.splitlines())
    began = row.started_at or row.created_at
    return Step(
        kind="program",
        name=f"version {program.number}",
        state=seen.state,
        detail=f"{lines} lines",
        started_at=story.started_at if is_agents(row) else began.timestamp(),
        ended_at=row.finished_at.timestamp() if row.finished_at else None,
        error=row.failure["message"] if row.failure else None,
    )


def _call(entry: Entry, arguments: Json) -> Step:
    return Step(
        kind="call",
        name=entry.skill,
        state=entry.state,
        id=entry.id,
        detail=_brief(arguments),
        started_at=entry.asked_at,
        ended_at=entry.answered_at,
        error=entry.error.message if entry.error else None,
    )


def _child(run: StepRun) -> Step:
    known = cost(run.spent)
    return Step(
        kind="child",
        name=run.name if run.iteration == 1 else f"{run.name}.{run.iteration}",
        state=run.state,
        id=run.child or None,
        detail=run.reason[:_DETAIL] if run.state == "skipped" else f"{run.kind} {run.who}".rstrip(),
        started_at=run.started_at or run.ended_at,
        ended_at=run.ended_at,
        error=run.error.message if run.error else None,
        model=run.spent.model,
        cost=None if known is None else float(known),
    )


def _question(question: Question) -> Step:
    return Step(
        kind="question",
        name=question.kind,
        state=question.state,
        id=question.id,
        detail=question.text[:_DETAIL],
        started_at=question.asked_at,
        ended_at=question.answered_at,
    )


def _brief(arguments: Json) -> str:
    """`path='a.py', limit=3`, cut."""
    pairs: Iterable[str] = [json.dumps(arguments, ensure_ascii=False)]
    if isinstance(arguments, dict):
        pairs = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    text = ", ".join(pairs)
    return text if len(text) <= _DETAIL else f"{text[: _DETAIL - 1]}…"
