"""Settings, read once at the start of a process and passed down.

Precedence: flag > environment > .env > holdfast.yaml > config/sandbox.config.yaml > default. Every variable is listed
in `.env.example`.
"""

import difflib
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from holdfast import __version__, sandboxfile
from holdfast.contracts.model import ModelSettings
from holdfast.errors import SettingsInvalid, shown

PROJECT_FILE = "holdfast.yaml"

VARIABLES: dict[str, str] = {
    "HOLDFAST_HOME": "home",
    "HOLDFAST_URL": "url",
    "HOLDFAST_HOST": "host",
    "HOLDFAST_PORT": "port",
    "HOLDFAST_OPEN": "open_door",
    "HOLDFAST_MAX_TASKS": "max_tasks",
    "HOLDFAST_MAX_TENANT_TASKS": "max_tenant_tasks",
    "API_KEY": "api_key",
    "TEMPORAL_ADDRESS": "temporal_address",
    "TEMPORAL_NAMESPACE": "temporal_namespace",
    "HOLDFAST_TEMPORAL_BIN": "temporal_bin",
    "HOLDFAST_TEMPORAL_UI_PORT": "temporal_ui_port",
    "HOLDFAST_DEPLOYMENT": "deployment",
    "HOLDFAST_BUILD_ID": "build_id",
    "DATABASE_URL": "database_url",
    "DB_POOL_SIZE": "db_pool_size",
    "DB_MAX_OVERFLOW": "db_max_overflow",
    "MAX_FILE_BYTES": "max_file_bytes",
    "DEFAULT_SANDBOX_ADAPTER": "sandbox_type",
    "SANDBOX_TYPE": "sandbox_type",
    "SANDBOX_FALLBACK": "sandbox_fallback",
    "SANDBOX_PYTHON_PATH": "sandbox_python_path",
    "SANDBOX_PACKAGES": "sandbox_packages",
    "HOLDFAST_WORKSPACE_BYTES": "workspace_bytes",
    "SANDBOX_DOCKER_IMAGE": "sandbox_docker_image",
    "SANDBOX_DOCKER_RUNTIME": "sandbox_docker_runtime",
    "DOCKER_HOST": "docker_host",
    "SANDBOX_WORKSPACE": "sandbox_workspace",
    "SANDBOX_TIMEOUT": "sandbox_timeout_ms",
    "SANDBOX_MAX_SESSIONS": "sandbox_max_sessions",
    "SANDBOX_WARM": "sandbox_warm",
    "SESSION_TIMEOUT": "session_timeout_ms",
    "MAX_SESSIONS": "max_sessions",
    "CONTINUOUS_AGENT_IDLE_TIMEOUT": "continuous_idle_seconds",
    "HOLDFAST_KEEP_EVENTS": "keep_events_days",
    "HOLDFAST_WEBHOOK_SECRET": "webhook_secret",
    "HOLDFAST_WEBHOOKS_PRIVATE": "webhooks_private",
    "DEFAULT_LLM_PROVIDER": "default_llm_provider",
    "DEFAULT_LLM_MODEL": "default_llm_model",
    "LLM_BASE_URL": "llm_base_url",
    "LOG_LEVEL": "log_level",
    "LOG_FORMAT": "log_format",
}
"""Environment variable -> field. A variable `X_FILE` names a file that holds the value of `X`."""

SECRET = ("api_key", "database_url", "webhook_secret")
"""Their values never stand in a message."""


def _without_slash(url: str) -> str:
    return url.rstrip("/")


HttpUrl = Annotated[
    str, StringConstraints(pattern=r"^https?://[^\s/]", strip_whitespace=True), AfterValidator(_without_slash)
]


# ASCII by name: pydantic's \w is all of Unicode, and 20 MB of automaton.
_VERSION = r" *(===?|>=|<=|~=|!=|<|>) *[A-Za-z0-9_.*+!-]+"
# A name and versions, and nothing that an installer takes for an option, a path or an address.
PackageName = Annotated[
    str, StringConstraints(pattern=rf"^[A-Za-z0-9][A-Za-z0-9_.-]*(\[[A-Za-z0-9_,.-]+\])?({_VERSION}( *,{_VERSION})*)?$")
]


def _listed(value: Any) -> Any:
    """`numpy>=2,<3, pandas` of a variable as a list."""
    return re.split(r"[\s,]+(?=[A-Za-z])", value.strip(" ,")) if isinstance(value, str) else value


Packages = Annotated[tuple[PackageName, ...], BeforeValidator(_listed)]


def _any_python(path: str | None) -> str | None:
    """The older systems' default is a bare name: no particular one is meant."""
    return None if path in ("python3", "python") else path


Weight = Annotated[float, Field(ge=0.001, le=1000)]
PythonPath = Annotated[str | None, AfterValidator(_any_python)]


