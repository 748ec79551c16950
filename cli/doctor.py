"""`doctor`: what on this machine works, what does not, and the fix for each."""

import asyncio
import os
import platform
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from cli import screen
from cli.client import Client
from cli.flags import Flags, is_open
from cli.stack import answers, listens
from cli.up import leave
from holdfast import __version__, readiness
from holdfast.config import Settings
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from sandbox.base import Probe

ROOMS = (
    "activities",
    "api",
    "chaos",
    "cli",
    "holdfast",
    "providers",
    "sandbox",
    "skills",
    "store",
    "worker",
    "workflows",
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `bad`: holdfast cannot work; `warn`: it can, but somebody should know."""

    state: Literal["ok", "warn", "bad"]
    name: str
    text: str
    fix: str = ""


Check = Callable[[Settings], Awaitable[list[Finding]]]


def doctor(flags: Flags, as_json: bool) -> None:
    """Exit code 1 if something that is needed is broken. Never returns: see `up.leave`."""
    findings = asyncio.run(examine(flags))
    if as_json:
        screen.result([asdict(finding) for finding in findings])
    else:
        _told(findings)
    leave(screen.FAILED if any(finding.state == "bad" for finding in findings) else 0)


async def examine(flags: Flags) -> list[Finding]:
    """All checks; none of them stops the others."""
    found = [_versions(), *clashes(ROOMS)]
    try:
        settings = flags.settings()
    except HoldfastError as exc:
        return [*found, Finding("bad", "settings", str(exc), "correct the value, then run `holdfast doctor` again")]
    found.append(Finding("ok", "settings", f"project {settings.project}, data in {settings.home}"))
    for check in (_temporal, _api, _sandbox, _database, _catalogue, _model, _door):
        found += await check(settings)
    return found


def _versions() -> Finding:
    sdk = metadata.version("temporalio")
    text = f"holdfast {__version__}, Python {platform.python_version()}, temporalio {sdk}, {platform.platform()}"
    if platform.system() == "Linux":
        return Finding("ok", "versions", text)
    return Finding(
        "warn", "versions", text, "the sandbox `local` needs Linux; on Windows use WSL2, elsewhere a Linux VM"
    )


def clashes(rooms: tuple[str, ...]) -> list[Finding]:
    """Other distributions in this environment that install a top-level package of one of our names."""
    owners = metadata.packages_distributions()
    found = {room: [owner for owner in set(owners.get(room, [])) if owner != "holdfast"] for room in rooms}
    fix = "install holdfast on its own: uv tool install holdfast, or a container"
    return [
        Finding(
            "bad",
            "packages",
            f"{' and '.join(sorted(others))} installs a package {room!r} too; one hides the other",
            fix,
        )
        for room, others in found.items()
        if others
    ]


async def _temporal(settings: Settings) -> list[Finding]:
    try:
        if await answers(settings):
            return [Finding("ok", "Temporal server", f"answers at {settings.temporal_address}"), _program(settings)]
    except HoldfastError as exc:
        return [Finding("bad", "Temporal server", str(exc), "stop what listens there, or set TEMPORAL_ADDRESS")]
    state = Finding("ok", "Temporal server", f"none at {settings.temporal_address}; `holdfast up` starts one there")
    return [state, *_ui_port(settings), _program(settings)]


def _ui_port(settings: Settings) -> list[Finding]:
    if not listens("127.0.0.1", port := settings.temporal_ui_port):
        return []
    return [
        Finding(
            "bad", "Temporal UI", f"port {port} is taken", "stop what listens there, or set HOLDFAST_TEMPORAL_UI_PORT"
        )
    ]


def _program(settings: Settings) -> Finding:
    """The dev server's program, without fetching or building one."""
    from holdfast.temporal import binary

    if settings.temporal_bin:
        usable = os.access(settings.temporal_bin, os.X_OK)
        fix = "" if usable else "set HOLDFAST_TEMPORAL_BIN to a program, or unset it"
        return Finding(
            "ok" if usable else "bad", "Temporal program", f"{settings.temporal_bin} (HOLDFAST_TEMPORAL_BIN)", fix
        )
    if found := shutil.which("temporal") or (binary.cache_path().exists() and str(binary.cache_path())):
        return Finding("ok", "Temporal program", found)
    if shutil.which("go"):
        return Finding(
            "ok", "Temporal program", f"none yet; the first start downloads {binary.VERSION} or builds it, 3 minutes"
        )
    fix = "install the Temporal CLI, or Go, or name a running server in TEMPORAL_ADDRESS"
    return Finding(
        "warn", "Temporal program", "none yet, and no Go to build it; the first start tries to download it", fix
    )


async def _api(settings: Settings) -> list[Finding]:
    if not listens(settings.host, settings.port):
        return [Finding("ok", "API", f"none at {settings.url}; `holdfast up` starts it")]
    try:
        with Client(settings) as client:
            ailing, workers = client.ailing(), client.workers()
    except HoldfastError as exc:
        return [Finding("bad", "API", str(exc), f"stop what listens at port {settings.port}, or set HOLDFAST_PORT")]
    if ailing:
        return [Finding("bad", "API", f"answers at {settings.url}, but takes no tasks: {ailing}", "holdfast up")]
    if not workers:
        return [
            Finding("warn", "API", f"answers at {settings.url}, but no worker is seen", "start one: holdfast worker")
        ]
    return [Finding("ok", "API", f"answers at {settings.url}; {len(workers)} worker{'s' * (len(workers) > 1)}")]


async def _sandbox(settings: Settings) -> list[Finding]:
    from sandbox import base

    try:
        adapter = await base.choose(settings)
        probe = await adapter.probe()
    except HoldfastError as exc:
        return [Finding("bad", "sandbox", str(exc))]
    said = f"{adapter.name}: {adapter.isolation} ({probe.version})"
    if not adapter.stands_in_for:
        return [Finding("ok", "sandbox", said), *_bounds(settings, probe)]
    wanted = await base.load(adapter.stands_in_for, settings).probe()
    return [Finding("warn", "sandbox", said, wanted.problem), *_bounds(settings, probe)]


def _bounds(settings: Settings, probe: "Probe") -> list[Finding]:
    from sandbox.memory import available_share
    from sandbox.pool import LEAST_FREE

    tried = f"a program in a box, tried here: {', '.join(probe.capabilities)}"
    most = f"at most {settings.sandbox_max_sessions} boxes at once, {settings.sandbox_warm} kept warm"
    found = [
        Finding("ok", "isolation", tried),
        Finding("ok", "boxes", f"{most}; {settings.sandbox_timeout_ms} ms a program"),
    ]
    if (free := available_share()) < LEAST_FREE:
        text = f"{free:.1%} of the memory is free; below {LEAST_FREE:.0%} no box is begun, and programs wait"
        found.append(Finding("warn", "memory", text, "lower SANDBOX_MAX_SESSIONS, or stop what else runs here"))
    return found


async def _database(settings: Settings) -> list[Finding]:
    from store.address import Address
    from store.migrate import current

    try:
        place = str(Address.of(settings))
        found = await asyncio.to_thread(current, settings)
    except HoldfastError as exc:
        return [Finding("bad", "database", str(exc), "see DATABASE_URL")]
    return [Finding("ok", "database", f"{place} {f'at revision {found}' if found else 'is made at the first start'}")]


async def _catalogue(settings: Settings) -> list[Finding]:
    from holdfast import catalogue
    from holdfast.places import about

    given, own = settings.undeclared_effect, settings.own_workflows
    loaded = await asyncio.to_thread(
        lambda: catalogue.load(settings.project, catalogue.BUILTIN, given, own_workflows=own)
    )
    found = [
        Finding("ok", "skills", f"{len(loaded.catalogue.skills)} skills"),
        Finding("ok", "agents", f"{len(loaded.catalogue.agents)} agents"),
        Finding("ok", "flows", f"{len(loaded.catalogue.flows)} flows"),
    ]
    left_out = "it is left out until its file is mended"
    found += [Finding("warn", about(problem.file), problem.message, left_out) for problem in loaded.problems]
    found += [Finding("warn", about(warning.file), warning.message) for warning in loaded.warnings]
    try:
        loaded.catalogue.find_agent(settings.default_agent)
    except HoldfastError as exc:
        found.append(Finding("warn", "agents", str(exc), "a task that names no agent is refused; set default_agent"))
    return found


async def _model(settings: Settings) -> list[Finding]:
    """The model of an agent that names none, by this shell's environment; a worker may have another."""
    from providers.seen import seen
    from providers.table import Models

    environ = settings.environment()
    try:
        model = Models(environ, settings.default_model, settings.providers, settings.url).default()
        lacks = readiness.offered([seen(environ, settings.default_model, settings.providers)])
    except HoldfastError as exc:
        return [Finding("warn", "model", str(exc), "correct DEFAULT_LLM_PROVIDER, or `providers` in holdfast.yaml")]
    name = f"{model.provider}:{model.model or '?'}"
    if missing := lacks[readiness.DEFAULT]:
        return [Finding("warn", "model", f"{name} cannot be asked", f"set {missing}")]
    if model.provider == "offline":
        text = "no key is set: the offline planner picks skills by rule, no model is used"
        return [
            Finding("warn", "model", text, "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or run Ollama; see docs/models.md")
        ]
    return [Finding("ok", "model", name)]


async def _door(settings: Settings) -> list[Finding]:
    if not is_open(settings):
        return [Finding("ok", "door", f"{settings.host}, {'with' if settings.api_key else 'without'} a key")]
    return [
        Finding(
            "warn", "door", f"open: anyone who reaches {settings.host} can run code", "unset HOLDFAST_OPEN, set API_KEY"
        )
    ]


def _told(findings: list[Finding]) -> None:
    for finding in findings:
        match finding.state:
            case "ok":
                screen.ok(finding.name, finding.text)
            case "warn":
                screen.warn(finding.name, finding.text, finding.fix)
            case "bad":
                screen.bad(finding.name, finding.text, finding.fix)
    broken = sum(finding.state == "bad" for finding in findings)
    screen.say("\nall that is needed works" if not broken else f"\n{broken} broken; the fix stands below each")
