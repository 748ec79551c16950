import os
from pathlib import Path
from typing import Any

import pytest

from holdfast.config import VARIABLES, Settings, environment, find_project
from holdfast.errors import SettingsInvalid


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, with none of our variables in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    (tmp_path / "holdfast.yaml").write_text("")
    return tmp_path


def wrong(project: Path, **flags: Any) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.load(project, **flags)
    return str(caught.value)


def test_defaults_need_no_file(project: Path):
    (project / "holdfast.yaml").unlink()
    settings = Settings.load(project)
    assert (settings.project, settings.home) == (project, project / ".holdfast")
    assert (settings.port, settings.log_level, settings.db_pool_size) == (8000, "INFO", 50)
    assert settings.database_url == f"sqlite:///{project}/.holdfast/holdfast.db"


def test_flag_beats_environment_beats_dotenv_beats_yaml(project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "holdfast.yaml").write_text("port: 1001")
    ports = [Settings.load(project).port]
    (project / ".env").write_text("HOLDFAST_PORT=1002")
    ports.append(Settings.load(project).port)
    monkeypatch.setenv("HOLDFAST_PORT", "1003")
    ports.append(Settings.load(project).port)
    ports.append(Settings.load(project, port=1004).port)
    assert ports == [1001, 1002, 1003, 1004]
    assert Settings.load(project, port=None).port == 1003


def test_empty_variable_is_not_set(project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "holdfast.yaml").write_text("port: 1001")
    monkeypatch.setenv("HOLDFAST_PORT", "")
    assert Settings.load(project).port == 1001


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_is_read(project: Path, monkeypatch: pytest.MonkeyPatch, variable: str):
    field = VARIABLES[variable]
    given = {"log_level": "DEBUG", "log_format": "text", "sandbox_type": "local", "open_door": "1", "home": "/srv/data"}
    given |= {
        "llm_base_url": "http://127.0.0.1:1/v1",
        "sandbox_packages": "numpy",
        "deployment": "blue",
        "build_id": "r1.2",
    }
    given |= {"sandbox_workspace": "/srv/work", "sandbox_fallback": "True", "workspace_bytes": "5000000"}
    given |= {"webhooks_private": "True", "session_timeout_ms": "60000", "continuous_idle_seconds": "60.0"}
    numeric = field.endswith(
        ("port", "_ms", "_sessions", "_warm", "_file_bytes", "_tasks", "_days")
    ) or field.startswith("db_")
    monkeypatch.setenv(variable, given.get(field, "77" if numeric else "sqlite:///x"))
    settings = Settings.load(project)
    assert field in settings.model_fields_set
    assert str(getattr(settings, field)) == {"open_door": "True", "sandbox_packages": "('numpy',)"}.get(
        field, given.get(field, "77" if numeric else "sqlite:///x")
    )


def test_variable_with_file_reads_the_file(project: Path, monkeypatch: pytest.MonkeyPatch):
    secret = project / "a secret"
    secret.write_text("  schlüssel\n", "utf-8")
    monkeypatch.setenv("API_KEY_FILE", str(secret))
    assert Settings.load(project).api_key == "schlüssel"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_file_that_cannot_be_read_is_named_with_its_variable(
    project: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
):
    secret = project / "secret"
    if content is not None:
        secret.write_bytes(content)
    monkeypatch.setenv("API_KEY_FILE", str(secret))
    text = wrong(project)
    assert "API_KEY_FILE in the environment" in text and str(secret) in text and "cannot be read" in text


def test_dotenv_has_comments_quotes_and_export(project: Path):
    (project / ".env").write_text(
        "# HOLDFAST_PORT=1\n\nexport HOLDFAST_HOST='0.0.0.0'\nAPI_KEY=\"a=b#c\"\n HOLDFAST_PORT = 1234 \nnonsense\n",
        "utf-8",
    )
    settings = Settings.load(project)
    assert (settings.host, settings.api_key, settings.port) == ("0.0.0.0", "a=b#c", 1234)


def test_dotenv_that_is_not_text_is_named(project: Path):
    (project / ".env").write_bytes(b"API_KEY=\xff")
    assert str(project / ".env") in wrong(project)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'"),
        ("LOG_FORMAT", "xml", "'json' or 'text'"),
        ("SANDBOX_TYPE", "none", "'local'"),
        ("HOLDFAST_PORT", "http", "valid integer"),
        ("HOLDFAST_PORT", "70000", "less than or equal to 65535"),
        ("DB_POOL_SIZE", "0", "greater than or equal to 1"),
        ("HOLDFAST_OPEN", "perhaps", "valid boolean"),
    ],
)
def test_wrong_value_names_variable_value_and_what_is_allowed(
    project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
):
    monkeypatch.setenv(variable, value)
    text = wrong(project)
    assert f"(variable {variable})" in text and f"found {value!r}" in text and told in text


