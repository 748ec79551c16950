"""The house around the code: containers, variables, documents, pins and the arrows that import-linter cannot see."""

import ast
import json
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import PydanticUndefined
from typer.main import get_command

from cli.main import app
from cli.serve import QUEUES
from holdfast.config import VARIABLES, Settings
from tests.support.offline import LeftTheMachine

ROOT = Path(__file__).parents[2]
ROOMS = ("holdfast", "workflows", "activities", "skills", "sandbox", "providers", "store", "api", "cli", "chaos")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

COMPOSE_ONLY = {"HOLDFAST_PROJECT", "POSTGRES_PASSWORD"}
TEMPORALS_OWN = {"TEMPORAL_CONFIG_FILE", "TEMPORAL_PROFILE", "TEMPORAL_API_KEY"}
PASSED_ON = {"PATH", "HOME", "PYTHONPATH", "XDG_RUNTIME_DIR"}
"""Read or set for the sake of others; nothing that a user of holdfast sets."""

ISSUE_3 = [
    *("M-08", "M-09", "M-10", "M-12", "M-14", "M-15", "M-16", "M-23", "M-26", "M-45", "M-52", "M-55", "M-56"),
    *("P-30", "P-35", "R-29", "R-33", "L-29", "L-52"),
]
ISSUE_4 = [
    *("M-01", "M-02", "M-04", "M-05", "M-06", "M-07", "M-11", "M-13", "M-29", "M-30", "M-36", "M-37", "M-39", "M-41"),
    *("M-42", "M-43", "M-47", "M-54", "P-39", "P-52", "R-18", "R-19", "R-42", "L-07", "L-08", "L-09", "L-14", "L-51"),
]
ISSUE_5 = ["M-22", "M-24", "M-25", "M-31", "R-46", "L-19", "L-39", "L-41"]
ISSUE_6 = ["M-48", "M-50", "P-27", "P-28", "P-29", "R-30"]
ISSUE_7 = [
    *("M-17", "M-18", "M-19", "M-20", "M-21", "M-28", "M-53", "M-57", "M-61", "P-01", "P-02", "P-03", "P-04", "P-05"),
    *("P-07", "P-09", "P-10", "P-11", "P-12", "P-13", "P-14", "P-15", "P-20", "P-21", "P-22", "P-24", "P-25", "P-26"),
    *("P-47", "P-53", "P-54", "R-01", "R-02", "R-03", "R-04", "R-05", "R-07", "R-08", "R-09", "R-20", "R-43", "R-45"),
    *("L-05", "L-06", "L-47"),
]
ISSUE_8 = [
    *("M-03", "M-32", "M-33", "M-34", "M-35", "P-23", "R-06", "R-10", "R-11", "R-12", "R-13", "R-14", "R-15", "R-16"),
    *("R-17", "R-21", "R-23", "R-32", "R-44", "L-01", "L-02", "L-03", "L-04", "L-35", "L-48", "L-49", "L-50"),
]


def sources() -> Iterator[Path]:
    yield ROOT / "worker.py"
    for room in ROOMS:
        yield from (ROOT / room).rglob("*.py")


