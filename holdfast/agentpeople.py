"""When an agent asks people: what its file says of its questions, and of calls that need somebody's word."""

from typing import Any

from holdfast.agentforms import AgentDraft
from holdfast.agentkeys import AgentKeys
from holdfast.approvals import check_when
from holdfast.contracts.approval import AgentApproval
from holdfast.contracts.question import Clarification

CLARIFICATION = {"allow_human_clarification": "allowed", "clarification_timeout_seconds": "timeout_seconds"}
"""Keys of `collaborative_config` -> those of `clarification`."""


def clarification_of(keys: AgentKeys, draft: AgentDraft) -> Clarification:
    """
    Raises:
        SpecInvalid: a key stands in both places, or there is a default that nothing leads to.
    """
    said: dict[str, Any] = keys.clarification.model_dump(exclude_unset=True, exclude_none=True)
    for other, key in CLARIFICATION.items():
        found = getattr(keys.collaborative_config, other)
        if found is None:
            continue
        if key in said:
            raise draft.wrong(f"collaborative_config.{other}", f"found beside 'clarification.{key}'; allowed is one")
        said[key] = found
    if "default" in said and said.get("on_timeout") != "default":
        raise draft.wrong("clarification.default", "allowed with on_timeout: default only")
    return Clarification.model_validate(said)


def approvals_of(keys: AgentKeys, draft: AgentDraft) -> list[AgentApproval]:
    """
    Raises:
        SpecInvalid: `when` is no CEL, or names what there is not.
    """
    for number, rule in enumerate(keys.approvals):
        if rule.when:
            try:
                check_when(rule.when)
            except ValueError as exc:
                raise draft.wrong(f"approvals[{number}].when", str(exc)) from None
    return [AgentApproval.model_validate(rule.model_dump()) for rule in keys.approvals]
