"""What a request starts, by its type: checked against a catalogue, before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue, load
from holdfast.contracts.agent import AgentLimits, AgentSpec, Retry
from holdfast.contracts.base import Value
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import PROGRAM_WORKFLOW, Limits, ProgramSpec
from holdfast.contracts.task import TaskRequest
from holdfast.contracts.work import TASK_WORKFLOW, TaskSpec
from holdfast.errors import Conflict, InvalidRequest, SkillInputError, UnknownAgent, UnknownSkill, UnknownTaskType
from holdfast.ids import call_hash, call_id
from holdfast.starts import AVAILABLE, Start, Wanted, start

ROOT = Path(__file__).parents[2]
TASK = TaskRef(task_id="task-1", trace_id="ab" * 16)
MODEL = ModelSettings(provider="anthropic", model="m")
AGENTS = {
    "assistant": AgentSpec(name="assistant", system_prompt="Be careful.", models=[MODEL]),
    "clerk": AgentSpec(
        name="Clerk",
        skills=["echo", "noop"],
        limits=AgentLimits(max_repairs=1, timeout_seconds=90),
        retry=Retry(max_retries=7),
        planning="fused",
        phrase=True,
        output_schema={"type": "object"},
    ),
    "talker": AgentSpec(name="talker", strategy="ptc", skills=[]),
    "off": AgentSpec(name="off", enabled=False),
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    loaded = load(ROOT / "tests" / "support" / "project", ROOT / "skills" / "builtin")
    return Catalogue(loaded.catalogue.skills, agents=AGENTS)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.fixture
def begins(catalogue: Catalogue, blobs: BlobStore) -> Any:
    def of(kind: str, given: Any = None, **fields: Any) -> Start:
        request = TaskRequest.model_validate({"type": kind, "input": given, **fields})
        return start(Wanted(request, given, TASK, catalogue, "c" * 64, blobs, "assistant", 1 << 20))

    return of


def task_spec(found: Start) -> TaskSpec:
    assert found.workflow == TASK_WORKFLOW
    assert isinstance(found.spec, TaskSpec)
    return found.spec


def program_spec(found: Start) -> ProgramSpec:
    assert found.workflow == PROGRAM_WORKFLOW
    assert isinstance(found.spec, ProgramSpec)
    return found.spec


# agents


def test_agent_without_a_name_is_the_default_one(begins: Any, blobs: BlobStore) -> None:
    found = begins("agent", "Count.")
    spec = task_spec(found)
    assert (found.type, found.name, found.summary) == ("agent:assistant", "assistant", "agent assistant: Count.")
    assert spec.brief.models == [MODEL]
    assert spec.brief.system is not None and blobs.get(spec.brief.system) == b"Be careful."
    assert {"echo", "ask", "code-analysis"} <= set(spec.brief.skills) == {facts.name for facts in spec.skills}
    assert (spec.strategy, spec.planning, spec.phrase, spec.limits) == ("ptc", "split", False, Limits())
    assert spec.say[0].model_dump() == {"type": "text", "text": "Count."}
    assert spec.inputs.inline == "Count."


def test_agents_own_words_bounds_and_skills_hold(begins: Any) -> None:
    found = begins("agent:clerk", {"text": "Count.", "n": [1]})
    spec = task_spec(found)
    assert found.type == "agent:Clerk"
    assert (spec.planning, spec.phrase, spec.output_schema) == ("fused", True, {"type": "object"})
    assert (spec.limits.max_repairs, spec.limits.task_seconds, spec.brief.max_retries) == (1, 90, 7)
    assert (spec.brief.skills, spec.brief.system, spec.brief.models) == (["echo", "noop"], None, [])
    assert spec.inputs.inline == {"text": "Count.", "n": [1]}


def test_request_goes_before_the_agent(begins: Any, blobs: BlobStore) -> None:
    asked = {"limits": {"max_repairs": 3}, "skills": ["echo"], "system_prompt": "", "model": "ollama:llama3:8b"}
    spec = task_spec(begins("agent:clerk", "Count.", planning="split", phrase=False, **asked))
    assert (spec.planning, spec.phrase, spec.brief.skills) == ("split", False, ["echo"])
    assert (spec.limits.max_repairs, spec.limits.task_seconds) == (3, 90)
    assert spec.brief.models == [ModelSettings(provider="ollama", model="llama3:8b")]
    other = task_spec(begins("agent", "Count.", system_prompt="Größe"))
    assert other.brief.system is not None and blobs.get(other.brief.system).decode() == "Größe"
    assert task_spec(begins("agent", "Count.", system_prompt="")).brief.system is None


@pytest.mark.parametrize(
    ("name", "fields"), [("clerk", {"skills": []}), ("talker", {}), ("talker", {"strategy": "ptc"})]
)
def test_without_skills_an_agent_answers_itself(begins: Any, name: str, fields: dict[str, Any]) -> None:
    spec = task_spec(begins(f"agent:{name}", "Hello.", **fields))
    assert (spec.strategy, spec.skills) == ("direct", [])


@pytest.mark.parametrize(
    ("fields", "has_it"),
    [
        ({}, False),
        ({"session_id": "s"}, True),
        ({"strategy": "loop"}, True),
        ({"strategy": "direct", "session_id": "s"}, False),
        ({"skills": [], "session_id": "s"}, False),
    ],
)
def test_what_may_be_cut_can_be_recalled(begins: Any, fields: dict[str, Any], has_it: bool) -> None:
    spec = task_spec(begins("agent:clerk", "Count.", **fields))
    assert ("recall" in spec.brief.skills) is has_it
    assert [facts.name for facts in spec.skills] == spec.brief.skills


def test_an_agent_with_every_skill_has_no_engine_skill_by_that(begins: Any) -> None:
    spec = task_spec(begins("agent", "Do it."))
    assert "calculator" in spec.brief.skills
    assert not [facts.name for facts in spec.skills if facts.kind == "engine"]


def test_large_input_of_an_agent_travels_by_reference(begins: Any, blobs: BlobStore) -> None:
    given = {"text": "Sum up", "rows": ["ä" * 2000]}
    spec = task_spec(begins("agent", given))
    assert spec.inputs.ref is not None and blobs.get_json(spec.inputs.ref) == given
    assert program_spec(begins("program", given, program="result = 1")).inputs_ref == spec.inputs.ref


def test_every_default_is_written_out(begins: Any) -> None:
    spec = task_spec(begins("agent", "Count."))
    assert spec.model_fields_set == set(TaskSpec.model_fields)
    assert spec.limits.model_fields_set == set(Limits.model_fields)


def test_skill_that_the_agent_may_not_use_is_refused(begins: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"agent 'Clerk' may not use 'ask'; it may use: 'echo', 'noop'"):
        begins("agent:clerk", "Count.", skills=["ask", "echo"])
    with pytest.raises(InvalidRequest, match=r"skills: no skill named 'ecko'; did you mean 'echo'\?"):
        begins("agent:clerk", "Count.", skills=["ecko"])


def test_unknown_and_switched_off_agents_are_refused(begins: Any) -> None:
    with pytest.raises(UnknownAgent, match=r"no agent named 'clark'; did you mean 'clerk'\?") as caught:
        begins("agent:clark", "Count.")
    assert caught.value.details == {"available": ["Clerk", "assistant", "off", "talker"]}
    with pytest.raises(Conflict, match=r"agent 'off' is switched off by `enabled: false`"):
        begins("agent:off", "Count.")


# skills


@pytest.mark.parametrize("kind", ["skill:code-analysis", "tool:Code_Analysis"])
def test_skill_is_one_call_with_the_id_that_a_program_gives_it(begins: Any, kind: str) -> None:
    arguments = {"code": "x = 1", "language": "python"}
    found = begins(kind, arguments)
    spec = program_spec(found)
    assert (found.type, found.name, found.source) == (f"{kind.partition(':')[0]}:code-analysis", "code-analysis", None)
    assert spec.call is not None
    assert spec.call.id == call_id(call_hash("program", "code-analysis", arguments), 1)
    assert spec.call.arguments == Value(inline=arguments)
    assert [facts.name for facts in spec.skills] == ["code-analysis"]
    assert (spec.type, spec.source) == (found.type, "")


def test_large_arguments_travel_by_reference(begins: Any, blobs: BlobStore) -> None:
    arguments = {"code": "x = 1\n" * 1000, "language": "python"}
    call = program_spec(begins("skill:code-analysis", arguments)).call
    assert call is not None and call.arguments.ref is not None
    assert blobs.get_json(call.arguments.ref) == arguments


def test_native_skill_gets_its_defaults_and_stays_inline(begins: Any) -> None:
    call = program_spec(begins("skill:ask", {"text": "Which? " * 400})).call
    assert call is not None and call.arguments.ref is None
    assert set(call.arguments.inline) > {"text"}
    assert call.id == call_id(call_hash("program", "ask", {"text": "Which? " * 400}), 1)
    with pytest.raises(SkillInputError, match=r"arguments of 'ask' have \d+ bytes; the limit is 16384"):
        begins("skill:ask", {"text": "Which?", "default": "x" * 20_000})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "'i'"),
        ({"i": "three"}, "'three'"),
        ({"i": 1, "j": 2}, "'j'"),
        ([1], r"found|cannot take \[1\]"),
        ("1", "`input` is a mapping of its arguments: 'i'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(begins: Any, given: Any, says: str) -> None:
    with pytest.raises(SkillInputError, match=says):
        begins("skill:echo", given)


def test_unknown_skill_says_what_is_close(begins: Any) -> None:
    with pytest.raises(UnknownSkill, match=r"no skill named 'ecko'; did you mean 'echo'\?"):
        begins("tool:ecko", {})


# types and their fields


@pytest.mark.parametrize("kind", ["agents", "flow:x", "skill", "tool:", "agent:", "program:x", ":x", " agent", "Agent"])
def test_type_that_is_not_known_lists_those_that_are(begins: Any, kind: str) -> None:
    with pytest.raises(
        UnknownTaskType, match=r"available: agent:<name>, workflow:<name>, skill:<name>, tool:<name>, program"
    ) as caught:
        begins(kind, "x")
    assert caught.value.details == {"available": list(AVAILABLE)}


@pytest.mark.parametrize(
    ("kind", "field", "value", "only"),
    [
        ("agent", "program", "x = 1", "program"),
        ("agent", "on_error", "ask", "program"),
        ("skill:echo", "skills", ["echo"], "agent and program"),
        ("skill:echo", "system_prompt", "Hm.", "agent"),
        ("program", "strategy", "ptc", "agent"),
        ("program", "planning", "fused", "agent"),
        ("program", "phrase", True, "agent"),
    ],
)
def test_field_of_another_type_is_refused_not_ignored(
    begins: Any, kind: str, field: str, value: Any, only: str
) -> None:
    fields = {"program": "result = 1"} if kind == "program" else {}
    with pytest.raises(InvalidRequest, match=f"{field}: a task of type '{kind}' takes none; for {only} only"):
        begins(kind, {"i": 1}, **{**fields, field: value})
