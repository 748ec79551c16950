"""Rules of approval as files write them, and a person's decision as an answer says it."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from pydantic import ValidationError

from holdfast import cel
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.approval import APPROVE, DENY, AgentApproval, ApprovalRule, Decision
from holdfast.contracts.base import Json
from holdfast.contracts.skill import SkillFacts
from holdfast.errors import shown
from holdfast.names import listed, suggestion

NAMES = ("arguments", "skill", "agent", "tenant", "user_hash")
"""What `when` can name."""

_KEYS = ("when", "deadline_seconds", "on_timeout")
_ALLOWED = "allowed: always, never, or a mapping with `when` (CEL), deadline_seconds, on_timeout"
_ANSWER = (
    f'the answer is {APPROVE!r}, {DENY!r}, or {{"decision": "{APPROVE}", "grant": {{"uses": 5, "when": <CEL>}}}}, or '
    f'{{"decision": "{DENY}", "reason": …}}'
)


def rule_of(found: Json) -> ApprovalRule | None:
    """The rule that `approval` in a skill's file stands for; None: no call needs a person's word.

    Raises:
        ValueError: it is none; says what is allowed.
    """
    if found is None or found == "never":
        return None
    if found == "always":
        return ApprovalRule()
    if not isinstance(found, dict) or "when" not in found:
        raise ValueError(f"found {shown(found)}; {_ALLOWED}")
    if unknown := [key for key in found if key not in _KEYS]:
        raise ValueError(f"found {shown(unknown[0])};{suggestion(unknown[0], _KEYS)} allowed: {listed(_KEYS)}")
    try:
        rule = ApprovalRule.model_validate(found)
    except ValidationError as exc:
        error = exc.errors()[0]
        where = ".".join(map(str, error["loc"]))
        raise ValueError(f"{where}: found {shown(error['input'])}; {error['msg']}") from None
    check_when(rule.when)
    return rule


def check_when(expression: str) -> None:
    """
    Raises:
        ValueError: it is no CEL, or names something that it is not given.
    """
    unknown = [name for name in cel.names_in(expression) if name not in NAMES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not there;{suggestion(unknown[0], NAMES)} it can name: {listed(NAMES)}")


def rules_for(name: str, of_agent: Iterable[AgentApproval], own: ApprovalRule | None) -> list[ApprovalRule]:
    """What is looked at for calls of a skill, in order: the agent's rules for it, then its own. Empty: nothing."""
    rules = [
        ApprovalRule.model_validate(one.model_dump(exclude={"skill"})) for one in of_agent if fits(one.skill, name)
    ]
    return _needed([*rules, *([own] if own else [])])


def watched(facts: SkillFacts, agent: AgentSpec, above: Iterable[AgentSpec]) -> SkillFacts:
    """With the rules for calls by this agent: its own before the skill's, and beside them those of each agent above."""
    rules = rules_for(facts.name, agent.approvals, next(iter(facts.approval), None))
    others = {one.name: found for one in above if (found := rules_for(facts.name, one.approvals, None))}
    return facts.model_copy(update={"approval": rules, "above": others})


def on_behalf(above: Sequence[str], agent: str) -> list[str]:
    """The agents on whose behalf the children of this one work: those above it, and itself."""
    return [*dict.fromkeys([*above, *([agent] if agent else [])])]


def lenience(rule: ApprovalRule) -> tuple[bool, float]:
    """What of rules that ask is smaller lets less pass if nobody answers: the call is not made, or made later."""
    if rule.on_timeout != "proceed" or rule.deadline_seconds is None:
        return False, 0.0
    return True, -rule.deadline_seconds


def fits(pattern: str, name: str) -> bool:
    """Whether a name, or a pattern of names, means this skill."""
    return fnmatchcase(name, pattern.lower().replace("_", "-"))


def _needed(rules: Sequence[ApprovalRule]) -> list[ApprovalRule]:
    """Without those that change nothing: whatever comes behind one that always holds, and `never` at the end."""
    found: list[ApprovalRule] = []
    for rule in rules:
        found.append(rule)
        if not rule.when:
            break
    while found and found[-1].policy == "never":
        found.pop()
    return found


def decision_of(value: Json) -> Decision:
    """A person's answer to a question of kind `approval`.

    Raises:
        ValueError: it is none; says what is allowed.
    """
    if value in (APPROVE, DENY):
        return Decision.model_validate({"decision": value})
    try:
        decision = Decision.model_validate(value)
    except ValidationError:
        raise ValueError(f"found {shown(value)}; {_ANSWER}") from None
    if decision.grant is not None and decision.decision != APPROVE:
        raise ValueError(f"found a grant beside {DENY!r}; {_ANSWER}")
    return decision
