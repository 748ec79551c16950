"""Questions of programs, plans, loops and flows: their states, deadlines and forms, and who may answer how."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.temporal import binary
from tests.support.api import Api, problem
from tests.support.asking import House, wait
from tests.support.authors import PLAN, PROGRAM, fenced, says
from tests.support.skill_folders import write_files
from tests.support.stub_llm import calling
from tests.support.stub_wires import Use

pytestmark = pytest.mark.slow

ASKS = '{"ask": "Which colour?", "options": ["red", "blue"]}'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House.built(tmp_path_factory.mktemp("questions"))
    try:
        yield one.up()
    finally:
        one.close()


@pytest.fixture
def house(built: House) -> House:
    built.stub.reset()
    return built


POLICIES = """
import asyncio

async def asked(policy, **more):
    try:
        return await skills.ask(text=policy, deadline_seconds=0.4, on_timeout=policy, **more)
    except SkillError as exc:
        return exc.type

result = await asyncio.gather(
    asked('fail'), asked('default', default='blue'), asked('proceed'), asked('escalate')
)
"""


def test_every_deadline_policy_of_a_program(house: House) -> None:
    task_id = house.program(POLICIES)
    assert house.ended(task_id)["output"] == ["QuestionExpired", "blue", None, "QuestionExpired"]
    closed = house.questions(task_id)
    assert {one["state"] for one in closed} == {"expired"}
    [escalated] = [one for one in closed if one["escalated_at"]]
    assert escalated["text"] == "escalate"
    waited = [one["answered_at"] - one["asked_at"] for one in closed]
    assert max(waited) >= 0.8
    actions = sorted(row["action"] for row in house.api.get("/audit", task_id=task_id)["entries"])
    assert actions == ["question.escalated", *["question.expired"] * 4]
    [heard] = wait(lambda: [one for one in house.api.get("/tasks") if one["name"] == "boss"])
    assert house.ended(heard["id"])["state"] == "DONE"


def test_answer_has_the_shape_of_the_form(house: House) -> None:
    form = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    task_id = house.program(f"result = skills.ask(text='?', form={form!r})['n'] + 1")
    [asked] = house.open(task_id)
    assert asked["form"] == form
    wrong = problem(house.answer(task_id, asked["id"], {"n": "two"}), 422, "INVALID_REQUEST")
    assert "answer.n: found 'two' (string); allowed: integer" in wrong["message"]
    house.answer(task_id, asked["id"], {"n": 2}).raise_for_status()
    assert house.ended(task_id)["output"] == 3
    bad = house.program("skills.ask(text='?', form={'type': 'nothing'})")
    assert "not a JSON Schema" in house.ended(bad)["error"]


def test_many_are_open_and_each_is_answered_rejected_or_withdrawn(house: House) -> None:
    source = (
        "import asyncio\n"
        "found = await asyncio.gather(*[skills.ask(text=str(n)) for n in range(3)], return_exceptions=True)\n"
        "result = [getattr(one, 'type', one) for one in found]\nawait skills.ask(text='last')"
    )
    task_id = house.program(source)
    asked = {one["text"]: one["id"] for one in house.open(task_id, 3)}
    house.answer(task_id, asked["2"], "two").raise_for_status()
    place = f"/tasks/{task_id}/questions/{asked['0']}/reject"
    assert house.api.http.post(place, json={"user_id": "ann"}).json()["state"] == "rejected"
    problem(house.api.http.post(place, json={}), 409, "CONFLICT")
    problem(house.answer(task_id, asked["0"], "late"), 409, "CONFLICT")
    house.answer(task_id, asked["1"], "one").raise_for_status()
    house.open(task_id)
    house.api.http.post(f"/tasks/{task_id}/cancel").raise_for_status()
    house.ended(task_id)
    states = {one["text"]: one["state"] for one in house.questions(task_id)}
    assert states == {"0": "rejected", "1": "answered", "2": "answered", "last": "withdrawn"}


def test_older_clients_answer_clarifications(house: House) -> None:
    """R-06: the same questions in agentrunner's words."""
    task_id = house.program("result = skills.ask(text='Which?', options=['a', 'b'])")
    [asked] = house.open(task_id)
    place = f"/tasks/{task_id}/clarifications"
    [told] = house.api.get(place)
    assert (told["clarification_id"], told["status"]) == (asked["id"], "waiting_clarification")
    answered = house.api.http.post(f"{place}/{asked['id']}", json={"answer": "b"})
    assert (answered.status_code, answered.json()["status"]) == (200, "answered")
    assert house.ended(task_id)["output"] == "b"
    says(house.stub, PLAN, ASKS)
    invoked = house.api.http.post("/agents/writer/invoke?wait=2", json={"task_data": "paint"}).json()
    assert invoked["status"] == "waiting_clarification"


# agents


def test_plan_asks_by_the_rules_of_its_agent(house: House) -> None:
    """One that may not ask is told so as the answer; others go on with a default, without one, or not at all."""
    says(house.stub, PLAN, ASKS)
    house.stub.rule("cannot ask people", '{"answer": "I assumed red"}')
    house.stub.rule("Nobody answered in time", '{"answer": "I went on"}')
    house.stub.rule("blue", '{"answer": "blue it is"}')
    tasks = {name: house.ask(f"agent:{name}", "paint") for name in ("silent", "going", "hasty", "strict")}
    ended = {name: house.ended(task_id) for name, task_id in tasks.items()}
    outputs = {name: task["output"] for name, task in ended.items()}
    assert outputs == {"silent": "I assumed red", "going": "I went on", "hasty": "blue it is", "strict": None}
    assert ended["strict"]["failure"]["type"] == "QuestionExpired"
    assert house.questions(tasks["silent"]) == []


