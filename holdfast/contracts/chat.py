"""Sessions as the HTTP API takes and shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from holdfast.contracts.base import Contract
from holdfast.contracts.message import BlobPart
from holdfast.contracts.question import Question
from holdfast.contracts.session import SessionMode, SessionState, Turn
from holdfast.contracts.task import MAX_PROMPT_CHARACTERS, Body, ModelChoice, Task

MAX_PARTS = 20


class SessionMessage(Body):
    """Body of `POST /sessions/{id}/messages`. `parts` are files that were sent with `POST /files`, such as images; they
    stand behind the text. `agent` and `model` hold for this turn, else those of the session do."""

    text: Annotated[str, StringConstraints(max_length=MAX_PROMPT_CHARACTERS)] = ""
    parts: list[BlobPart] = Field(default=[], max_length=MAX_PARTS)
    agent: str | None = Field(default=None, max_length=200)
    model: ModelChoice | None = None
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    user_id: Annotated[str, StringConstraints(max_length=320)] | None = None


class MessageTaken(Contract):
    """The turn that a message became: its number, how many turns are before it, and its task."""

    session_id: str
    turn: int
    ahead: int = 0
    task: Task


class SessionLine(Contract):
    """A session in a list. `title` is how its first message begins."""

    id: str
    state: SessionState
    mode: SessionMode = "chat"
    agent: str = ""
    title: str = ""
    turns: int = 0
    created_at: datetime
    seen_at: datetime


class SessionShown(SessionLine):
    """A session as it stands now. `recent` are its latest turns that are over, the oldest first; `questions` those of
    the turn that runs. `note` says why what is shown may be old; empty if it is not."""

    tokens: int = 0
    recent: list[Turn] = []
    queued: list[Turn] = []
    running: Turn | None = None
    questions: list[Question] = []
    variables: list[str] = Field(default=[], description="names of what programs of its turns saved")
    note: str = ""
