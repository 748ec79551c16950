"""Sessions as the HTTP API takes and shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from holdfast.contracts.agent import Strategy
from holdfast.contracts.base import Contract, Json, Sha256
from holdfast.contracts.budget import Budget
from holdfast.contracts.message import BlobPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.principal import SessionId
from holdfast.contracts.program import TaskState
from holdfast.contracts.question import Question
from holdfast.contracts.session import SessionMode, SessionState, Turn
from holdfast.contracts.task import MAX_PARTS, MAX_PROMPT_CHARACTERS, AskedBudget, Body, ModelChoice, Task

AgentName = Annotated[str, StringConstraints(min_length=1, max_length=190)]


class SessionMessage(Body):
    """Body of `POST /sessions/{id}/messages`. `parts` are files that were sent with `POST /files`, such as images; they
    stand behind the text. `agent` and `model` hold for this turn, else those of the session do. The rest
    is as in `POST /tasks`."""

    text: Annotated[str, StringConstraints(max_length=MAX_PROMPT_CHARACTERS)] = ""
    parts: list[BlobPart] = Field(default=[], max_length=MAX_PARTS)
    agent: AgentName | None = None
    model: ModelChoice | None = None
    strategy: Strategy | None = None
    skills: list[str] | None = None
    budget: AskedBudget = Budget()
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    user_id: Annotated[str, StringConstraints(max_length=320)] | None = None


class SessionRequest(Body):
    """Body of `POST /sessions`. Without an `id` it gets one. `agent` takes the messages that name none; `model` is
    asked instead of an agent's own."""

    id: SessionId | None = None
    agent: AgentName | None = None
    model: ModelChoice | None = None
    user_id: Annotated[str, StringConstraints(max_length=320)] | None = None


class MessageTaken(Contract):
    """The turn that a message became: its number (0: not known yet), how many turns are before it, and its task.
    `answered` is the question that the message answered instead: then the turn is the one that asked."""

    session_id: str
    task_id: str
    turn: int
    ahead: int = 0
    answered: str | None = None
    task: Task


class Said(Contract):
    """A turn of a conversation, whole. `answer` is null while there is none, `error` says why there is none."""

    task_id: str
    type: str
    said: str
    state: TaskState
    status: str
    answer: Json = None
    error: str | None = None
    topic: str | None = Field(default=None, description="of the event that it stands for, if no person said it")
    created_at: datetime
    finished_at: datetime | None = None
    total_cost: float | None = None


class SessionLine(Contract):
    """A session in a list. `title` is how its first message begins."""

    id: str
    state: SessionState
    mode: SessionMode = "chat"
    agent: str = ""
    title: str = ""
    turns: int = 0
    user_id_hash: Sha256 | None = None
    tenant_id: str = "default"
    created_at: datetime
    seen_at: datetime


class SessionShown(SessionLine):
    """A session as it stands now. `recent` are its latest turns that are over, the oldest first; `questions` those of
    the turn that runs. `note` says why what is shown may be old; empty if it is not."""

    model: ModelSettings | None = None
    idle_seconds: float = Field(default=0.0, description="so long after its latest turn it hibernates")
    tokens: int = 0
    recent: list[Turn] = []
    queued: list[Turn] = []
    running: Turn | None = None
    questions: list[Question] = []
    variables: list[str] = Field(default=[], description="names of what programs of its turns saved")
    note: str = ""
