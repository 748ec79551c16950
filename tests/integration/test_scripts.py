"""The scripts that people run by hand, as they run them."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"

pytestmark = pytest.mark.timeout(300)


def run(name: str, *words: str, stdin: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    return subprocess.run(
        [str(SCRIPTS / name), *words], input=stdin, capture_output=True, text=True, env=kept | env, timeout=280
    )


def test_a_reply_is_shown_as_its_plan_and_its_program():
    reply = 'Sure.\n<plan>{"selected_skills": ["read-file"]}</plan>\n```python\nresult = 1\n```\n'
    ran = run("debug-llm-response", stdin=reply)
    assert ran.returncode == 0, ran.stderr
    assert '"selected_skills": [\n    "read-file"\n  ]' in ran.stdout
    assert ran.stdout.endswith("program:\nresult = 1\n\n")


def test_a_reply_without_either_exits_1_and_says_what_was_expected():
    ran = run("debug-llm-response", stdin="I would rather not.")
    assert ran.returncode == 1
    assert "found no plan in the reply" in ran.stdout


def test_the_configured_model_can_be_asked_for_a_plan():
    ran = run("debug-llm-response", "Review src for bugs", DEFAULT_LLM_PROVIDER="offline")
    assert ran.returncode == 0, ran.stderr
    assert '"code-analysis"' in ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("script", "passes"), [("test-standalone.sh", 8), ("test-integration.sh", 8)])
def test_every_check_of_a_script_passes_without_a_server_of_ones_own(script, passes):
    ran = run(script)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [line.split()[0] for line in ran.stdout.splitlines()[:passes]] == ["PASS"] * passes, ran.stdout
    assert "FAIL" not in ran.stdout


@pytest.mark.slow
def test_ptc_shows_plan_program_and_answer():
    ran = run("test-ptc", "List the files of examples/inventory")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for part in ("== plan and calls", "list-files", "== program", "skills.list_files", "== answer", "model: offline"):
        assert part in ran.stdout


@pytest.mark.slow
def test_a_script_that_is_stopped_leaves_nothing_running(tmp_path):
    """Its own temporary folder is gone, and so is what was started there."""
    command = [str(SCRIPTS / "test-ptc")]
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            process.stderr.readline()
            process.terminate()
            process.stderr.read()
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
    assert [path for path in Path("/proc").glob("[0-9]*/cwd") if _link(path).startswith(str(tmp_path))] == []


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
