"""Sessions: conversations that remember. One workflow each; its turns are tasks, one after another."""

from typing import Literal

from pydantic import Field

from holdfast.contracts.base import ActivityRef, Contract, Failure, Nothing, Sha256, Value
from holdfast.contracts.begin import Begin
from holdfast.contracts.llm import Brief
from holdfast.contracts.message import Part
from holdfast.contracts.model import ModelSettings, Usage
from holdfast.contracts.principal import SessionId, TaskRef, Tenant
from holdfast.contracts.program import TaskState
from holdfast.contracts.question import Question

SESSION_WORKFLOW = "SessionWorkflow"
UPDATE_SEND = "send"
SIGNAL_SEND = "message"
"""The same as the update, for a time in which no worker answers. It is refused by nobody."""
SIGNAL_HIBERNATE = "hibernate"
SIGNAL_CLOSE = "close"
SIGNAL_DROP = "drop"
"""A turn that waits, by its `Dropped`, is not to begin."""
QUERY_SESSION = "session"

MAX_QUEUED = 100
"""Turns that wait behind the one that runs."""
MAX_SHOWN = 2048
"""Characters of what is said and answered that a `Turn` holds."""
QUEUE_FULL = "TOO_MANY_TASKS"
"""Type of the refusal of a message that has too many before it."""

SessionMode = Literal["chat", "continuous"]
SessionState = Literal["active", "idle", "closed"]
"""`idle`: it hibernates: no workflow runs, and the next message wakes it with all that it knew."""


class SessionRef(Contract):
    tenant: Tenant = "default"
    session_id: SessionId
    trace_id: str = Field(pattern=r"^[0-9a-f]{32}$")

    @property
    def workflow_id(self) -> str:
        return f"{self.tenant}/session:{self.session_id}"


class SessionSettings(Contract):
    """What holds for all turns. `agent` is the one that takes messages which name none; `model` is asked instead of its
    own. `kept` are the turns that are sent word for word at most; older ones are summed up. With `bound_events` in its
    history it continues as new."""

    mode: SessionMode = "chat"
    agent: str = ""
    model: ModelSettings | None = None
    idle_seconds: float = Field(default=1800.0, gt=0)
    kept: int = Field(default=1000, ge=1)
    bound_events: int = Field(default=2000, ge=1)


class Turn(Contract):
    """One exchange, as people see it. `said` and `answer` are cut at 2,048 characters; all of it is in the task's
    record."""

    number: int
    task_id: str
    said: str
    state: TaskState = "PENDING"
    answer: str = ""
    error: str = ""
    event: str = ""
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None


class Memory(Contract):
    """What a session knows, over hibernation and continue-as-new. `head` is the last link of its conversation,
    `variables` a mapping that programs of earlier turns saved, with these `names`, `done` the ids of the latest tasks
    that it took. `recent` are the latest turns only; `unsummed` counts those since the last summary."""

    turns: int = 0
    head: Sha256 | None = None
    tokens: int = 0
    unsummed: int = 0
    variables: Value | None = None
    names: list[str] = []
    recent: list[Turn] = []
    done: list[str] = []


class SessionSpec(Contract):
    """Input of SessionWorkflow. `queue` are turns that a run before this one took, and did not begin. `memory` is None
    for a session that begins or wakes: it is read from the store then."""

    session: SessionRef
    settings: SessionSettings = SessionSettings()
    memory: Memory | None = None
    queue: list["Message"] = []


class Message(Contract):
    """Update `send`: the next turn. `event` names the topic of the event that it stands for."""

    begin: Begin
    say: list[Part] = []
    event: str = ""
    sent_at: float = 0.0


class Sent(Contract):
    """`turn` is its number, from 1; 0: not known yet. `ahead` counts those before it that are not over."""

    turn: int = 0
    ahead: int = 0


class Dropped(Contract):
    task_id: str


class SessionView(Contract):
    """Query `session`. `questions` are those of the turn that runs, with the ids by which its task knows them."""

    state: SessionState = "active"
    turns: int = 0
    tokens: int = 0
    recent: list[Turn] = []
    queued: list[Turn] = []
    running: Turn | None = None
    questions: list[Question] = []
    variables: Value | None = None


class SendRequest(Contract):
    """Input of `session.send`: a task that was admitted becomes the next turn of its session, whose id it has. `event`
    is the topic of the event that it stands for."""

    begin: Begin
    event: str = ""


class LoadRequest(Contract):
    """Input of `session.load`: what a session knew when it last hibernated. The output is a `Loaded`."""

    session: SessionRef
    settings: SessionSettings


class Loaded(Contract):
    """`is_closed`: it was closed, and takes nothing any more."""

    memory: Memory
    settings: SessionSettings
    is_closed: bool = False


class SaveRequest(Contract):
    """Input of `session.save`: the session's row, for lists, and to wake with. `seen_at` is the time of its latest
    message, in UTC seconds since 1970; `user_hash` is who sent the first one."""

    session: SessionRef
    user_hash: Sha256 | None = None
    seen_at: float
    settings: SessionSettings
    state: SessionState
    memory: Memory


class NoteRequest(Contract):
    """Input of `session.note`: add a turn that is over to the conversation. `head` is that of the session before it,
    `talk` that of the task's own conversation (the calls of a loop are taken from there), `models` those of its agent.
    `variables` are those of the session after it: their names are wanted.
    """

    task: TaskRef
    head: Sha256 | None = None
    talk: Sha256 | None = None
    say: list[Part]
    state: TaskState
    value: Value | None = None
    error: Failure | None = None
    models: list[ModelSettings] = []
    variables: Value | None = None


class Noted(Contract):
    """`tokens` is an estimate of the whole conversation; `is_full`: sum older turns up before the next one."""

    head: Sha256
    tokens: int
    is_full: bool = False
    answer: str = ""
    names: list[str] = []


class SummaryRequest(Contract):
    """Input of `llm.summary`: sum the older turns of a conversation up, so that it fits its model's window. What is
    protected stays word for word: texts of skills, open questions, the newest turns."""

    brief: Brief
    head: Sha256


class Summary(Contract):
    head: Sha256
    tokens: int
    usage: list[Usage] = []


SESSION_SEND: ActivityRef[SendRequest, Sent] = ActivityRef(name="session.send", takes=SendRequest, gives=Sent)
SESSION_LOAD: ActivityRef[LoadRequest, Loaded] = ActivityRef(name="session.load", takes=LoadRequest, gives=Loaded)
SESSION_SAVE: ActivityRef[SaveRequest, Nothing] = ActivityRef(name="session.save", takes=SaveRequest, gives=Nothing)
SESSION_NOTE: ActivityRef[NoteRequest, Noted] = ActivityRef(name="session.note", takes=NoteRequest, gives=Noted)
LLM_SUMMARY: ActivityRef[SummaryRequest, Summary] = ActivityRef(name="llm.summary", takes=SummaryRequest, gives=Summary)

SessionSpec.model_rebuild()
