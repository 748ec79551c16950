"""Schemathesis against a whole holdfast: what OpenAPI says is what the API answers, whatever it is sent."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api import PROJECT, Api
from tests.support.stack import Stack

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
"""Not `positive_data_acceptance`: whether a program compiles, or a task is there, no schema can say."""


@pytest.fixture(scope="module")
def api(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API with data: a good task, a bad one, and one that asks. Its project is a copy: uploads are written there."""
    project = shutil.copytree(PROJECT, tmp_path_factory.mktemp("copy") / "project")
    api = Api(stack.home, project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    for program in ("result = 1", "1 / 0", "result = await skills.ask(text='Which?')"):
        api.submit(program)
    yield api
    api.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_api_answers_as_documented_whatever_it_is_sent(api: Api, tmp_path: Path, say: Callable[[str], None]) -> None:
    report = tmp_path / "report.ndjson"
    options = ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "10"]
    # The stream of events ends when its task does, so it is no answer to wait for. tests/integration/test_events.py.
    options += ["--exclude-path-regex", "}/events$", "--continue-on-failure", "--seed", "4"]
    # One worker: CPython 3.11 counts the depth of its parser over all threads (python/cpython#106905), and Hypothesis
    # compiles: with two, one run in some fails with "AST constructor recursion depth mismatch".
    options += ["--report", "ndjson", "--report-ndjson-path", str(report), "--suppress-health-check", "all"]
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{api.port}/openapi.json", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    cases = report.read_text().count('"response"')
    say(f"{cases} answers looked at")
    assert cases > 300, done.stdout[-3000:]
    # By bytes: a line of text would end at U+0085 in a path, too.
    lines = [json.loads(line) for line in api.log.read_bytes().splitlines()]
    assert [line for line in lines if line["level"] == "error"] == []


def test_operations_have_names_of_their_own(api: Api) -> None:
    operations = [one for methods in api.get("/openapi.json")["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert [one["operationId"] for one in operations if not one.get("description")] == []