def imports(path: Path) -> set[str]:
    """Top-level names of all that a module imports, at its head or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


# -- containers


def test_compose_file_fits_the_compose_schema() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, "docker-compose.yml"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_services_wait_for_services_that_say_when_they_are_healthy() -> None:
    for name, service in SERVICES.items():
        for wanted, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, f"{name} -> {wanted}"
            assert "healthcheck" in SERVICES[wanted], f"{name} waits for {wanted}, which has no healthcheck"
    assert all("healthcheck" in service for name, service in SERVICES.items() if name != "temporal-ui")


def test_images_are_pinned_and_services_can_be_scaled() -> None:
    for name, service in SERVICES.items():
        assert "container_name" not in service, name
        assert re.search(r":\d+\.\d+(\.\d+)?$", service["image"]), service["image"]
    for base in re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        assert re.search(r":\d+\.\d+\.\d+", base), base


def test_only_api_and_temporal_ui_are_reached_from_this_machine_and_none_from_elsewhere() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api", "temporal-ui"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_every_command_of_a_container_is_one_of_the_cli() -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert {service["command"][0] for service in OURS.values()} <= known
    group = get_command(app).commands["workers"].commands  # type: ignore[attr-defined]
    for service in WORKERS.values():
        *command, word = service["healthcheck"]["test"][1:]
        assert command == ["holdfast", "workers"] and word in group


def test_each_task_queue_has_a_service_of_its_own_that_can_be_scaled() -> None:
    served = {name: service["command"][1:] for name, service in WORKERS.items()}
    assert served.pop("autonomous-agent-pool") == []
    assert served == {f"worker-{queue}": ["--queues", queue] for queue in QUEUES}
    assert all("ports" not in service for service in WORKERS.values())
    assert SERVICES["autonomous-agent-pool"]["deploy"] == {"replicas": 0}


def test_only_services_that_make_sandboxes_run_with_another_seccomp_profile() -> None:
    opened = {name for name, service in SERVICES.items() if any("seccomp" in one for one in _security(service))}
    assert opened == {"worker-sandbox", "autonomous-agent-pool"}
    assert all("no-new-privileges:true" in _security(service) for service in WORKERS.values())


def _security(service: dict[str, Any]) -> list[str]:
    found: list[str] = service.get("security_opt", [])
    return found


def test_containers_get_only_variables_that_holdfast_reads() -> None:
    for name, service in OURS.items():
        assert set(service["environment"]) <= set(VARIABLES), name


def test_volumes_and_mounted_files_are_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[0]
            there = (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
            assert there, f"{name}: {volume}"


def test_seccomp_profile_opens_what_bubblewrap_needs_and_no_more() -> None:
    (place,) = [one for one in OURS["worker-sandbox"]["security_opt"] if one.startswith("seccomp:")]
    rules = json.loads((ROOT / place.removeprefix("seccomp:")).read_text())["syscalls"]
    needed = {"clone", "clone3", "unshare", "mount", "umount2", "pivot_root", "setns", "sethostname"}
    opened = [rule for rule in rules if needed & set(rule["names"])]
    assert len(opened) == 1
    assert set(opened[0]["names"]) == needed
    assert opened[0]["action"] == "SCMP_ACT_ALLOW"
    without_conditions = {name for rule in rules if "includes" not in rule for name in rule["names"]}
    assert not {"bpf", "init_module", "kexec_load", "ptrace_attach", "reboot", "swapon"} & without_conditions


def test_image_runs_as_a_user_without_privileges_with_the_uv_of_the_makefile() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    uv = re.search(r"^UV_VERSION=(\S+)", (ROOT / ".ci/bootstrap").read_text(), re.MULTILINE)
    assert uv and f"uv=={uv[1]}" in dockerfile
    assert re.search(r"^USER 1000$", dockerfile, re.MULTILINE)


# -- variables


def variables_in_code() -> set[str]:
    """Names that any module reads from the environment, by any of its spellings."""
    spelled = re.compile(r"""(?:environ(?:\.get|\.pop|\.setdefault)?|getenv)\s*[\[(]\s*["']([A-Z][A-Z0-9_]*)["']""")
    named_in_typer = re.compile(r"""envvar=["']([A-Z][A-Z0-9_]*)["']""")
    texts = [path.read_text() for path in sources()]
    return {name for text in texts for rule in (spelled, named_in_typer) for name in rule.findall(text)}


def variables_of_providers() -> set[str]:
    """Names in the table of providers, and those that the code beside it reads by itself."""
    rows = yaml.safe_load((ROOT / "providers/providers.yaml").read_text()).values()
    fields = [row.get(field, []) for row in rows for field in ("keys", "base_env", "model_env", "yields_to")]
    named = {name for field in fields for name in ([field] if isinstance(field, str) else field)}
    code = "".join(path.read_text() for path in (ROOT / "providers").glob("*.py"))
    return named | set(re.findall(r'"((?:AWS|LLM)_[A-Z_]+)"', code))


def variables_of_skills() -> set[str]:
    """The secrets of built-in skills, also those that a skill can do without (`NAME?`)."""
    files = (yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / "skills/builtin").glob("*/skill.yaml"))
    return {name.rstrip("?") for file in files for name in file.get("secrets", [])}


def documented() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = (re.match(r"#? ?([A-Z][A-Z0-9_]*)=(.*)$", line) for line in lines)
    return {pair[1]: pair[2] for pair in pairs if pair}


def test_every_variable_that_is_read_is_in_the_example_and_nothing_else() -> None:
    read = variables_in_code() - PASSED_ON | set(VARIABLES) | TEMPORALS_OWN | COMPOSE_ONLY
    read |= variables_of_providers() | variables_of_skills()
    assert set(documented()) == read


def test_example_shows_the_defaults_of_the_settings() -> None:
    example = documented()
    for name, field in VARIABLES.items():
        default = Settings.model_fields[field].default
        if default not in (None, "", (), PydanticUndefined):
            shown = str(int(default)) if isinstance(default, bool) else str(default)
            assert example[name] == shown, name


def test_example_changes_nothing_when_copied_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = Settings.load(tmp_path)
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    assert Settings.load(tmp_path) == before


def test_variables_of_the_compose_file_are_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert used <= set(documented())


# -- documents


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text()):
        assert "://" in target or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(document: Path) -> None:
    text = document.read_text()
    code = "\n".join([*re.findall(r"```\n(.*?)```", text, re.DOTALL), *re.findall(r"`([^`\n]+)`", text)])
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"(?<!from)(?:^|[/ ])holdfast ([a-z]+)\b", code, re.MULTILINE)) <= known
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", code, re.MULTILINE)) <= targets
    assert set(re.findall(r"\bpoe ([a-z]+)", code)) <= set(PYPROJECT["tool"]["poe"]["tasks"])


