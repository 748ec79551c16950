"""Questions as data: what fits them, what follows from their ends; rules of approval; the chain of the audit record."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from temporalio.exceptions import ApplicationError

from activities.auditing import Auditor, entries
from holdfast.agentfiles import parse_agent
from holdfast.agentforms import AgentFile
from holdfast.approvals import check_when, decision_of, on_behalf, rule_of, rules_for, watched
from holdfast.blobs import BlobStore
from holdfast.config import Settings
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.approval import AgentApproval, ApprovalRule, JudgeCall, Judged
from holdfast.contracts.base import Json, Value
from holdfast.contracts.principal import Principal, TaskRef
from holdfast.contracts.question import AnswerMessage, Clarification, Question, QuestionState
from holdfast.contracts.skill import SkillFacts
from holdfast.errors import SpecInvalid
from holdfast.flowfiles import FlowFile, parse_flow
from holdfast.forms import fault
from holdfast.sources import Sources
from holdfast.specs import parse_skill
from store.audit import Audit, NewEntry
from store.database import Database
from store.tables import AuditRow
from tests.support.skill_folders import write_files, write_skill
from workflows.approvals import asking_of
from workflows.clarifying import UNANSWERED, clarified, of_call, told
from workflows.questions import Questions, Unanswered, answer_of

TASK = TaskRef(task_id="t", trace_id="0" * 32, principal=Principal(tenant="acme", user_hash="a" * 64))
FORM: dict[str, Json] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def question(state: QuestionState = "open", **fields: Any) -> Question:
    return Question.model_validate({"id": "q", "text": "Which?", "asked_at": 1.0, "state": state, **fields})


def refused(asked: Question, value: Json, **more: Any) -> str:
    with pytest.raises(ApplicationError) as caught:
        Questions([asked]).check(AnswerMessage(question_id="q", value=value, **more))
    return f"{caught.value.type}: {caught.value.message}"


def test_answer_must_fit_options_form_and_kind() -> None:
    assert "'green' is not one of the options: 'red'" in refused(question(options=["red"]), "green")
    assert "answer.n: found 'x' (string); allowed: integer" in refused(question(form=FORM), {"n": "x"})
    assert "the answer is 'approve', 'deny'" in refused(question(kind="approval", options=["approve", "deny"]), "yes")
    Questions([question(form=FORM)]).check(AnswerMessage(question_id="q", value={"n": 1}))
    Questions([question(form=FORM)]).check(AnswerMessage(question_id="q", reject=True))


@pytest.mark.parametrize("state", ["answered", "rejected", "expired", "withdrawn"])
def test_closed_question_takes_no_answer(state: QuestionState) -> None:
    assert refused(question(state), "red").startswith(f"CONFLICT: question 'q' is {state} already")
    assert refused(question(state), None, reject=True).startswith("CONFLICT")


def test_what_follows_from_the_end_of_a_question() -> None:
    assert answer_of(question("answered", answer="red", on_timeout="default", default="blue")) == "red"
    assert answer_of(question("expired", on_timeout="default", default="blue")) == "blue"
    assert answer_of(question("expired", on_timeout="proceed")) is None
    assert told(question("expired", on_timeout="proceed")) == UNANSWERED
    for state, policy in (
        ("expired", "fail"),
        ("expired", "escalate"),
        ("rejected", "default"),
        ("withdrawn", "proceed"),
    ):
        with pytest.raises(Unanswered) as caught:
            answer_of(question(state, on_timeout=policy))  # type: ignore[arg-type]
        assert caught.value.failure.type == f"Question{state.capitalize()}"


def test_agents_rules_are_for_questions_without_a_deadline() -> None:
    rules = Clarification(timeout_seconds=60, on_timeout="default", default="blue")
    given = clarified(question(), rules)
    assert (given.deadline, given.on_timeout, given.default) == (61.0, "default", "blue")
    own = of_call("q", {"text": "?", "deadline_seconds": 5, "on_timeout": "proceed"}, 1.0, rules)
    assert (own.deadline, own.on_timeout) == (6.0, "proceed")


def test_question_that_makes_no_sense_is_named() -> None:
    assert fault({"options": ["a"], "form": FORM}) is not None
    assert fault({"form": {"type": "nothing"}}) == fault({"form": {"type": "nothing"}, "options": []})
    where, why = fault({"options": ["a"], "on_timeout": "default", "default": "b"}) or ("", "")
    assert (where, "'b' is not one of the options" in why) == ("default", True)
    assert fault({"form": FORM, "on_timeout": "default", "default": {"n": 1}}) is None


# approvals


def test_rules_of_skills_are_read_and_faults_are_told() -> None:
    assert rule_of("never") is None
    assert rule_of("always") == ApprovalRule()
    assert rule_of({"when": "arguments.n > 1", "deadline_seconds": 5}) == ApprovalRule(
        when="arguments.n > 1", deadline_seconds=5
    )
    for found, said in (
        (True, "allowed: always, never, or a mapping"),
        ("sometimes", "found 'sometimes'"),
        ({"when": "arguments.n >"}, "no CEL expression"),
        ({"when": "argument.n > 1"}, "did you mean 'arguments'"),
        ({"when": "true", "deadline": 5}, "found 'deadline'"),
        ({"when": "true", "on_timeout": "default"}, "on_timeout: found 'default'"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            rule_of(found)


def test_first_rule_of_the_agent_counts_before_the_skills_own() -> None:
    of_agent = [
        AgentApproval(skill="mail-*", when="arguments.to == 'me'", policy="never"),
        AgentApproval(skill="Mail_Send", when="agent == 'x'"),
        AgentApproval(skill="*", policy="never"),
    ]
    rules = rules_for("mail-send", of_agent, ApprovalRule())
    assert [(rule.policy, rule.when) for rule in rules] == [
        ("never", "arguments.to == 'me'"),
        ("always", "agent == 'x'"),
    ]
    assert rules_for("pay", of_agent, ApprovalRule()) == []
    assert rules_for("pay", [], ApprovalRule()) == [ApprovalRule()]


def test_rules_of_agents_above_stand_beside_an_agents_own() -> None:
    own = AgentSpec(name="own", approvals=[AgentApproval(skill="pay", policy="never")])
    trusting = AgentSpec(name="trusting", approvals=[AgentApproval(skill="*", policy="never")])
    careful = AgentSpec(name="careful", approvals=[AgentApproval(skill="pa*", when="agent == 'own'")])
    facts = watched(SkillFacts(name="pay", approval=[ApprovalRule()]), own, [trusting, careful])
    assert (facts.approval, facts.above) == ([], {"careful": [ApprovalRule(when="agent == 'own'")]})
    assert facts.is_watched
    assert watched(SkillFacts(name="note", approval=[ApprovalRule()]), own, [trusting]).approval == [ApprovalRule()]
    assert not watched(SkillFacts(name="note"), own, [trusting, careful]).is_watched
    assert on_behalf(["a", "b"], "a") == ["a", "b"]
    assert on_behalf(["a"], "b") == ["a", "b"]
    assert on_behalf([], "") == []


def test_of_several_rules_that_ask_the_one_that_lets_least_pass_counts() -> None:
    soon = ApprovalRule(on_timeout="proceed", deadline_seconds=1)
    later = ApprovalRule(on_timeout="proceed", deadline_seconds=60)
    denied = ApprovalRule(deadline_seconds=60)
    own = [ApprovalRule(policy="never", when="x"), soon]
    facts = SkillFacts(name="pay", approval=own, above={"a": [later], "b": [denied], "c": [ApprovalRule()]})
    assert asking_of(facts, Judged()) is None
    assert asking_of(facts, Judged(rule=0)) is None
    assert asking_of(facts, Judged(rule=1)) == (soon, "")
    assert asking_of(facts, Judged(rule=0, above={"a": 0})) == (later, "a")
    assert asking_of(facts, Judged(rule=1, above={"a": 0})) == (later, "a")
    assert asking_of(facts, Judged(rule=1, above={"a": 0, "b": 0, "c": 0})) == (denied, "b")


def test_decisions_are_words_or_mappings_and_nothing_else() -> None:
    assert decision_of("deny").decision == "deny"
    grant = decision_of({"decision": "approve", "grant": {"uses": 5, "when": "true"}}).grant
    assert grant is not None
    assert grant.uses == 5
    wrong: list[Json] = ["yes", None, {"decision": "approve", "grant": {"uses": 0}}, {"decision": "deny", "grant": {}}]
    for one in [*wrong, {"decision": "approve", "grant": {"uses": True}}, {"decision": "approve", "extra": 1}]:
        with pytest.raises(ValueError, match="the answer is 'approve'"):
            decision_of(one)
    with pytest.raises(ValueError, match="it can name: 'arguments'"):
        check_when("anything == 1")


def test_faults_of_files_name_the_key(tmp_path: Path) -> None:
    def skill(approval: str) -> str:
        folder = write_skill(tmp_path, "pay", extra=f"approval: {approval}\n")
        with pytest.raises(SpecInvalid) as caught:
            parse_skill(folder)
        return str(caught.value)

    def agent(text: str) -> str:
        write_files(tmp_path, {"agents/a.yaml": f"name: a\n{text}\n"})
        with pytest.raises(SpecInvalid) as caught:
            parse_agent(AgentFile(tmp_path / "agents" / "a.yaml", "agents/a.yaml", tmp_path), Sources())
        return str(caught.value)

    def flow(ask: str) -> str:
        write_files(tmp_path, {"flows/a.yaml": f"name: a\nsteps: [{{ask: {ask}}}]\n"})
        with pytest.raises(SpecInvalid) as caught:
            parse_flow(FlowFile(tmp_path / "flows" / "a.yaml", "flows/a.yaml", tmp_path), Sources())
        return str(caught.value)

    assert "key 'approval': found 'sometimes'" in skill("sometimes")
    assert "'approvals[0].when'" in agent("approvals: [{skill: pay, when: 'argument.n > 1'}]")
    assert "'approvals[0].polcy': unknown; did you mean 'policy'" in agent("approvals: [{skill: pay, polcy: never}]")
    twice = "clarification: {timeout_seconds: 1}\ncollaborative_config: {clarification_timeout_seconds: 2}"
    assert "found beside 'clarification.timeout_seconds'" in agent(twice)
    assert "'clarification.default': allowed with on_timeout: default only" in agent("clarification: {default: x}")
    assert "'steps[0].ask.form': not a JSON Schema" in flow("{text: '?', form: {type: nothing}}")
    assert "'steps[0].ask.default'" in flow("{text: '?', options: [a], on_timeout: default, default: b}")


@pytest.fixture
async def database(tmp_path: Path) -> Any:
    one = await Database.open(Settings.load(tmp_path, home=tmp_path))
    yield one
    await one.close()


async def test_what_cannot_be_evaluated_lets_no_call_pass(database: Database, tmp_path: Path) -> None:
    auditor = Auditor(Audit(database), BlobStore(tmp_path / "blobs"), None)  # type: ignore[arg-type]

    async def judged(*rules: tuple[str, str], grants: tuple[str, ...] = ()) -> tuple[int | None, int | None]:
        made = [ApprovalRule(policy=policy, when=when) for policy, when in rules]  # type: ignore[arg-type]
        call = JudgeCall(task=TASK, skill="pay", arguments=Value(inline={"n": 5}), rules=made, grants=list(grants))
        found = await auditor.judge(call)
        return found.rule, found.grant

    assert await judged(("always", "arguments.n > 9")) == (None, None)
    assert await judged(("never", "arguments.n < 9"), ("always", "")) == (0, None)
    assert await judged(("never", "arguments.lost"), ("always", "arguments.lost")) == (1, None)
    assert await judged(("always", "tenant == 'acme' && user_hash != '' && skill == 'pay'")) == (0, None)
    assert await judged(("always", ""), grants=("arguments.lost", "arguments.n > 9", "arguments.n == 5")) == (0, 2)


async def test_every_agent_above_whose_rules_ask_is_named(database: Database, tmp_path: Path) -> None:
    auditor = Auditor(Audit(database), BlobStore(tmp_path / "blobs"), None)  # type: ignore[arg-type]
    lets_pass = ApprovalRule(policy="never", when="arguments.n == 5")
    above = {
        "trusting": [lets_pass, ApprovalRule()],
        "careful": [ApprovalRule(policy="never", when="arguments.n > 9"), ApprovalRule(when="agent == 'own'")],
        "unsure": [ApprovalRule(when="arguments.lost")],
        "other": [ApprovalRule(when="arguments.n > 9")],
    }
    call = JudgeCall(task=TASK, agent="own", skill="pay", arguments=Value(inline={"n": 5}), rules=[], above=above)
    found = await auditor.judge(call)
    assert (found.rule, found.above) == (None, {"careful": 1, "unsure": 0})
    assert found.why == "" and "nobody can tell" in found.doubts["unsure"]
    assert (await auditor.judge(call.model_copy(update={"rules": [lets_pass], "above": {}}))).above == {}


# the audit record


def entry(key: str) -> NewEntry:
    return NewEntry(key=key, action="question.answered", subject="t", details={"n": 5.0, "what": "ä"})


async def test_chain_holds_under_many_writers_and_repeated_ones(database: Database) -> None:
    audit = Audit(database)
    await asyncio.gather(*(audit.add("acme", [entry(f"{n % 20}"), entry(f"{n}+")]) for n in range(40)))
    assert await audit.add("acme", [entry("3")]) == 0
    await audit.add("other", [entry("3")])
    assert await audit.verify("acme") == (60, None)
    assert await audit.verify("other") == (1, None)
    newest = await audit.page("acme", after=3, limit=2)
    assert [row.number for row in newest] == [2, 1]


@pytest.mark.parametrize("change", [{"actor": "b" * 64}, {"details": {"n": 6}}, {"number": 9}, {"before": "1" * 64}])
async def test_row_that_was_changed_is_found(database: Database, change: dict[str, Any]) -> None:
    audit = Audit(database)
    await audit.add("acme", [entry(str(n)) for n in range(3)])
    await database.run(update(AuditRow).where(AuditRow.number == 2).values(change))
    _, broken = await audit.verify("acme")
    assert broken is not None
    assert broken.number in (2, 3)


def test_free_text_stands_in_the_record_as_its_hash() -> None:
    by, at = "c" * 64, datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    free = question("answered", answer="my password", answered_by=by, answered_at=at)
    details = {"skill": "pay", "effect": "once", "why": "w", "arguments": {"card": "4111"}}
    approved = question("answered", kind="approval", answer="approve", details=details, answered_at=at)
    told_of = entries(TASK, [free, approved])
    assert "password" not in str(told_of)
    assert "4111" not in str(told_of)
    assert (told_of[0].actor, told_of[0].action, told_of[0].at.timestamp()) == (by, "question.answered", at)
    assert told_of[1].details is not None
    assert (told_of[1].details["skill"], told_of[1].details["answer"]) == ("pay", "approve")