def test_loop_asks_and_goes_on(house: House) -> None:
    house.stub.rule(".", calling(Use("ask", {"text": "Which?", "options": ["x", "y"]})), times=1)
    house.stub.rule(".", "Done.")
    task_id = house.ask("agent:looper", "go")
    [asked] = house.open(task_id)
    house.answer(task_id, asked["id"], "y").raise_for_status()
    assert house.ended(task_id)["output"] == "Done."
    assert "y" in house.stub.requests[-1].results[0].text


# by Temporal alone


@pytest.fixture(scope="module")
def temporal(built: House) -> Any:
    """Runs Temporal's own command line against the server."""
    program = asyncio.run(binary.find(built.stack.settings))

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        address = ["--address", f"127.0.0.1:{built.stack.port}"]
        return subprocess.run([program, *arguments, *address], capture_output=True, text=True, timeout=60)

    return run


def test_temporals_command_line_alone_answers(house: House, temporal: Any) -> None:
    """The commands of docs/questions.md: look, answer by signal, answer by update, reject."""
    task_id = house.program("result = [skills.ask(text='one?'), skills.wipe(i=4)['i'], skills.ask(text='two?')]")
    [asked] = house.open(task_id)
    seen = temporal(
        "workflow", "query", "--workflow-id", f"default/{task_id}", "--name", "progress", "--output", "json"
    )
    assert asked["id"] in seen.stdout, seen.stderr
    said = json.dumps({"question_id": asked["id"], "value": "yes"})
    signal = ["workflow", "signal", "--workflow-id", f"default/{task_id}", "--name", "answer_question"]
    sent = temporal(*signal, "--input", said)
    assert sent.returncode == 0, sent.stderr
    [approval] = house.open(task_id, kind="approval")
    update = ["workflow", "update", "execute", "--workflow-id", f"default/{task_id}", "--name", "answer"]
    refused = temporal(*update, "--input", json.dumps({"question_id": approval["id"], "value": "perhaps"}))
    assert refused.returncode != 0
    assert "the answer is 'approve', 'deny'" in refused.stdout + refused.stderr
    taken = temporal(*update, "--input", json.dumps({"question_id": approval["id"], "value": "approve"}))
    assert taken.returncode == 0, taken.stderr
    [last] = wait(lambda: [one for one in house.questions(task_id) if one["text"] == "two?"])
    temporal(*signal, "--input", json.dumps({"question_id": last["id"], "reject": True}))
    assert house.ended(task_id)["failure"]["type"] == "SkillError"
    assert [one["state"] for one in house.questions(task_id)] == ["answered", "answered", "rejected"]


# over restarts


@pytest.mark.timeout(180)
def test_flow_and_program_are_answered_by_a_newer_version_after_everything_died(tmp_path: Path) -> None:
    """The worker, the API and the server are killed while both wait; files say something else then. Both finish as they
    began, and nothing that was done is done again."""
    house = House.built(tmp_path).up()
    try:
        says(house.stub, PLAN, '{"selected_skills": ["note", "pay"]}')
        says(house.stub, PROGRAM, fenced("a = skills.note(i=1)['i']\nresult = [a, skills.pay(i=100)['i']]"))
        program, flow = house.ask("agent:writer", "pay"), house.ask("workflow:asking", {})
        [approval], [form] = house.open(program), house.open(flow)
        asked = len(house.stub.requests)
        for worker in house.stack.workers:
            worker.kill()
        house.api.close()
        assert house.stack.server is not None
        house.stack.server.kill()
        changed = (house.stack.project / "agents" / "writer.yaml").read_text() + "system_prompt: Never pay.\n"
        later = "name: asking\nsteps: [{name: other, skill: note, input: {i: 9}}]\n"
        never = (house.stack.project / "skills" / "pay" / "skill.yaml").read_text().replace(">= 100", ">= 0")
        files: dict[str, str | bytes] = {"agents/writer.yaml": changed, "flows/ask.yaml": later}
        write_files(house.stack.project, {**files, "skills/pay/skill.yaml": never})
        house.stack.start_server()
        house.stack.start_worker()
        house.api = Api(house.stack.home, house.stack.project, TEMPORAL_ADDRESS=f"127.0.0.1:{house.stack.port}")
        house.up()
        house.answer(program, approval["id"], "approve").raise_for_status()
        house.answer(flow, form["id"], {"copies": 2}).raise_for_status()
        [wipe] = house.open(flow, kind="approval")
        house.answer(flow, wipe["id"], "approve").raise_for_status()
        assert house.ended(program)["output"] == [1, 100]
        output = house.ended(flow)["output"]["step_outputs"]
        assert (output["which"], output["second"]["i"]) == ({"copies": 2}, 2)
        assert (house.made(program), house.made(flow), len(house.stub.requests)) == (2, 2, asked)
        unanswered = [one for one in house.questions(flow) if one["text"] == "Anyone?"]
        assert [one["state"] for one in unanswered] == ["expired"]
    finally:
        house.close()