def coverage() -> dict[str, tuple[str, str]]:
    rows = re.findall(
        r"^\| ([A-Z]-\d\d) \|.*?\| (.*?) \| (.*?) \|$", (ROOT / "docs/coverage.md").read_text(), re.MULTILINE
    )
    return {row[0]: (row[1], row[2]) for row in rows}


@pytest.mark.parametrize("requirement", [*ISSUE_3, *ISSUE_4, *ISSUE_5, *ISSUE_6, *ISSUE_7, *ISSUE_8])
def test_finished_requirement_names_its_place_and_its_test(requirement: str) -> None:
    place, shown_by = coverage()[requirement]
    for column in (place, shown_by):
        paths = re.findall(r"`([^`:]+)(?:::(\w+))?`", column)
        assert paths, f"{requirement}: no file named in {column!r}"
        for path, function in paths:
            assert (ROOT / path).exists(), f"{requirement} names {path}"
            assert not function or f"def {function}(" in (ROOT / path).read_text(), f"{path} has no {function}"


# -- pins and arrows


def test_every_installed_package_is_pinned_to_the_version_that_is_installed() -> None:
    wanted = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]
    wanted += PYPROJECT["tool"]["uv"]["constraint-dependencies"]
    pins = {_normal(re.split(r"==|\[", pin)[0]): pin.partition("==")[2] for pin in wanted}
    assert all(pins.values())
    installed = {_normal(found.name): found.version for found in metadata.distributions()}
    for own_tool in ("holdfast", "pip", "setuptools", "wheel", "uv"):
        installed.pop(own_tool, None)
    assert {name: pins.get(name) for name in installed} == installed


def test_no_test_leaves_this_machine() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward, pytest.raises(LeftTheMachine):
        outward.connect(("192.0.2.1", 9))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_guest_imports_the_standard_library_alone() -> None:
    assert imports(ROOT / "sandbox/guest.py") <= set(sys.stdlib_module_names) | {"__future__"}


def test_only_the_cli_imports_the_worker_and_only_chaos_the_cli() -> None:
    for path in sources():
        room = path.relative_to(ROOT).parts[0]
        if room != "cli":
            assert not ({"worker"} if room == "chaos" else {"cli", "worker"}) & imports(path), path


def test_worker_imports_workflows_activities_and_the_floor_alone() -> None:
    assert imports(ROOT / "worker.py") & set(ROOMS) <= {"workflows", "activities", "holdfast"}