def test_all_wrong_values_are_told_at_once(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOLDFAST_PORT", "x")
    monkeypatch.setenv("LOG_LEVEL", "y")
    assert "HOLDFAST_PORT" in wrong(project) and "LOG_LEVEL" in wrong(project)


def test_unknown_setting_is_named_with_those_that_are_known(project: Path):
    (project / "holdfast.yaml").write_text("prot: 1")
    text = wrong(project)
    assert "no setting 'prot'" in text and "did you mean 'port'" in text and "log_level" in text


@pytest.mark.parametrize(
    ("content", "told"), [("[1, 2]", "a mapping of settings"), ("a: [", "not YAML"), (b"\xff\xfa", "not YAML")]
)
def test_settings_file_that_is_no_mapping_is_named(project: Path, content: str | bytes, told: str):
    (project / "holdfast.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    text = wrong(project)
    assert told in text and str(project / "holdfast.yaml") in text


@pytest.mark.parametrize("field", ["api_key", "database_url"])
def test_no_message_shows_a_secret(project: Path, field: str):
    (project / "holdfast.yaml").write_text(f"{field}: [geheim]")
    text = wrong(project)
    assert field in text and "geheim" not in text


def test_project_is_found_from_a_folder_below(project: Path):
    below = project / "agents" / "deep"
    below.mkdir(parents=True)
    assert find_project(below) == project
    assert Settings.load(below).home == project / ".holdfast"


def test_path_with_spaces_and_umlauts(project: Path):
    folder = project / "mein Projekt ö%41?"
    folder.mkdir()
    (folder / "holdfast.yaml").write_text("home: Daten für später", "utf-8")
    settings = Settings.load(folder)
    assert settings.home == folder / "Daten für später"
    assert settings.blobs == settings.home / "blobs"
    assert settings.database_url == f"sqlite:///{settings.home}/holdfast.db"


def test_relative_home_is_below_the_project_wherever_one_stands(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOLDFAST_HOME", "data/../data")
    assert Settings.load(project).home == project / "data"


def test_models_are_set_by_variable_and_by_yaml(project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "holdfast.yaml").write_text("default_llm_provider: ollama\ndefault_agent: mine\nproviders: {x: {}}\n")
    monkeypatch.setenv("DEFAULT_LLM_PROVIDER", "openai-compatible")
    monkeypatch.setenv("DEFAULT_LLM_MODEL", "glm-4")
    settings = Settings.load(project)
    assert (settings.default_llm_provider, settings.default_llm_model) == ("openai-compatible", "glm-4")
    assert (settings.default_agent, settings.providers) == ("mine", {"x": {}})
    assert Settings(project=project, home=project).default_agent == "assistant"


def test_base_url_of_a_model_loses_its_last_slash_and_must_be_one(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_BASE_URL", "http://127.0.0.1:8080/v1/")
    assert Settings.load(project).llm_base_url == "http://127.0.0.1:8080/v1"
    monkeypatch.setenv("LLM_BASE_URL", "localhost:8080")
    text = wrong(project)
    assert "(variable LLM_BASE_URL)" in text and "found 'localhost:8080'" in text and "http" in text


# -- what skills and providers see


def test_keys_of_dotenv_are_seen_below_those_of_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / ".env").write_text("OPENAI_API_KEY=from-dotenv\nZHIPUAI_API_KEY=only-here\nGEMINI_API_KEY=kept\n")
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    monkeypatch.setenv("GEMINI_API_KEY", "")
    seen = environment(project)
    assert [seen[name] for name in ("OPENAI_API_KEY", "ZHIPUAI_API_KEY", "GEMINI_API_KEY")] == [
        "from-environment",
        "only-here",
        "kept",
    ]
    assert "ZHIPUAI_API_KEY" not in os.environ


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "SLACK_BOT_TOKEN", "APP_SECRET"])
def test_a_key_may_stand_in_a_file_that_a_variable_names(project: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.delenv(name, raising=False)
    (project / "key").write_text("  schlüssel\n", "utf-8")
    (project / ".env").write_text(f"{name}_FILE={project / 'key'}\n")
    assert environment(project)[name] == "schlüssel"
    monkeypatch.setenv(name, "its own")
    assert environment(project)[name] == "its own"


def test_only_keys_are_read_from_files(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/cert.pem")
    monkeypatch.setenv("SSL_KEY_FILE", "/nowhere/key.pem")
    seen = environment(project)
    assert ("SSL_CERT" in seen, "SSL_KEY" in seen) == (False, False)


def test_a_key_file_that_cannot_be_read_is_named_with_its_variable(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", "/nowhere/key")
    with pytest.raises(SettingsInvalid, match=r"ANTHROPIC_API_KEY_FILE in the environment names '/nowhere/key'"):
        environment(project)
    monkeypatch.delenv("ANTHROPIC_API_KEY_FILE")
    (project / ".env").write_text("MY_TOKEN_FILE=/nowhere/token\n")
    with pytest.raises(SettingsInvalid, match=r"MY_TOKEN_FILE in \.env"):
        environment(project)
