"""Calls that wait for a person's word. What was decided once holds for the task: no call is asked about twice."""

from holdfast.approvals import decision_of, lenience
from holdfast.contracts.approval import (
    APPROVAL_DENIED,
    APPROVAL_JUDGE,
    APPROVE,
    DENY,
    ApprovalRule,
    ApprovalState,
    Decision,
    Grant,
    JudgeCall,
    Judged,
)
from holdfast.contracts.base import Failure, Json
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.question import AnswerMessage, Question
from holdfast.contracts.skill import SkillCall, SkillFacts
from workflows import saving
from workflows.effects import NotBegun, summary
from workflows.questions import Questions


class Approvals:
    """Asks for a person's word before a call is made, where the rules of its skill say so, and keeps what was said.

    A question's id is that of its call. It is open data: it outlives the box, the worker and continue-as-new.
    """

    def __init__(self, task: TaskRef, agent: str, questions: Questions, carried: ApprovalState) -> None:
        self._task, self._agent, self._questions = task, agent, questions
        self._approved = dict.fromkeys(carried.approved)
        self._denied = dict(carried.denied)
        self._grants = {grant.question_id: grant for grant in carried.grants}
        self._asking: dict[str, SkillCall] = {}

    async def refusal(self, call: SkillCall, facts: SkillFacts, asked_at: float) -> Failure | None:
        """Why a call is not made; None: it may be. Waits for a person, if one is needed, for as long as it takes.

        Raises:
            NotBegun: nobody wants the call any more.
        """
        one = call.call_id
        if not facts.is_watched or one in self._approved:
            return None
        if one in self._denied:
            return _failure(call, self._denied[one])
        self._asking[one] = call
        try:
            if not self._is_asked(one, asked_at) and not await self._ask(call, facts, asked_at):
                return None
            closed = await self._questions.wait(one)
        finally:
            del self._asking[one]
        if closed.state == "withdrawn":
            raise NotBegun
        await saving.audited(self._task, [closed])
        return await self._settled(call, closed)

    def is_open(self, call_id: str) -> bool:
        """Whether a call waits for a person's word: then nothing of it has begun."""
        question = self._questions.all.get(call_id)
        return question is not None and question.state == "open" and question.kind == "approval"

    def forget(self, call_id: str) -> None:
        """The call has its answer, which stands: it will not be made again."""
        self._approved.pop(call_id, None)

    def carried(self) -> ApprovalState:
        grants = [grant for grant in self._grants.values() if grant.uses]
        return ApprovalState(approved=list(self._approved), denied=self._denied, grants=grants)

    def _is_asked(self, one: str, asked_at: float) -> bool:
        known = self._questions.all.get(one)
        return known is not None and known.kind == "approval" and known.asked_at == asked_at

    # before a question

    async def _ask(self, call: SkillCall, facts: SkillFacts, asked_at: float) -> bool:
        """Whether a question is open now; no: the call needs no word, or a grant covers it."""
        while True:
            grants = [grant for grant in self._grants.values() if grant.skill == call.skill and grant.uses]
            judged = await self._judged(call, facts.approval, grants, facts.above)
            asking = asking_of(facts, judged)
            if asking is None:
                return False
            if judged.grant is None:
                self._questions.ask(self._question(call, facts, *asking, judged, asked_at))
                return True
            # Another call may have had its last use meanwhile.
            if self._use(grants[judged.grant].question_id):
                self._approved[call.call_id] = None
                return False

    async def _judged(
        self,
        call: SkillCall,
        rules: list[ApprovalRule],
        grants: list[Grant],
        above: dict[str, list[ApprovalRule]] | None = None,
    ) -> Judged:
        if not (above or rules[0].when or call.arguments.ref or any(grant.when for grant in grants)):
            return Judged(rule=0, grant=0 if grants else None)
        request = JudgeCall(
            task=self._task,
            agent=self._agent,
            skill=call.skill,
            arguments=call.arguments,
            rules=rules,
            above=above or {},
            grants=[grant.when for grant in grants],
        )
        text = f"may it be made? {summary(call)}"
        judged: Judged = await saving.locally(APPROVAL_JUDGE.name, request, result_type=Judged, summary=text)
        return judged

    def _use(self, question_id: str) -> bool:
        grant = self._grants[question_id]
        if grant.uses:
            self._grants[question_id] = grant.model_copy(update={"uses": grant.uses - 1})
        return grant.uses > 0

    def _question(
        self, call: SkillCall, facts: SkillFacts, rule: ApprovalRule, by: str, judged: Judged, asked_at: float
    ) -> Question:
        who = f"agent {self._agent!r}" if self._agent else "a program"
        doubt = judged.doubts.get(by, "") if by else judged.why
        why = doubt or (f"calls with {rule.when} need a word" if rule.when else "every call of it needs a word")
        why += f", says agent {by!r}" if by else ""
        arguments: dict[str, Json] = {"arguments": call.arguments.inline}
        if call.arguments.ref:
            arguments = {"arguments_shown": judged.shown, "arguments_size_bytes": call.arguments.size_bytes}
        details: dict[str, Json] = {"skill": call.skill, "effect": facts.effect, "why": why, **arguments}
        return Question(
            id=call.call_id,
            kind="approval",
            text=f"May {who} call {summary(call)}? ({why})",
            options=[APPROVE, DENY],
            details=details,
            asked_at=asked_at,
            deadline=None if rule.deadline_seconds is None else asked_at + rule.deadline_seconds,
            on_timeout=rule.on_timeout,
        )

    # after it

    async def _settled(self, call: SkillCall, closed: Question) -> Failure | None:
        decision = _decision(closed)
        if decision.decision != APPROVE:
            if closed.state != "expired":
                # What a person said no to is not asked again; what nobody looked at may be.
                self._denied[call.call_id] = decision.reason
            return _failure(call, decision.reason)
        self._approved[call.call_id] = None
        if wish := decision.grant:
            grant = Grant(question_id=closed.id, skill=call.skill, by=closed.answered_by, **wish.model_dump())
            self._grants[grant.question_id] = grant
            await self._cover(grant)
        return None

    async def _cover(self, grant: Grant) -> None:
        """Answer the open questions about calls that a new grant covers."""
        for one, call in list(self._asking.items()):
            if call.skill != grant.skill or not self.is_open(one):
                continue
            judged = await self._judged(call, [ApprovalRule()], [grant])
            if judged.grant is not None and self.is_open(one) and self._use(grant.question_id):
                said: dict[str, Json] = {"decision": APPROVE, "reason": f"covered by the answer to {grant.question_id}"}
                self._questions.answer(AnswerMessage(question_id=one, value=said, by=grant.by))


def asking_of(facts: SkillFacts, judged: Judged) -> tuple[ApprovalRule, str] | None:
    """The rule by which a person is asked, and the agent above whose it is; "": it is the agent's own, or the skill's.

    Where several ask, it is the one that lets least pass when nobody answers. None: none of them asks.
    """
    own = facts.approval[judged.rule] if judged.rule is not None else None
    found = [(own, "")] if own is not None and own.policy == "always" else []
    found += [(facts.above[agent][place], agent) for agent, place in judged.above.items()]
    return min(found, key=lambda one: lenience(one[0]), default=None)


def _decision(closed: Question) -> Decision:
    """What became of the question, as somebody's word."""
    if closed.state == "answered":
        return decision_of(closed.answer)
    if closed.state == "expired" and closed.on_timeout == "proceed":
        return Decision(decision="approve", reason="nobody answered in time")
    reason = "nobody answered in time" if closed.state == "expired" else "the question was rejected"
    return Decision(decision="deny", reason=reason)


def _failure(call: SkillCall, reason: str) -> Failure:
    because = f": {reason}" if reason else ""
    text = f"the call of {call.skill!r} was not allowed, and not made{because}"
    return Failure(type=APPROVAL_DENIED, message=text, details={"skill": call.skill})
