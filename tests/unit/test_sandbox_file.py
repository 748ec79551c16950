"""config/sandbox.config.yaml of the older system: both its forms, what it gives way to, and what is wrong with it."""

from pathlib import Path

import pytest

from holdfast.config import VARIABLES, Settings
from holdfast.errors import SettingsInvalid
from holdfast.sandboxfile import PLACE

NESTED = """
default_adapter: local
adapters:
  local:
    type: local
    local:
      pythonPath: /usr/bin/python3.11
      timeout: 45000
      workspace: ./work
      maxSessions: 3
  cloud:
    type: docker
    docker: {image: x, timeout: 9000}
"""
FLAT = """
default_adapter: local
adapters:
  local: {type: local, pythonPath: /usr/bin/python3.11, timeout: 45000, workspace: ./work, maxSessions: 3}
"""
FLATTEST = "type: local\npythonPath: /usr/bin/python3.11\ntimeout: 45000\nworkspace: ./work\nmaxSessions: 3\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "holdfast.yaml").write_text("")
    (tmp_path / "config").mkdir()
    return tmp_path


def loaded(project: Path, text: str) -> Settings:
    (project / PLACE).write_text(text)
    return Settings.load(project)


def wrong(project: Path, text: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        loaded(project, text)
    assert str(project) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", [NESTED, FLAT, FLATTEST])
def test_each_form_sets_the_same(project: Path, text: str) -> None:
    found = loaded(project, text)
    assert (found.sandbox_type, found.sandbox_python_path) == ("local", "/usr/bin/python3.11")
    assert (found.sandbox_timeout_ms, found.sandbox_max_sessions) == (45000, 3)
    assert found.workspaces == project / "work"


def test_a_project_without_the_file_has_the_defaults(project: Path) -> None:
    found = Settings.load(project)
    assert (found.sandbox_type, found.sandbox_timeout_ms, found.sandbox_max_sessions) == ("local", 30000, 10)
    assert found.workspaces == found.home / "workspaces"
    assert loaded(project, "# empty\n") == found


def test_the_older_systems_default_python_means_any(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(project, "pythonPath: python3").sandbox_python_path is None
    monkeypatch.setenv("SANDBOX_PYTHON_PATH", "python3")
    assert Settings.load(project).sandbox_python_path is None


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("SANDBOX_PYTHON_PATH", "/usr/bin/python3.12", "sandbox_python_path", "/usr/bin/python3.12"),
        ("SANDBOX_TIMEOUT", "7000", "sandbox_timeout_ms", 7000),
        ("SANDBOX_MAX_SESSIONS", "5", "sandbox_max_sessions", 5),
        ("SANDBOX_WORKSPACE", "/srv/work", "sandbox_workspace", Path("/srv/work")),
        ("SANDBOX_TYPE", "landlock", "sandbox_type", "landlock"),
        ("DEFAULT_SANDBOX_ADAPTER", "landlock", "sandbox_type", "landlock"),
        ("DEFAULT_SANDBOX_ADAPTER", "cloud", "sandbox_type", "docker"),
        ("DEFAULT_SANDBOX_ADAPTER", "cloud", "sandbox_timeout_ms", 9000),
        ("SANDBOX_TYPE", "docker", "sandbox_timeout_ms", 9000),
    ],
)
def test_variables_stand_above_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert getattr(loaded(project, NESTED), field) == expected


def test_sandbox_type_stands_above_the_other_name_of_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_TYPE", "local")
    monkeypatch.setenv("DEFAULT_SANDBOX_ADAPTER", "docker")
    assert Settings.load(project).sandbox_type == "local"


def test_variables_are_put_in(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMIT_MS", "1234")
    (project / ".env").write_text("PYTHON_HOME=/opt/python")
    text = (
        "timeout: ${LIMIT_MS}\npythonPath: ${PYTHON_HOME}/bin/python3\nmaxSessions: ${NOT_SET}\nworkspace: ${NO:-./w}"
    )
    found = loaded(project, text)
    assert (found.sandbox_timeout_ms, found.sandbox_python_path) == (1234, "/opt/python/bin/python3")
    assert (found.sandbox_max_sessions, found.workspaces) == (10, project / "w")


@pytest.mark.parametrize(
    ("own", "setting", "key"),
    [
        ("sandbox_timeout_ms: 1", "sandbox_timeout_ms", "adapters.local.local.timeout"),
        ("sandbox_max_sessions: 1", "sandbox_max_sessions", "adapters.local.local.maxSessions"),
        ("sandbox_type: local", "sandbox_type", "default_adapter"),
    ],
)
def test_the_same_key_in_two_files_is_an_error_that_names_both(project: Path, own: str, setting: str, key: str) -> None:
    (project / "holdfast.yaml").write_text(own)
    text = wrong(project, NESTED)
    assert setting in text and key in text and "holdfast.yaml" in text and "sandbox.config.yaml" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("maxSessions: many", ["'maxSessions' in", "found 'many'", "integer"]),
        ("maxSessions: 0", ["'maxSessions' in", "found 0", "greater"]),
        ("type: moon", ["'moon'", "'local'"]),
        ("default_adapter: moon\nadapters: {local: {type: local}}", ["default_adapter", "'moon'", "'local'"]),
        ("maxSession: 1", ["'maxSession' is not known", "maxSessions"]),
        ("adapters: {local: {local: {maxSession: 1}}}", ["'adapters.local.local.maxSession'", "maxSessions"]),
        ("adapters: [1]", ["'adapters'", "a mapping"]),
        ("adapters: {local: 1}", ["'adapters.local'", "a mapping"]),
        ("adapters: {local: {local: 1}}", ["'adapters.local.local'", "a mapping"]),
        ("adapters: {}\nmaxSessions: 1", ["'maxSessions' is not known", "adapters, default_adapter"]),
        ("adapters: {local: {timeout: 1, local: {timeout: 2}}}", ["adapters.local.timeout", "leave one of them out"]),
        ("default_adapter: [1]", ["'default_adapter'", "a name"]),
        ("[1, 2]", ["mapping"]),
        ("[1, 2", ["not YAML"]),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_key(project: Path, text: str, said: list[str]) -> None:
    found = wrong(project, text)
    assert [part for part in said if part not in found] == [], found
