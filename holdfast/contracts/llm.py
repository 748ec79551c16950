"""What the activities that ask models take and give.

A conversation is a chain of content-addressed blobs: each names the one before it, and holds the messages that
were new. An activity gets the head of the chain and the new messages, and gives the next head, so that a history
grows by what was said, not by all that was said before.
"""

from typing import Literal

from holdfast.contracts.base import ActivityRef, CallId, Contract, Failure, Json, Sha256, Value
from holdfast.contracts.message import Message, Part
from holdfast.contracts.model import ModelSettings, Usage
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.skill import SkillAnswer, SkillCall

ANSWERED = "The person's answer: "
"""What stands before a person's answer when it is told to a model."""


class Turn(Contract):
    """One link of a conversation, as its blob holds it. `said` are the person's own words in it, if there are any.

    `keep`: it stays when others are left out or summed up: it tells of skills, asks something, or is a summary, which
    stands for `sums_up` links. `tokens` is an estimate of all up to here; 0: nobody has counted.
    """

    format: Literal[1] = 1
    before: Sha256 | None = None
    messages: list[Message]
    said: str = ""
    keep: bool = False
    sums_up: int = 0
    tokens: int = 0


class Brief(Contract):
    """What all LLM calls of one task have in common.

    `models` are asked in this order: the next one when one is down; empty: the worker's default. `system` names the
    blob of the system prompt's text. `skills` are those that the task may use. `files_ref` names the blob of the list
    of files that its program finds in /ws/in. `subagents` are agents that it may delegate to. `before` is the head of
    its session's conversation: what was said before the task; `variables` are the names that its program finds saved.
    """

    task: TaskRef
    catalogue: Sha256
    agent: str = ""
    models: list[ModelSettings] = []
    system: Sha256 | None = None
    skills: list[str] = []
    files_ref: Sha256 | None = None
    max_retries: int = 2
    retry_delay_seconds: float | None = None
    retry_backoff: float | None = None
    subagents: list[str] = []
    before: Sha256 | None = None
    variables: list[str] = []


class PlanRequest(Contract):
    """Input of `llm.plan`. Without a `head`, `say` is the task; else it is what was added: an answer, a complaint."""

    brief: Brief
    head: Sha256 | None = None
    say: list[Part]


class Plan(Contract):
    """Which way a task goes. `answer`: it is answered; `ask`: something must be asked first; `skills`: a program of
    these is to be written. `problems` is what was wrong with a reply that is no plan: to be asked again with it."""

    kind: Literal["answer", "skills", "ask", "invalid"]
    selected_skills: list[str] = []
    reasoning: str = ""
    answer: Value | None = None
    question: str = ""
    options: list[str] = []
    problems: str = ""
    head: Sha256
    prompt: str = ""
    usage: list[Usage] = []


class DraftRequest(Contract):
    """Input of `llm.program`: write a program that uses `skills`, or mend one.

    `say` is the task (with planning `fused`, or no plan before), or empty after a plan. `why` is what was wrong with
    the last version: a traceback, or what the check found; then the mended program is asked for. `in_session`: what it
    leaves in `session` is kept.
    """

    brief: Brief
    head: Sha256 | None = None
    say: list[Part] = []
    skills: list[str] = []
    fused: bool = False
    why: str = ""
    version: int = 1
    in_session: bool = False


class Draft(Contract):
    """A program as the model wrote it. `problems` says why it cannot run as it is; then `source` is what was found.

    With planning `fused` the model may also answer, or ask, instead of writing one.
    """

    kind: Literal["program", "answer", "ask"] = "program"
    source: str = ""
    first_line: int = 1
    problems: str = ""
    answer: Value | None = None
    question: str = ""
    options: list[str] = []
    head: Sha256
    prompt: str = ""
    usage: list[Usage] = []


class AnswerRequest(Contract):
    """Input of `llm.answer`: answer the task `say`, or phrase the `result` of its program."""

    brief: Brief
    head: Sha256 | None = None
    say: list[Part] = []
    result: Value | None = None
    output_schema: dict[str, Json] | None = None


class Answer(Contract):
    """The model's own answer: text, or JSON that fits the output schema."""

    value: Value
    head: Sha256
    prompt: str = ""
    usage: list[Usage] = []


class ToolUse(Contract):
    """A tool call of a turn. `id` is the model's; `digest` the part of the call id that says what is asked. With
    `problem` it cannot be made (no such skill, wrong arguments): that is what the model gets back."""

    id: str
    skill: str
    digest: str = ""
    arguments: Value = Value()
    summary: str = ""
    problem: str = ""