class Settings(BaseModel):
    """All settings. Times are in seconds. A path is absolute once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: Path = Field(description="the folder that holds holdfast.yaml, or the current one")
    home: Path = Field(description="data folder: database, blobs, Temporal's file")
    url: str = "http://127.0.0.1:8000"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    open_door: bool = False
    api_key: str | None = None
    max_tasks: int = Field(default=5000, ge=1, description="tasks in work at once; more are answered 429")
    max_tenant_tasks: int = Field(default=2500, ge=1, description="the same, of one tenant")
    tenant_weights: dict[str, Weight] = Field(
        default={}, description="share of a tenant's work in a backlog; default 1"
    )
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_bin: str | None = None
    temporal_ui_port: int = Field(default=8233, ge=1, le=65535)
    deployment: str = Field(
        default="holdfast", pattern=r"^[A-Za-z0-9_-]+$", max_length=100, description="workers that replace each other"
    )
    build_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.+-]+$",
        max_length=100,
        description="version of a cluster's workers; None: all are alike",
    )
    database_url: str = ""
    db_pool_size: int = Field(default=50, ge=1)
    db_max_overflow: int = Field(default=20, ge=0)
    max_file_bytes: int = Field(default=200 << 20, ge=0, description="a file that is sent in; those of one task")
    sandbox_type: Literal["local", "landlock", "docker"] = "local"
    sandbox_fallback: bool = Field(default=True, description="landlock where local lacks user namespaces")
    sandbox_python_path: PythonPath = None
    sandbox_packages: Packages = Field(default=(), description="what programs may import beside the standard library")
    sandbox_docker_image: str = Field(default=f"holdfast-sandbox:{__version__}", min_length=1)
    sandbox_docker_runtime: str = Field(
        default="auto", min_length=1, description="auto: runsc (gVisor) if there, else the default"
    )
    docker_host: str = "unix:///var/run/docker.sock"
    sandbox_workspace: Path | None = Field(default=None, description="what skills read and write; None: in home")
    sandbox_timeout_ms: int = Field(default=30_000, ge=1, le=3_600_000, description="run_seconds of those who set none")
    sandbox_max_sessions: int = Field(default=10, ge=1, le=1000, description="boxes of one worker that live at once")
    sandbox_warm: int = Field(default=2, ge=0, le=100, description="boxes kept idle, 15 MB each")
    workspace_bytes: int = Field(default=5 << 30, ge=1 << 20, description="what a tenant's workspace may hold")
    session_timeout_ms: int = Field(
        default=1_800_000,
        ge=100,
        description="a conversation that is idle for so long hibernates, and wakes when needed",
    )
    max_sessions: int = Field(
        default=1000, ge=1, description="of one tenant that are awake at once; those idle longest hibernate"
    )
    continuous_idle_seconds: float = Field(
        default=600.0, gt=0, description="session_timeout_ms of continuous agents, in seconds"
    )
    keep_events_days: int = Field(
        default=30, ge=1, le=36_500, description="then an event is dropped from lists, and no repetition is known by it"
    )
    webhook_secret: str | None = Field(default=None, description="signs what is posted to those that name no secret")
    webhooks_private: bool = Field(default=True, description="webhooks and callbacks may lead to private addresses")
    default_llm_provider: str | None = None
    default_llm_model: str | None = None
    llm_base_url: HttpUrl | None = None
    default_agent: str = Field(default="assistant", min_length=1)
    providers: dict[str, Any] = Field(default={}, description="rows and prices beside those of providers.yaml")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["json", "text"] = "json"
    undeclared_effect: Literal["guess", "once", "pure"] = "guess"
    own_workflows: bool | list[str] = Field(
        default=False, description="register the project's Temporal workflows: all of workflows/, or these files"
    )

    @property
    def keep_events(self) -> timedelta:
        return timedelta(days=self.keep_events_days)

    @property
    def blobs(self) -> Path:
        return self.home / "blobs"

    @property
    def workspaces(self) -> Path:
        """Below it a folder a tenant, and in that one a project: what skills read and write."""
        return self.project / self.sandbox_workspace if self.sandbox_workspace else self.home / "workspaces"

    @property
    def default_model(self) -> ModelSettings:
        """The model of those who name none; None in it: what `providers` finds.

        LLM_BASE_URL is the address of the provider that is set, whichever it is; without one, that of
        `openai-compatible`, by the environment.
        """
        base = self.llm_base_url if self.default_llm_provider else None
        return ModelSettings(provider=self.default_llm_provider, model=self.default_llm_model, api_base=base)

    def environment(self) -> dict[str, str]:
        """The variables that skills and model providers see: see `environment` below."""
        own = {"LLM_BASE_URL": self.llm_base_url} if self.llm_base_url else {}
        return environment(self.project) | own

    @classmethod
    def load(cls, project: Path | None = None, **flags: Any) -> Self:
        """Settings of the project at or above the folder `project` (default: the current one). None is a flag not set.

        Raises:
            SettingsInvalid: a value is wrong (names the source, what was found, what is allowed).
        """
        folder = find_project(project or Path.cwd())
        dotenv = _dotenv(folder / ".env")
        own = _from_yaml(folder / PROJECT_FILE)
        over = _from_environment(dotenv, ".env") | _from_environment(os.environ, "the environment")
        over |= {key: value for key, value in flags.items() if value is not None}
        older = sandboxfile.read(folder, {**dotenv, **os.environ}).settings((own | over).get("sandbox_type"))
        _refuse_twice(own, older, folder / PROJECT_FILE)
        values = older.values | own | over | older.type
        home = Path(values.get("home") or folder / ".holdfast")
        values |= {"project": folder, "home": (folder / home).resolve()}
        values["url"] = values.get("url") or f"http://{values.get('host', '127.0.0.1')}:{values.get('port', 8000)}"
        values["database_url"] = values.get("database_url") or f"sqlite:///{values['home'] / 'holdfast.db'}"
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            raise SettingsInvalid(_explained(exc, older.places)) from None


def _refuse_twice(own: Mapping[str, Any], older: sandboxfile.Older, file: Path) -> None:
    for name in sorted(own.keys() & older.also):
        raise SettingsInvalid(f"setting {name!r} stands in {file} and as {older.places[name]}; leave it in one of them")


def find_project(start: Path) -> Path:
    """The nearest folder at or above `start` that holds `holdfast.yaml`, else `start` itself."""
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / PROJECT_FILE).is_file()), start)


_KEYS = ("_KEY", "_TOKEN", "_SECRET")


def environment(project: Path) -> dict[str, str]:
    """The variables that skills and model providers see: the environment's over those of the project's `.env`.

    For names that end in _KEY, _TOKEN or _SECRET, `X_FILE` gives `X`, unless `X` itself is set in the same place.

    Raises:
        SettingsInvalid: such a file cannot be read. A path in the environment that is not called `…_API_KEY_FILE` may
            be meant for another program, and is left alone then.
    """
    found = _with_files(_dotenv(project / ".env"), ".env")
    for name, value in _with_files(os.environ, "the environment").items():
        if value or name not in found:
            found[name] = value
    return found


def _with_files(variables: Mapping[str, str], where: str) -> dict[str, str]:
    values = dict(variables)
    for name, path in variables.items():
        key = name.removesuffix("_FILE")
        if key == name or not key.endswith(_KEYS) or not path or values.get(key):
            continue
        try:
            values[key] = _secret(path, f"{name} in {where}")
        except SettingsInvalid:
            if where == ".env" or key.endswith("_API_KEY"):
                raise
    return values


def _from_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise SettingsInvalid(f"{path}: not YAML: {exc}") from None
    if not isinstance(found, dict):
        raise SettingsInvalid(f"{path}: found {shown(found)}; a mapping of settings is expected")
    return found


def _from_environment(variables: Mapping[str, str], where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in VARIABLES.items():
        if variables.get(f"{name}_FILE"):
            values[field] = _secret(variables[f"{name}_FILE"], f"{name}_FILE in {where}")
        if variables.get(name):
            values[field] = variables[name]
    return values


def _secret(path: str, where: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as exc:
        raise SettingsInvalid(f"{where} names {path!r}, which cannot be read: {_why(exc)}") from None


def _why(exc: OSError | ValueError) -> str:
    return str(exc.strerror) if isinstance(exc, OSError) else "it is not UTF-8 text"


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as exc:
        raise SettingsInvalid(f"{path} cannot be read: {_why(exc)}") from None
    pairs = (line.strip().removeprefix("export ").partition("=") for line in text.splitlines())
    return {key.strip(): value.strip().strip("\"'") for key, sign, value in pairs if sign and not key.startswith("#")}


def _explained(exc: ValidationError, places: Mapping[str, str]) -> str:
    names = {field: name for name, field in VARIABLES.items()}
    rows = []
    for error in exc.errors():
        field = str(error["loc"][0])
        if error["type"] == "extra_forbidden":
            rows.append(_unknown(field))
            continue
        also = f" (variable {names[field]})" if field in names else ""
        also += f" ({places[field]})" if field in places else ""
        found = "a value that is not shown" if field in SECRET else shown(error["input"])
        rows.append(f"setting {field!r}{also}: found {found}; {error['msg']}")
    return "; ".join(rows)


def _unknown(field: str) -> str:
    known = sorted(set(Settings.model_fields) - {"project"})
    near = difflib.get_close_matches(field, known, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"no setting {field!r}; {guess}Known: {', '.join(known)}"
