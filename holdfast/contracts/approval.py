"""Approvals: which calls wait until a person allows them, and what a person's word covers."""

from typing import Literal

from pydantic import ConfigDict, Field

from holdfast.contracts.base import ActivityRef, CallId, Contract, Value
from holdfast.contracts.principal import TaskRef

APPROVE, DENY = "approve", "deny"
APPROVAL_DENIED = "ApprovalDenied"


class ApprovalRule(Contract):
    """Whether a call needs a person's word. `when` is CEL over `arguments`, `skill`, `agent`, `tenant` and `user_hash`;
    empty: it holds for every call. Of several rules the first that holds counts.

    `on_timeout` says what becomes of a call about which nobody says a word: `fail`: it is denied; `escalate`: others
    are told first; `proceed`: it is made.
    """

    policy: Literal["always", "never"] = "always"
    when: str = ""
    deadline_seconds: float | None = Field(default=None, gt=0)
    on_timeout: Literal["fail", "proceed", "escalate"] = "fail"


class AgentApproval(ApprovalRule):
    """A rule of an agent's file. `skill` is the name of a skill or of an agent, or a pattern of names: `mail-*`."""

    skill: str


class GrantWish(Contract):
    """What a person allows beyond the one call: so many further calls of the same skill, if `when` (CEL) holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uses: int = Field(default=1, ge=1, le=1_000_000, strict=True)
    when: str = ""


class Decision(Contract):
    """A person's answer to a question of kind `approval`; plain `approve` and `deny` stand for it, too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Literal["approve", "deny"]
    grant: GrantWish | None = None
    reason: str = ""


class Grant(Contract):
    """A word for further calls of a skill in one task. `question_id` is that of the question it was given to."""

    question_id: str
    skill: str
    uses: int
    when: str = ""
    by: str | None = None


class ApprovalState(Contract):
    """What was decided in a task, over continue-as-new: no call is asked about twice."""

    approved: list[CallId] = []
    denied: dict[CallId, str] = {}
    grants: list[Grant] = []


class JudgeCall(Contract):
    """Input of `approval.judge`: does a call need a word, and does a grant cover it? `grants` are their CEL; `above` as
    in `SkillFacts`."""

    task: TaskRef
    agent: str = ""
    skill: str
    arguments: Value
    rules: list[ApprovalRule]
    above: dict[str, list[ApprovalRule]] = {}
    grants: list[str] = []


class Judged(Contract):
    """The places of the first rule and the first grant that hold. `above`: the agents above whose rules ask, and the
    place of the rule that does. `shown` is the beginning of arguments that travel by reference: who allows a call must
    see it. `why` tells of an expression that could not be evaluated; `doubts` of those of the agents above."""

    rule: int | None = None
    above: dict[str, int] = {}
    doubts: dict[str, str] = {}
    grant: int | None = None
    shown: str = ""
    why: str = ""


APPROVAL_JUDGE: ActivityRef[JudgeCall, Judged] = ActivityRef(name="approval.judge", takes=JudgeCall, gives=Judged)
