"""Flows as files: what each key gives, and what is said of a file that cannot be used."""

import contextlib
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from holdfast import cel, flowkeys
from holdfast.blobs import BlobStore
from holdfast.catalogue import BUILTIN, BUILTIN_FLOWS, Catalogue, Library, Loaded, load
from holdfast.contracts.flow import AskSpec, FlowSpec, StepRetry, StepSpec
from holdfast.contracts.timing import Scheduled
from holdfast.errors import SpecInvalid, UnknownFlow
from holdfast.flowfiles import FlowFile, parse_flow
from holdfast.flowgraph import cycle_in
from holdfast.sources import Sources
from tests.support.skill_folders import write_files

README = """\
# app/workflows/content_review.yaml
name: content_review
description: Generate and review content
coordination_type: iterative_refinement
max_iterations: 3

steps:
  - agent_type: research
    name: create_draft
  - agent_type: assessment
    name: review_quality
"""
"""The flow of the older platform's README, to the letter; it has no convergence_check."""

GUIDE = (Path(__file__).parents[2] / "docs" / "flows.md").read_text("utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "ein Projekt"


def parsed(project: Path, text: str | bytes, where: str = "flows/f.yaml") -> FlowSpec:
    write_files(project, {where: text})
    found = parse_flow(FlowFile(project / where, where, project), Sources())
    assert found.warnings == []
    return found.spec


def loaded(project: Path) -> Loaded:
    return load(project, BUILTIN, builtin_flows=project / "none")


# -- the older platform's own words


@pytest.mark.parametrize("folder", ["flows", "workflows", "app/workflows"])
def test_the_readme_flow_loads_to_the_letter(folder: str, project: Path) -> None:
    write_files(project, {f"{folder}/content_review.yaml": README, f"{folder}/engine.py": "class Engine: ..."})
    found = loaded(project)
    assert (found.problems, found.warnings) == ([], [])
    flow = found.catalogue.find_flow("content_review")
    assert (flow.coordination, flow.max_iterations) == ("iterative_refinement", 3)
    assert flow.convergence_check == "assessment_approved"
    assert flow.steps == [
        StepSpec(name="create_draft", kind="agent", who="research"),
        StepSpec(name="review_quality", kind="agent", who="assessment"),
    ]
    assert [found.catalogue.find_agent(step.who).name for step in flow.steps] == ["researcher", "assessor"]


def test_every_sample_of_the_guide_loads_to_the_letter(project: Path) -> None:
    blocks = re.findall(r"^```yaml\n(# (\S+\.ya?ml)\n.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    files: dict[str, str | bytes] = {path: text for text, path in blocks}
    assert list(files) == ["flows/launch.yaml", "flows/polish.yaml", "app/workflows/content_review.yaml"]
    assert files["app/workflows/content_review.yaml"] == README
    write_files(project, files)
    found = loaded(project)
    assert (found.problems, found.warnings) == ([], [])
    assert list(found.catalogue.flows) == ["content-review", "launch", "polish"]


# -- good files and bad ones

STEP = "steps: [{agent: a}]"


@dataclass(frozen=True)
class Good:
    """`steps` are the steps it gives, by name; `gives` are fields of the flow."""

    id: str
    text: str
    gives: dict[str, Any] = field(default_factory=dict)
    steps: list[StepSpec] | None = None


GOOD = [
    Good("least", f"name: f\n{STEP}", {"coordination": "sequential"}, [StepSpec(name="a", kind="agent", who="a")]),
    Good(
        "nothing-is-not-set", f"name: f\nconvergence_check: null\nmax_iterations: null\n{STEP}", {"max_iterations": 3}
    ),
    Good(
        "coordination",
        f"name: f\ncoordination: parallel\nmax_parallel: 3\n{STEP}",
        {"coordination": "parallel", "max_parallel": 3},
    ),
    Good("off", f"name: f\nenabled: no\n{STEP}", {"enabled": False}),
    Good(
        "events",
        f"name: f\ncoordination_type: reactive\ntriggers: {{events: [a.b]}}\n{STEP}",
        {"events": ["a.b"], "extra": {}},
    ),
    Good(
        "schedule",
        f"name: f\ntriggers: {{schedule: {{cron: '* * * * *'}}}}\n{STEP}",
        {"schedule": Scheduled(cron="* * * * *", file="flows/f.yaml"), "extra": {}},
    ),
    Good("schema", f"name: f\ninput_schema: {{type: object}}\n{STEP}", {"input_schema": {"type": "object"}}),
    Good("time", f"name: f\ntimeout_seconds: 9\n{STEP}", {"timeout_seconds": 9}),
    Good(
        "each-kind-of-step",
        'name: f\nsteps:\n- agent_type: A_b\n- tool: Web_Search\n- workflow: other\n- program: "result = 1"\n- ask: Go on?',
        {},
        [
            StepSpec(name="a-b", kind="agent", who="a-b"),
            StepSpec(name="web-search", kind="skill", who="web-search"),
            StepSpec(name="other", kind="flow", who="other"),
            StepSpec(name="program", kind="program", program="result = 1"),
            StepSpec(name="ask", kind="ask", ask=AskSpec(text="Go on?")),
        ],
    ),
    Good(
        "names-that-were-left-out",
        "name: f\nsteps: [{agent: a}, {agent: a}, {agent: b, name: a-2}, {agent: a}]",
        {},
        [
            StepSpec(name=name, kind="agent", who=name[0] if name != "a-2" else "b")
            for name in ("a", "a-3", "a-2", "a-4")
        ],
    ),
    Good(
        "names-in-other-letters",
        "name: f\nsteps: [{agent: Prüfer}]",
        {},
        [StepSpec(name="agent", kind="agent", who="prüfer")],
    ),
    Good(
        "whole-step",
        "name: f\nsteps:\n- {name: s, agent: a}\n- name: t\n  agent: b\n  input: {x: ['${input.x}', '$${y}']}\n  depends_on: [s, s]\n"
        "  condition: input.x == 1\n  retry: {max_retries: 2}\n  timeout_seconds: 3\n  on_failure: 'compensate: u'\n- {name: u, skill: s}",
        {},
        [
            StepSpec(name="s", kind="agent", who="a"),
            StepSpec(
                name="t",
                kind="agent",
                who="b",
                input={"x": ["${input.x}", "$${y}"]},
                depends_on=["s"],
                condition="input.x == 1",
                retry=StepRetry(max_retries=2),
                timeout_seconds=3,
                on_failure="compensate:u",
            ),
            StepSpec(name="u", kind="skill", who="s"),
        ],
    ),
    Good(
        "question",
        "name: f\nsteps: [{ask: {question: '${input}?', options: [a, b], default: a, deadline_seconds: 5, on_timeout: default}}]",
        {},
        [
            StepSpec(
                name="ask",
                kind="ask",
                ask=AskSpec(
                    text="${input}?", options=["a", "b"], default="a", deadline_seconds=5, on_timeout="default"
                ),
            )
        ],
    ),
    Good(
        "program-file",
        "name: f\nsteps: [{name: p, program_file: ../p.py}]",
        {},
        [StepSpec(name="p", kind="program", program="result = skills.later()\n")],
    ),
    Good(
        "dag",
        "name: f\ncoordination_type: dag\nsteps: [{name: z, agent: a, depends_on: [x, y], input: '${steps.x.output} ${steps.w.output}'}, {name: x, agent: a, depends_on: [w]}, {name: y, agent: a}, {name: w, agent: a}]",
    ),
    Good(
        "a-compensation-reads-all",
        "name: f\non_failure: compensate:u\nsteps: [{name: u, agent: a, input: '${steps.s.output}'}, {name: s, agent: a}]",
        {"on_failure": "compensate:u"},
    ),
]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.id)
def test_a_good_file_gives_what_it_says(case: Good, project: Path) -> None:
    write_files(project, {"p.py": "result = skills.later()\n"})
    spec = parsed(project, case.text)
    assert {name: getattr(spec, name) for name in case.gives} == case.gives
    assert case.steps is None or spec.steps == case.steps


_DAMAGE = [
    b":",
    b"\n",
    b"- ",
    b"{",
    b"]",
    b"'",
    b"\t",
    b"&a ",
    b"*a",
    b"<<: ",
    b"\xff",
    b"\0",
    b"null",
    b"9" * 400,
    "ü".encode(),
    b" ",
]


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_file_loads_or_is_refused_but_nothing_else(seed: int, project: Path) -> None:
    chance = random.Random(seed)
    write_files(project, {"p.py": "result = 1"})
    for _ in range(100):
        data = bytearray(chance.choice([README, *(case.text for case in GOOD)]).encode())
        for _ in range(chance.randint(1, 3)):
            place = chance.randint(0, len(data))
            data[place : place + chance.choice([0, 1, 5])] = chance.choice(_DAMAGE)
        write_files(project, {"flows/f.yaml": bytes(data)})
        with contextlib.suppress(SpecInvalid):
            parse_flow(FlowFile(project / "flows/f.yaml", "f", project), Sources())


@dataclass(frozen=True)
class Bad:
    """`line` and `key` are where the error must point; `names` what its text must contain."""

    id: str
    text: str
    key: str
    line: int | None
    names: tuple[str, ...] = ()


BAD = [
    Bad("no-name", STEP, "name", None, ("missing",)),
    Bad("no-steps", "name: f", "steps", None, ("missing",)),
    Bad("empty", "name: f\nsteps: []", "steps", 2, ("at least 1",)),
    Bad(
        "unknown-key",
        f"name: f\nmax_iteration: 2\n{STEP}",
        "max_iteration",
        2,
        ("did you mean 'max_iterations'?", "'coordination'"),
    ),
    Bad(
        "unknown-key-of-a-step",
        "name: f\nsteps:\n- agent: a\n  dependson: [b]",
        "steps[0].dependson",
        4,
        ("did you mean 'depends_on'?", "'agent_type'"),
    ),
    Bad(
        "unknown-key-of-a-retry",
        "name: f\nsteps:\n- agent: a\n  retry: {retries: 1}",
        "steps[0].retry.retries",
        4,
        ("'max_retries'",),
    ),
    Bad(
        "coordination",
        f"name: f\ncoordination_type: swarm\n{STEP}",
        "coordination_type",
        2,
        ("'swarm'", "'iterative_refinement'"),
    ),
    Bad("coordination-by-its-other-name", f"name: f\ncoordination: swarm\n{STEP}", "coordination", 2, ("'swarm'",)),
    Bad("rounds", f"name: f\nmax_iterations: 0\n{STEP}", "max_iterations", 2, ("found 0",)),
    Bad("step-is-text", "name: f\nsteps: [a]", "steps[0]", 2, ("'a'", "a mapping")),
    Bad("step-of-nothing", "name: f\nsteps:\n- name: x", "steps[0]", 3, ("none of them", "'agent', 'skill'", "'name'")),
    Bad("step-of-two", "name: f\nsteps:\n- agent: a\n  tool: b", "steps[0]", 3, ("'agent', 'skill'", "exactly one")),
    Bad(
        "two-names-of-agent",
        "name: f\nsteps:\n- agent: a\n  agent_type: b",
        "steps[0].agent_type",
        4,
        ("beside 'steps[0].agent'",),
    ),
    Bad("agent-of-nothing", "name: f\nsteps: [{agent_type: '-'}]", "steps[0].agent_type", 2, ("'-'", "letters")),
    Bad("odd-step-name", "name: f\nsteps: [{name: a b, agent: a}]", "steps[0].name", 2, ("'a b'", "letters, digits")),
    Bad(
        "two-steps-of-one-name",
        "name: f\nsteps:\n- {name: x, agent: a}\n- {name: x, agent: b}",
        "steps[1].name",
        4,
        ("'x'", "steps[0]"),
    ),
    Bad(
        "unknown-step",
        "name: f\nsteps:\n- {name: draft, agent: a}\n- {agent: b, depends_on: [draf]}",
        "steps[1].depends_on[0]",
        4,
        ("'draf'", "did you mean 'draft'?"),
    ),
    Bad(
        "later-step",
        "name: f\nsteps: [{name: x, agent: a, depends_on: [y]}, {name: y, agent: a}]",
        "steps[0].depends_on[0]",
        2,
        ("'y'", "dag"),
    ),
    Bad(
        "waits-in-parallel",
        "name: f\ncoordination_type: parallel\nsteps: [{name: x, agent: a}, {agent: b, depends_on: [x]}]",
        "steps[1].depends_on",
        3,
        ("dag",),
    ),
    Bad(
        "itself",
        "name: f\ncoordination_type: dag\nsteps: [{name: x, agent: a, depends_on: [x]}]",
        "steps[0].depends_on",
        3,
        ("x -> x",),
    ),
    Bad(
        "cycle",
        "name: f\ncoordination_type: dag\nsteps:\n- {name: w, agent: a, depends_on: [x]}\n- {name: x, agent: a, depends_on: [z]}\n- {name: y, agent: a, depends_on: [x]}\n- {name: z, agent: a, depends_on: [y]}",
        "steps[1].depends_on",
        5,
        ("x -> z -> y -> x",),
    ),
    Bad(
        "compensates-nobody",
        "name: f\nsteps: [{name: x, agent: a, on_failure: 'compensate:undo'}]",
        "steps[0].on_failure",
        2,
        ("'undo'", "'x'"),
    ),
    Bad(
        "compensates-itself",
        "name: f\nsteps: [{name: x, agent: a, on_failure: 'compensate:x'}]",
        "steps[0].on_failure",
        2,
        ("itself",),
    ),
    Bad(
        "compensated-and-waited-for",
        "name: f\non_failure: compensate:u\nsteps: [{name: u, agent: a}, {name: x, agent: a, depends_on: [u]}]",
        "on_failure",
        2,
        ("'x' depends on",),
    ),
    Bad(
        "nothing-but-compensations",
        "name: f\nsteps: [{name: x, agent: a, on_failure: 'compensate:y'}, {name: y, agent: a, on_failure: 'compensate:x'}]",
        "steps",
        2,
        ("at least one",),
    ),
    Bad(
        "policy",
        "name: f\nsteps: [{agent: a, on_failure: ignore}]",
        "steps[0].on_failure",
        2,
        ("'ignore'", "'continue'"),
    ),
    Bad(
        "policy-of-an-odd-step",
        f"name: f\non_failure: 'compensate:a ü'\n{STEP}",
        "on_failure",
        2,
        ("'compensate:<step>'",),
    ),
    Bad("policy-of-nobody", f"name: f\non_failure: 'compensate:'\n{STEP}", "on_failure", 2, ("'compensate:<step>'",)),
    Bad(
        "condition",
        "name: f\nsteps:\n- agent: a\n  condition: input.x =",
        "steps[0].condition",
        4,
        ("no CEL expression", "'input.x ='"),
    ),
    Bad(
        "name-in-a-condition",
        "name: f\nsteps: [{agent: a, condition: inputs.x == 1}]",
        "steps[0].condition",
        2,
        ("'inputs'", "did you mean 'input'?", "'steps'"),
    ),
    Bad("convergence", f"name: f\nconvergence: 'output.'\n{STEP}", "convergence", 2, ("no CEL expression",)),
    Bad(
        "check",
        f"name: f\nconvergence_check: assesment_approved\n{STEP}",
        "convergence_check",
        2,
        ("did you mean 'assessment_approved'?", "'quality_threshold'", "'convergence'"),
    ),
    Bad(
        "two-checks",
        f"name: f\nconvergence_check: assessment_approved\nconvergence: 'true'\n{STEP}",
        "convergence",
        3,
        ("beside 'convergence_check'",),
    ),
    Bad(
        "threshold-of-another-check",
        f"name: f\nquality_threshold: 0.9\n{STEP}",
        "quality_threshold",
        2,
        ("quality_threshold only",),
    ),
    Bad(
        "operator",
        f"name: f\nconvergence_check: {{field: a, op: '~', value: 1}}\n{STEP}",
        "convergence_check.op",
        2,
        ("'~'", "'>='"),
    ),
    Bad("field", f"name: f\nconvergence_check: {{field: 'a b', value: 1}}\n{STEP}", "convergence_check", 2, ("'a b'",)),
    Bad(
        "value",
        f"name: f\nconvergence_check: {{field: a, value: [1]}}\n{STEP}",
        "convergence_check",
        2,
        ("[1]", "numbers"),
    ),
    Bad("no-value", f"name: f\nconvergence_check: {{field: a}}\n{STEP}", "convergence_check.value", 2, ("missing",)),
    Bad(
        "hole",
        "name: f\nsteps:\n- agent: a\n  input: {t: '${inputs.topic}'}",
        "steps[0].input",
        4,
        ("'${inputs.topic}'", "did you mean 'input'?", "'$${'"),
    ),
    Bad("empty-hole", "name: f\nsteps: [{agent: a, input: '${}'}]", "steps[0].input", 2, ("'${}'",)),
    Bad(
        "hole-of-a-later-step",
        "name: f\nsteps: [{name: x, agent: a, input: '${steps.y.output}'}, {name: y, agent: a}]",
        "steps[0].input",
        2,
        ("'y'", "depends_on"),
    ),
    Bad(
        "hole-beside",
        "name: f\ncoordination_type: dag\nsteps: [{name: x, agent: a}, {name: y, ask: '${steps.x.output}?'}]",
        "steps[1].ask",
        3,
        ("'x'", "depends_on"),
    ),
    Bad(
        "program",
        "name: f\nsteps:\n- name: p\n  program: |\n    result = (",
        "steps[0].program",
        4,
        ("line 1", "never closed"),
    ),
    Bad(
        "program-file",
        "name: f\nsteps: [{name: p, program_file: gone.py}]",
        "steps[0].program_file",
        2,
        ("gone.py", "cannot be read"),
    ),
    Bad(
        "program-outside",
        "name: f\nsteps: [{name: p, program_file: ../../out.py}]",
        "steps[0].program_file",
        2,
        ("leads out",),
    ),
    Bad("question-of-nothing", "name: f\nsteps: [{ask: {options: [a]}}]", "steps[0].ask.text", 2, ("missing",)),
    Bad("schema", f"name: f\ninput_schema: {{type: objekt}}\n{STEP}", "input_schema", 2, ("not a JSON Schema",)),
    Bad("events", f"name: f\ntriggers: {{event: a}}\n{STEP}", "triggers.event", 2, ("did you mean 'events'?",)),
    Bad("too-many", "name: f\nsteps:\n" + "- agent: a\n" * 201, "steps", 2, ("at most 200",)),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.id)
def test_a_bad_file_is_refused_with_file_line_key_and_what_is_allowed(case: Bad, project: Path) -> None:
    write_files(project, {"../out.py": "x = 1"})
    with pytest.raises(SpecInvalid) as refusal:
        parsed(project, case.text)
    said = str(refusal.value)
    place = f"flows/f.yaml:{case.line}" if case.line else "flows/f.yaml"
    assert said.startswith(f"{place}: key {case.key!r}"), said
    assert (refusal.value.file, refusal.value.line, refusal.value.key) == ("flows/f.yaml", case.line, case.key)
    assert [name for name in case.names if name not in said] == [], said


# -- convergence


@pytest.mark.parametrize(
    ("check", "yes", "no"),
    [
        (
            "",
            [{"approved": True}],
            [{"approved": False}, {"approved": "true"}, {}, {"x": {"approved": True}}, "approved", None, [1]],
        ),
        ("convergence_check: assessment_approved", [{"approved": True, "x": 1}], [{}, None]),
        (
            "convergence_check: quality_threshold",
            [{"quality_score": 0.8}, {"quality_score": 1}],
            [{"quality_score": 0.79}, {"quality_score": "1"}, {}, "x"],
        ),
        (
            "convergence_check: quality_threshold\nquality_threshold: 7",
            [{"quality_score": 7.0}],
            [{"quality_score": 6.9}],
        ),
        (
            "convergence_check: {field: a.in, op: '>', value: 1}",
            [{"a": {"in": 2}}, {"a": {"in": 1.1}}],
            [{"a": {"in": 1}}, {"a": 2}, {"a": {}}, {}, {"a": {"in": True}}],
        ),
        ("convergence_check: {field: state, value: done}", [{"state": "done"}], [{"state": "Done"}, {"state": 1}, {}]),
        (
            "convergence_check: {field: state, op: '!=', value: 'a\"b'}",
            [{"state": "c"}],
            [{"state": 'a"b'}, {"state": 1}, {}],
        ),
        ("convergence: has(output.n) && output.n > 2", [{"n": 3}], [{"n": 2}, {}]),
    ],
)
def test_a_refinement_has_converged_when_its_file_says_so_and_never_for_want_of_a_key(
    check: str, yes: list[Any], no: list[Any], project: Path
) -> None:
    flow = parsed(project, f"name: f\ncoordination_type: iterative_refinement\n{check}\n{STEP}")
    assert [cel.is_true(flow.convergence, {"output": output}) for output in yes] == [True] * len(yes)
    assert [cel.is_true(flow.convergence, {"output": output}) for output in no] == [False] * len(no)


# -- the catalogue of them


def test_a_bad_flow_is_named_and_the_rest_loads(project: Path) -> None:
    write_files(
        project, {"flows/a.yaml": "name: a\nsteps: [{agent: assistant}]", "workflows/b.yml": "name: b\nsteps: []"}
    )
    found = loaded(project)
    assert list(found.catalogue.flows) == ["a"]
    [problem] = found.problems
    assert (problem.level, problem.file, problem.line, problem.key) == ("error", "workflows/b.yml", 2, "steps")


def test_two_flows_of_one_name_are_one_flow_and_one_problem_that_names_both(project: Path) -> None:
    write_files(project, {"flows/a.yaml": f"name: my-flow\n{STEP}", "workflows/b.yaml": f"name: My_Flow\n{STEP}"})
    found = loaded(project)
    assert found.catalogue.find_flow("my_flow").name == "my-flow"
    [problem] = found.problems
    assert (problem.file, problem.line, "flows/a.yaml" in problem.message) == ("workflows/b.yaml", 1, True)


def test_a_name_that_is_not_there_is_a_warning_with_its_line(project: Path) -> None:
    text = "name: f\nsteps:\n- agent: asistant\n- skill: web_serch\n- workflow: other\n- agent_type: research"
    write_files(project, {"flows/f.yaml": text})
    found = loaded(project)
    assert (found.problems, list(found.catalogue.flows)) == ([], ["f"])
    assert [(one.file, one.line, one.key) for one in found.warnings] == [
        ("flows/f.yaml", 3, "steps[0].agent"),
        ("flows/f.yaml", 4, "steps[1].skill"),
        ("flows/f.yaml", 5, "steps[2].workflow"),
    ]
    assert "did you mean 'assistant'?" in found.warnings[0].message
    assert "did you mean 'web-search'?" in found.warnings[1].message


def test_flows_that_start_one_another_without_end_are_refused_and_named(project: Path) -> None:
    files: dict[str, str | bytes] = {
        "flows/a.yaml": "name: a\nsteps: [{agent: assistant}, {flow: b}]",
        "flows/b.yaml": "name: b\nsteps: [{flow: a}]",
        "flows/may_end.yaml": "name: may_end\nsteps: [{flow: may_end, condition: input.n > 0}]",
        "flows/undoes.yaml": "name: undoes\nsteps: [{agent: assistant, on_failure: 'compensate:u'}, {name: u, flow: undoes}]",
    }
    write_files(project, files)
    found = loaded(project)
    assert list(found.catalogue.flows) == ["may-end", "undoes"]
    assert [problem.file for problem in found.problems] == ["flows/a.yaml", "flows/b.yaml"]
    assert all("a -> b -> a" in problem.message for problem in found.problems)


def test_an_unknown_flow_is_answered_with_what_is_close_and_what_there_is(project: Path) -> None:
    write_files(
        project, {"flows/a.yaml": f"name: review_all\n{STEP}", "flows/b.yaml": f"name: b\nenabled: false\n{STEP}"}
    )
    with pytest.raises(
        UnknownFlow, match=r"'review_al'; did you mean 'review-all'\? known: 'b', 'review_all'"
    ) as refusal:
        loaded(project).catalogue.find_flow("review_al")
    assert refusal.value.details == {"available": ["b", "review_all"]}


def test_a_project_takes_the_place_of_a_built_in_flow_and_a_broken_one_does_not_bring_it_back(project: Path) -> None:
    write_files(project, {"app/workflows/content_review.yaml": README.replace("iterations: 3", "iterations: 9")})
    assert load(project, BUILTIN).catalogue.find_flow("content-review").max_iterations == 9
    write_files(project, {"app/workflows/content_review.yaml": "name: content_review"})
    found = load(project, BUILTIN)
    assert "content-review" not in found.catalogue.flows and len(found.problems) == 1


def test_a_saved_snapshot_opens_with_its_flows_and_an_old_one_with_none(project: Path, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    write_files(project, {"flows/a.yaml": README, "flows/b.yaml": f"name: B_b\n{STEP}"})
    before = loaded(project).catalogue
    sha = before.save(blobs)
    assert Catalogue.open(blobs, sha) == before
    assert Catalogue.open(blobs, sha).save(blobs) == sha
    assert Catalogue.open(blobs, blobs.put_json({"format": 1, "skills": []})).flows == {}


def test_a_live_edit_is_seen_at_the_next_look_and_leaves_the_pinned_flow(project: Path, tmp_path: Path) -> None:
    blobs, nothing = BlobStore(tmp_path / "blobs"), project / "none"
    write_files(project, {"flows/a.yaml": "name: a\nsteps: [{name: p, program_file: ../p.py}]", "p.py": "result = 1"})
    library = Library(project, nothing, blobs, builtin_agents=nothing, builtin_flows=nothing)
    first, sha, problems = library.current()
    assert (first.find_flow("a").steps[0].program, problems) == ("result = 1", [])
    assert library.current()[0] is first
    (project / "p.py").write_text("result = 20")
    assert library.current()[0].find_flow("a").steps[0].program == "result = 20"
    assert Catalogue.open(blobs, sha).find_flow("a").steps[0].program == "result = 1"
    (project / "p.py").write_text("result = (")
    broken, _, problems = library.current()
    assert (dict(broken.flows), len(problems)) == ({}, 1)
    (project / "p.py").write_text("result = 3")
    write_files(project, {"workflows/new.yml": f"name: new\n{STEP}"})
    assert list(library.current()[0].flows) == ["a", "new"]
    (project / "flows" / "a.yaml").unlink()
    assert list(library.current()[0].flows) == ["new"]


def test_a_cycle_is_found_behind_a_long_tail_without_recursion() -> None:
    arrows = {str(n): [str(n + 1)] for n in range(5000)} | {"5000": ["4999"]}
    assert cycle_in(arrows) == ["4999", "5000", "4999"]
    assert cycle_in({str(n): [str(m) for m in range(n)] for n in range(60)}) == []


# -- the schema for editors


def test_the_schema_takes_every_good_file_and_the_built_in_ones() -> None:
    checker = jsonschema.Draft202012Validator(flowkeys.schema())
    checker.check_schema(flowkeys.schema())
    texts = [case.text for case in GOOD if case.id not in ("nothing-is-not-set", "off")]
    texts += [README, *(path.read_text() for path in BUILTIN_FLOWS.glob("*.yaml"))]
    for text in texts:
        assert list(checker.iter_errors(yaml.safe_load(text))) == [], text


def test_the_schema_refuses_a_misspelt_key_at_every_level() -> None:
    checker = jsonschema.Draft202012Validator(flowkeys.schema())
    for case in BAD:
        if "unknown-key" in case.id or case.id in ("events", "operator", "empty", "no-steps"):
            assert list(checker.iter_errors(yaml.safe_load(case.text))) != [], case.id


def test_every_key_of_the_schema_is_in_the_guide() -> None:
    found = flowkeys.schema()
    parts = [found, *(found["$defs"][name] for name in ("StepKeys", "AskKeys", "StepRetryKeys", "TriggerKeys"))]
    missing = [key for part in parts for key in part["properties"] if f"`{key}`" not in GUIDE]
    assert missing == []