class ToolResult(Contract):
    """What became of a tool call, for the model: exactly one of `value` and `error` is set."""

    id: str
    skill: str
    value: Value | None = None
    error: Failure | None = None


class TurnRequest(Contract):
    """Input of `llm.turn`: one turn of the loop. Without a `head`, `say` is the task; later `results` answer the calls
    of the last turn, and `say` is what is added: a word of guidance, what a person says."""

    brief: Brief
    head: Sha256 | None = None
    say: list[Part] = []
    results: list[ToolResult] = []
    output_schema: dict[str, Json] | None = None


class LoopTurn(Contract):
    """What the model did: it answered, or it calls. `text` is what it said beside its calls, cut at 200 characters."""

    kind: Literal["answer", "calls"]
    answer: Value | None = None
    calls: list[ToolUse] = []
    text: str = ""
    head: Sha256
    prompt: str = ""
    usage: list[Usage] = []


class Delegated(Contract):
    """A step of a delegation plan. `delegate_to` is canonical; empty: the master itself. `after` are numbers (from 1,
    over all plans of the task) of steps whose results it needs."""

    task: str
    delegate_to: str = ""
    reason: str = ""
    after: list[int] = []


class DelegationRequest(Contract):
    """Input of `llm.delegate`. Without a `head`, `say` is the task; else it is what was added: an answer, a complaint,
    or steps that failed and are to be planned anew. `before` steps were planned earlier: new ones are counted from
    behind these, and may come after them."""

    brief: Brief
    head: Sha256 | None = None
    say: list[Part]
    max_steps: int = 10
    before: int = 0


class DelegationPlan(Contract):
    """Which way a master's task goes. `problems` is what was wrong with a reply that is no plan."""

    kind: Literal["steps", "answer", "ask", "invalid"]
    steps: list[Delegated] = []
    reasoning: str = ""
    answer: Value | None = None
    question: str = ""
    options: list[str] = []
    problems: str = ""
    head: Sha256
    prompt: str = ""
    usage: list[Usage] = []


class Contribution(Contract):
    """What one step of a delegation gave."""

    who: str
    task: str
    value: Value | None = None
    error: Failure | None = None


class MergeRequest(Contract):
    """Input of `llm.merge`: one answer, made of what the steps gave. The output is an `Answer`."""

    brief: Brief
    head: Sha256 | None = None
    parts: list[Contribution]
    output_schema: dict[str, Json] | None = None


class SkillPrompt(Contract):
    """Input of `llm.skill`: answer a call of a prompt skill by its template."""

    call: SkillCall
    models: list[ModelSettings] = []
    max_retries: int = 2


class ModelAsk(Contract):
    """Input of `llm.ask`: what a hybrid skill's code asks of the model. `arguments` are {prompt, system?}."""

    task: TaskRef
    call_id: CallId
    parent: CallId
    skill: str
    arguments: Value
    models: list[ModelSettings] = []
    max_retries: int = 2


LLM_PLAN: ActivityRef[PlanRequest, Plan] = ActivityRef(name="llm.plan", takes=PlanRequest, gives=Plan)
LLM_PROGRAM: ActivityRef[DraftRequest, Draft] = ActivityRef(name="llm.program", takes=DraftRequest, gives=Draft)
LLM_ANSWER: ActivityRef[AnswerRequest, Answer] = ActivityRef(name="llm.answer", takes=AnswerRequest, gives=Answer)
LLM_TURN: ActivityRef[TurnRequest, LoopTurn] = ActivityRef(name="llm.turn", takes=TurnRequest, gives=LoopTurn)
LLM_DELEGATE: ActivityRef[DelegationRequest, DelegationPlan] = ActivityRef(
    name="llm.delegate", takes=DelegationRequest, gives=DelegationPlan
)
LLM_MERGE: ActivityRef[MergeRequest, Answer] = ActivityRef(name="llm.merge", takes=MergeRequest, gives=Answer)
LLM_SKILL: ActivityRef[SkillPrompt, SkillAnswer] = ActivityRef(name="llm.skill", takes=SkillPrompt, gives=SkillAnswer)
LLM_ASK: ActivityRef[ModelAsk, SkillAnswer] = ActivityRef(name="llm.ask", takes=ModelAsk, gives=SkillAnswer)
