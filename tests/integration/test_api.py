"""The API as a process on a real port, with a real database, and Temporal down: what it refuses, and survives."""

import hashlib
import json
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from api.server import serving
from holdfast.config import Settings
from holdfast.errors import HoldfastError, SettingsInvalid, StoreUnavailable
from holdfast.ids import task_id_from_key
from holdfast.ports import free_port
from tests.support.api import ROOT, Api, problem

TASK = {"type": "program", "program": "result = 1"}
NOBODY = "01a21429-87d5-7bb0-adda-9fb2423d8db9"
MAIL = "Some.One@Example.com"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API whose Temporal server is not there."""
    api = Api(tmp_path_factory.mktemp("api"), TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}").start()
    yield api
    api.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Api]:
    """One of its own for a test that starts, stops or locks it."""
    api = Api(tmp_path / "home", TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}")
    yield api
    api.close()


# what is wrong with a request is said, and nothing is kept


@pytest.mark.parametrize(
    ("program", "line", "column", "says"),
    [
        ("x = 1\nx = = 2", 2, 5, "invalid syntax"),
        ("```python\nx = (\n```", 2, 5, "never closed"),
        ("a = skills.ecko(i=1)", 1, 5, "did you mean 'echo'?"),
        ("executor.execute('nope', {})", 1, 18, "no skill named 'nope'"),
        ("result = '" + "x" * 262_144 + "'", 1, 1, "262155 bytes; 262144 are allowed"),
        ("x = '\0'", 1, 1, "null byte"),
        ("return 1", 1, 1, "`result`"),
        ("", 1, 1, "empty"),
        (
            "x = 1\ny = await skills.echo(i=1, wrong=2)",
            2,
            28,
            "skills.echo has no argument 'wrong'; it takes i: integer",
        ),
        ("n = input()\nskills.echo(i=n)", 2, 13, "argument 'i': found str; allowed: integer"),
    ],
)
def test_program_that_cannot_run_is_refused_with_line_and_column(
    api: Api, program: str, line: int, column: int, says: str
) -> None:
    body = problem(api.http.post("/tasks", json={"type": "program", "program": program}), 422, "INVALID_PROGRAM")
    found = body["error"]["details"]["problems"]
    assert [(one["line"], one["column"]) for one in found] == [(line, column)]
    assert says in body["message"]


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (
            {"type": "flow:x"},
            "UNKNOWN_TASK_TYPE",
            "available: agent:<name>, workflow:<name>, skill:<name>, tool:<name>, program",
        ),
        ({"type": "program:x"}, "UNKNOWN_TASK_TYPE", "task type 'program:x' is not known"),
        ({"type": "skill"}, "UNKNOWN_TASK_TYPE", "task type 'skill' is not known"),
        ({"type": "agent:"}, "UNKNOWN_TASK_TYPE", "task type 'agent:' is not known"),
        ({"type": "program"}, "INVALID_REQUEST", "program: is missing in the body"),
        ({"program": "x = 1"}, "INVALID_REQUEST", "type: is missing in the body; it is required"),
        ({**TASK, "inputs": 1}, "INVALID_REQUEST", "inputs: no such field"),
        ({**TASK, "skills": ["ecko"]}, "INVALID_REQUEST", "skills: no skill named 'ecko'; did you mean 'echo'?"),
        (
            {**TASK, "limits": {"run_seconds": 0}},
            "INVALID_REQUEST",
            "limits.run_seconds: found 0; input should be greater",
        ),
        ({**TASK, "limits": {"max_calls": "many"}}, "INVALID_REQUEST", "limits.max_calls: found 'many'"),
        ({**TASK, "tenant_id": "a/b"}, "INVALID_REQUEST", "tenant_id: found 'a/b'"),
        ({**TASK, "trace_id": "abc"}, "INVALID_REQUEST", "trace_id: found 'abc'"),
        ({**TASK, "on_error": "explode"}, "INVALID_REQUEST", "on_error: found 'explode'"),
        ({**TASK, "idempotency_key": ""}, "INVALID_REQUEST", "idempotency_key: found ''"),
        ([], "INVALID_REQUEST", "body: found []"),
        (None, "INVALID_REQUEST", "body"),
    ],
)
def test_request_that_is_wrong_is_refused_by_field(api: Api, body: object, code: str, says: str) -> None:
    assert says in problem(api.http.post("/tasks", json=body), 422, code)["message"]


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code", "says"),
    [
        (b'{"type": ', "application/json", 422, "INVALID_REQUEST", "not JSON: Expecting value at character 9"),
        (b'{"type": "program", "program": "x=1", "input": NaN}', "application/json", 422, "INVALID_REQUEST", "NaN"),
        (
            b'{"type": "program", "program": "x=1", "input": "\\ud800"}',
            "application/json",
            422,
            "INVALID_REQUEST",
            "input",
        ),
        (b'{"type": "\xff"}', "application/json", 400, "BAD_REQUEST", "UTF-8"),
        (b"[" * 100_000, "application/json", 400, "BAD_REQUEST", "JSON"),
        (b"{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE", "'text/plain'; allowed: application/json"),
        (b"{}", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"),
        (b"", "application/json", 422, "INVALID_REQUEST", "body: is missing; it is required"),
        (b'{"input": "' + b"x" * (10 << 20) + b'"}', "application/json", 413, "TOO_LARGE", "10 MiB"),
    ],
)
def test_body_that_cannot_be_read_is_refused(
    api: Api, content: bytes, media_type: str, status: int, code: str, says: str
) -> None:
    response = api.http.post("/tasks", content=content, headers={"content-type": media_type})
    assert says in problem(response, status, code)["message"]


def test_body_of_unknown_length_is_refused_once_it_is_too_large(api: Api) -> None:
    chunks = (b"x" * (1 << 20) for _ in range(11))
    response = api.http.post("/tasks", content=chunks, headers={"content-type": "application/json"})
    problem(response, 413, "TOO_LARGE")


def test_body_of_unknown_length_is_read_whole(api: Api) -> None:
    chunks = iter([b'{"type": "program", ', b'"program": "x = = 1"}'])
    response = api.http.post("/tasks", content=chunks, headers={"content-type": "application/json"})
    problem(response, 422, "INVALID_PROGRAM")


def test_input_above_its_limit_is_refused(api: Api) -> None:
    body = problem(api.http.post("/tasks", json={**TASK, "input": "x" * (1 << 20)}), 413, "TOO_LARGE")
    assert "1048578 bytes of JSON; 1048576 are allowed" in body["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "says"),
    [
        ("GET", "/tasks/7", 422, "INVALID_REQUEST", "task_id: found '7'; input should be a valid UUID"),
        ("GET", f"/tasks/{NOBODY}", 404, "NOT_FOUND", "no task"),
        ("GET", f"/tasks/{NOBODY}/journal", 404, "NOT_FOUND", "no task"),
        ("POST", f"/tasks/{NOBODY}/cancel", 404, "NOT_FOUND", "no task"),
        ("GET", "/tasks?cursor=%00", 400, "INVALID_CURSOR", "begin anew"),
        ("GET", "/tasks?cursor=WzEsMl0", 400, "INVALID_CURSOR", "begin anew"),
        ("GET", "/tasks?limit=1001", 422, "INVALID_REQUEST", "limit: found '1001'; input should be less"),
        ("GET", "/tasks?limit=0", 422, "INVALID_REQUEST", "limit"),
        ("GET", "/tasks?status_filter=fine", 422, "INVALID_REQUEST", "status_filter: found 'fine'"),
        ("GET", "/tasks?user_id_hash=me", 422, "INVALID_REQUEST", "user_id_hash"),
        ("GET", f"/tasks/{NOBODY}?wait=61", 422, "INVALID_REQUEST", "wait: found '61'"),
        ("GET", "/skills/ecko", 404, "SKILL_NOT_FOUND", "did you mean 'echo'?"),
        ("GET", "/nothing", 404, "NOT_FOUND", "nothing at '/nothing'"),
        ("PUT", "/tasks", 405, "METHOD_NOT_ALLOWED", "allowed: GET, POST"),
        ("DELETE", "/health", 405, "METHOD_NOT_ALLOWED", "allowed: GET"),
    ],
)
def test_address_that_leads_nowhere_says_what_would(
    api: Api, method: str, path: str, status: int, code: str, says: str
) -> None:
    response = api.http.request(method, path)
    assert says in problem(response, status, code)["message"]
    if status == 405:
        assert response.headers["allow"] in says


def test_nothing_of_a_refused_request_is_kept(api: Api) -> None:
    tenant = {"x-tenant-id": "refused"}
    for body in ({**TASK, "program": "x = = 1"}, {**TASK, "type": "x"}, {**TASK, "input": "x" * (1 << 20)}):
        assert api.http.post("/tasks", json=body, headers=tenant).status_code >= 400
    assert api.get("/tasks", tenant_id="refused") == []


# the door


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8000"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost@evil.example"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
    ],
)
@pytest.mark.parametrize("path", ["/tasks", "/health", "/docs"])
def test_foreign_host_or_origin_is_refused_everywhere(api: Api, path: str, headers: dict[str, str]) -> None:
    problem(api.http.get(path, headers=headers), 403, "FORBIDDEN")


def test_page_of_the_api_itself_may_use_it(api: Api) -> None:
    same = api.http.get("/tasks", headers={"origin": f"http://127.0.0.1:{api.port}"})
    other_name = api.http.get(
        "/tasks", headers={"host": f"localhost:{api.port}", "origin": f"http://localhost:{api.port}"}
    )
    assert (same.status_code, other_name.status_code) == (200, 200)


def test_answers_carry_security_headers(api: Api) -> None:
    for path in ("/tasks", "/nothing", "/health"):
        headers = api.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_with_a_key_set_only_health_is_open(tmp_path: Path) -> None:
    api = Api(tmp_path, API_KEY="s3cret-ä", TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}").start()
    try:
        paths = api.http.get("/openapi.json", headers={b"x-api-key": "s3cret-ä".encode()}).json()["paths"]
        assert {"/agent/execute", "/agent/results", "/agents", "/api/system"} <= set(paths)
        for path, methods in paths.items():
            for method in () if path.startswith("/health") else methods:
                place = re.sub(r"\{\w+\}", str(uuid4()), path)
                problem(api.http.request(method, place), 401, "UNAUTHORIZED")
                problem(api.http.request(method, place, headers={"x-api-key": "s3cret"}), 403, "FORBIDDEN")
        assert api.http.get("/tasks", headers={b"x-api-key": "s3cret-ä".encode()}).status_code == 200
        assert api.http.get("/tasks", headers={b"authorization": "Bearer s3cret-ä".encode()}).status_code == 200
        assert api.http.get("/health/live").status_code == 200
        assert api.http.get("/tasks").headers["www-authenticate"] == "Bearer"
        assert "s3cret" not in api.log.read_text()
    finally:
        api.close()


def test_trace_id_of_the_caller_is_used_and_logged(api: Api) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert api.http.get("/skills", headers=parent).headers["x-trace-id"] == trace
    assert api.http.get("/skills", headers={"x-trace-id": trace}).headers["x-trace-id"] == trace
    by_body = api.http.post("/tasks", json={**TASK, "trace_id": trace})
    assert by_body.headers["x-trace-id"] == trace
    assert api.http.get("/skills", headers={"x-trace-id": "abc\t1"}).headers["x-trace-id"] != "abc\t1"
    lines = [json.loads(line) for line in api.log.read_text().splitlines()]
    told = [line for line in lines if line["trace_id"] == trace and line["message"] == "http.request"]
    assert [(line["metadata"]["path"], line["metadata"]["status"]) for line in told] == [
        ("/skills", 200),
        ("/skills", 200),
        ("/tasks", 503),
    ]


def test_every_line_of_the_log_is_json_and_holds_no_body(api: Api) -> None:
    api.http.post("/tasks?secret=in-the-query", json={**TASK, "input": "secret-in-the-body"})
    text = api.log.read_text()
    assert all(json.loads(line)["service"] == "api" for line in text.splitlines())
    assert "secret" not in text


# Temporal is down


def test_api_lives_and_is_not_ready_while_temporal_is_down(api: Api) -> None:
    assert api.get("/health/live") == {"status": "alive"}
    ready = api.http.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["status"] == "not ready"
    assert "no Temporal server answers" in ready.json()["dependencies"]["temporal"]
    assert ready.json()["dependencies"]["store"] == "ok"
    health = api.http.get("/health")
    assert health.status_code == 503
    assert health.json()["status"] == "unhealthy"
    assert set(health.json()["services"]) == {"api", "agent", "llm", "temporal", "store", "worker", "sandbox"}
    assert health.json()["database"] == "connected"
    assert health.json()["uptime"] > 0


def test_task_without_key_is_not_left_pending_when_temporal_is_down(api: Api) -> None:
    response = api.http.post("/tasks", json=TASK)
    body = problem(response, 503, "TEMPORAL_UNAVAILABLE")
    assert "Nothing was started: send the request again" in body["message"]
    assert response.headers["retry-after"] == "2"
    task = api.get(f"/tasks/{body['error']['details']['task_id']}")
    assert (task["state"], task["status"], task["failure"]["type"]) == ("ERROR", "error", "NotStarted")


def test_task_with_key_waits_for_its_retry_when_temporal_is_down(api: Api) -> None:
    key = str(uuid4())
    for _ in range(2):
        body = problem(api.http.post("/tasks", json={**TASK, "idempotency_key": key}), 503, "TEMPORAL_UNAVAILABLE")
        assert body["error"]["details"]["task_id"] == task_id_from_key("default", key)
        assert "with the same idempotency key" in body["message"]
    task = api.get(f"/tasks/{task_id_from_key('default', key)}")
    assert task["state"] == "PENDING"
    assert "no Temporal server answers" in task["note"]


def test_same_key_with_another_body_is_refused(api: Api) -> None:
    key = str(uuid4())
    api.http.post("/tasks", json={**TASK, "input": {"a": 1, "b": 2}}, headers={"idempotency-key": key})
    same = {"input": {"b": 2, "a": 1}, **TASK, "idempotency_key": key, "trace_id": "ab" * 16}
    problem(api.http.post("/tasks", json=same), 503, "TEMPORAL_UNAVAILABLE")
    other = {**TASK, "input": {"a": 1, "b": 3}, "idempotency_key": key}
    problem(api.http.post("/tasks", json=other), 422, "IDEMPOTENCY_MISMATCH")


def test_task_of_another_tenant_is_not_found(api: Api) -> None:
    key = str(uuid4())
    api.http.post("/tasks", json={**TASK, "tenant_id": "acme", "idempotency_key": key})
    task_id = task_id_from_key("acme", key)
    for path in ("", "/program", "/journal", "/steps", "/result", "/questions"):
        problem(api.http.get(f"/tasks/{task_id}{path}"), 404, "NOT_FOUND")
        problem(api.http.get(f"/tasks/{task_id}{path}", headers={"x-tenant-id": "other"}), 404, "NOT_FOUND")
    assert api.get(f"/tasks/{task_id}", tenant_id="acme")["tenant_id"] == "acme"
    assert task_id not in [task["id"] for task in api.get("/tasks", limit=1000)]
    assert [task["id"] for task in api.get("/tasks", tenant_id="acme")] == [task_id]


def test_list_pages_newest_first_and_filters(api: Api) -> None:
    tenant = {"x-tenant-id": f"t{uuid4().hex[:8]}"}
    bodies = [{**TASK, "idempotency_key": f"k{n}", "user_id": "a" if n % 2 else "b"} for n in range(5)]
    bodies.append(TASK)
    for body in bodies:
        api.http.post("/tasks", json=body, headers=tenant)
    first = api.http.get("/tasks", params={"limit": 4}, headers=tenant)
    second = api.http.get(first.links["next"]["url"], headers=tenant)
    assert first.headers["x-total-count"] == second.headers["x-total-count"] == "6"
    times = [task["created_at"] for task in [*first.json(), *second.json()]]
    assert len(times) == 6
    assert times == sorted(times, reverse=True)
    assert "next" not in second.links
    found = {}
    for name, value in {
        "status_filter": "pending",
        "state": "ERROR",
        "user_id_hash": hashlib.sha256(b"a").hexdigest(),
        "type": "prog",
    }.items():
        found[name] = len(api.http.get("/tasks", params={name: value}, headers=tenant).json())
    assert found == {"status_filter": 5, "state": 1, "user_id_hash": 2, "type": 6}


def test_what_only_a_worker_knows_is_unavailable_while_temporal_is_down(api: Api) -> None:
    key = str(uuid4())
    api.http.post("/tasks", json={**TASK, "idempotency_key": key, "program": "  x = 1\n  y = 2"})
    task = f"/tasks/{task_id_from_key('default', key)}"
    assert api.get(f"{task}/program")["source"] == "if True:\n  x = 1\n  y = 2"
    assert api.get(f"{task}/program")["first_line"] == 0
    problem(api.http.get(f"{task}/journal"), 503, "TEMPORAL_UNAVAILABLE")
    problem(api.http.get(f"{task}/questions"), 503, "TEMPORAL_UNAVAILABLE")
    problem(api.http.post(f"{task}/questions/x", json={"answer": 1}), 503, "TEMPORAL_UNAVAILABLE")
    problem(api.http.post(f"{task}/cancel"), 503, "TEMPORAL_UNAVAILABLE")
    assert api.http.get(f"{task}/result").status_code == 409


def test_mail_addresses_are_hashed_at_the_edge(fresh: Api) -> None:
    fresh.start()
    expected = hashlib.sha256(b"some.one@example.com").hexdigest()
    mail = f"  {MAIL} "
    tasks = [
        {**TASK, "idempotency_key": "1", "user_id": mail},
        {**TASK, "idempotency_key": "2", "input": {"user_email": MAIL, "n": 1}},
        {**TASK, "idempotency_key": "3", "input": {"user_email": MAIL, "pad": "x" * 5000}, "user_id": MAIL},
    ]
    for body in tasks:
        problem(fresh.http.post("/tasks", json=body), 503, "TEMPORAL_UNAVAILABLE")
    found = fresh.get("/tasks")
    assert [task["user_id_hash"] for task in found] == [expected] * 3
    assert fresh.get(f"/tasks/{found[0]['id']}")["input"]["user_email"] == expected
    assert fresh.stop() == 0
    kept = [path for path in fresh.home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in kept)
    assert [path for path in kept if b"example.com" in path.read_bytes().lower()] == []


def test_locked_database_is_unavailable_and_nothing_is_lost(api: Api) -> None:
    body = {**TASK, "tenant_id": "locked", "idempotency_key": "k"}
    database = sqlite3.connect(api.home / "holdfast.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        problem(api.http.post("/tasks", json=body), 503, "STORE_UNAVAILABLE")
        assert api.get("/tasks", tenant_id="locked") == []
    finally:
        database.execute("ROLLBACK")
        database.close()
    problem(api.http.post("/tasks", json=body), 503, "TEMPORAL_UNAVAILABLE")
    assert len(api.get("/tasks", tenant_id="locked")) == 1


# the catalogue


def test_skills_are_listed_briefly_and_told_in_full(api: Api) -> None:
    skills = {skill["name"]: skill for skill in api.get("/skills")}
    assert {"echo", "ask", "code-analysis"} <= set(skills)
    assert "input_schema" not in skills["echo"]
    echo = api.get("/skills/echo")
    assert echo["spec"]["input_schema"]["required"] == ["i"]
    assert api.get("/skills/code_analysis")["identifier"] == "code_analysis"
    assert api.get("/skills", tag="no-such-tag") == []
    tag = skills["code-analysis"]["tags"][0]
    assert "code-analysis" in [skill["name"] for skill in api.get("/skills", tag=tag)]


@pytest.mark.slow
def test_broken_skill_is_named_and_a_new_one_appears_without_restart(tmp_path: Path) -> None:
    folder = tmp_path / "project ü" / "skills"
    folder.mkdir(parents=True)
    (folder.parent / "holdfast.yaml").write_text("")
    api = Api(tmp_path / "home", folder.parent, TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}").start()
    try:
        assert api.get("/errors") == {"errors": [], "warnings": []}
        (folder / "bad").mkdir()
        (folder / "bad" / "skill.yaml").write_text("name: [")
        (folder / "good").mkdir()
        (folder / "good" / "SKILL.md").write_text("---\nname: good\ndescription: Says how.\n---\nDo it.\n")
        assert [error["file"] for error in api.get("/errors")["errors"]] == ["skills/bad/skill.yaml"]
        assert api.get("/skills/good")["instructions"].strip() == "Do it."
    finally:
        api.close()


def test_openapi_declares_the_one_error_body(api: Api) -> None:
    schema = api.get("/openapi.json")
    body = schema["components"]["schemas"]["ErrorBody"]
    assert set(body["required"]) >= {"type", "title", "status", "detail", "error"}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and not (path.startswith("/health") and status == "503"):
                    assert list(answer["content"]) == ["application/problem+json"], (path, method, status)
    assert api.http.get("/docs").status_code == 200


# the process


def test_sigterm_ends_it_with_0_and_no_noise(fresh: Api) -> None:
    fresh.start()
    with socket.create_connection(("127.0.0.1", fresh.port)) as half:
        half.sendall(f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:{fresh.port}\r\n".encode())
        assert fresh.process is not None
        assert fresh.stop() == 0
    assert "Traceback" not in fresh.log.read_text()


def test_taken_port_is_named_with_its_variable(fresh: Api) -> None:
    with socket.create_server(("127.0.0.1", fresh.port)):
        assert fresh.spawn().wait(30) == 3
    log = fresh.log.read_text()
    assert f"port {fresh.port} on 127.0.0.1 is taken by another process; set HOLDFAST_PORT" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"host": "0.0.0.0"}, SettingsInvalid, "Set API_KEY"),
        ({"host": "no such host"}, SettingsInvalid, "without a key"),
        ({"host": "no such host", "api_key": "k"}, SettingsInvalid, "which is no address"),
        ({"host": "203.0.113.1", "api_key": "k"}, SettingsInvalid, "cannot listen on '203.0.113.1'"),
        ({"database_url": "sqlite:////proc/nope/holdfast.db"}, StoreUnavailable, "database /proc/nope/holdfast.db"),
        ({"database_url": "mysql://x"}, SettingsInvalid, "DATABASE_URL is of kind 'mysql'"),
    ],
)
async def test_what_keeps_it_from_starting_is_said(
    tmp_path: Path, changes: dict[str, str], error: type[HoldfastError], says: str
) -> None:
    settings = Settings.load(tmp_path, **{"port": free_port(), **changes})
    with pytest.raises(error, match=re.escape(says)):
        await serving(settings)


def test_uvicorn_serves_the_factory(fresh: Api) -> None:
    with fresh.log.open("ab") as out:
        fresh.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "api.main:app", "--port", str(fresh.port)],
            cwd=fresh.project,
            env=fresh.environment,
            stdout=out,
            stderr=out,
        )
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while not fresh._alive():
        assert datetime.now(UTC) < deadline, fresh.log.read_text()
    assert fresh.get("/tasks") == []


def test_the_api_loads_no_model_sdk_and_no_other_room() -> None:
    code = "import sys, api.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"anthropic", "openai", "activities", "skills", "sandbox", "providers", "cli", "worker"})
