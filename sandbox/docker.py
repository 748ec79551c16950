"""Adapter `docker`: CPython in a container of an engine on this machine.

What holds a program: the container (no network, read-only root, no capability, own uid, bounds of memory and
processes), two seccomp filters of ours beside the engine's, rlimits. With gVisor also a kernel of its own.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from holdfast.errors import NoIsolation
from sandbox import docker_spec, packages, probe
from sandbox.base import Box, BoxLost, BoxSpec, Probe
from sandbox.channel import Channel
from sandbox.docker_box import DockerBox, remove
from sandbox.docker_engine import Engine, EngineRefused
from sandbox.docker_leftovers import reap, worker_label
from sandbox.interpreter import Interpreter

if TYPE_CHECKING:
    from holdfast.config import Settings

GVISOR = "runsc"
_ATTACH = "/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1"
_NAME_ROUNDS = 5
_GUEST = Path(__file__).with_name("guest.py")


@dataclass(frozen=True)
class _Found:
    """What was learnt about the engine. `runtime` is "" for its own default."""

    engine: Engine
    version: str
    runtime: str
    packages: Path | None = None


class DockerAdapter:
    """Starts boxes as containers. Needs the engine's socket, and an image: `holdfast sandbox build`."""

    name = "docker"
    stands_in_for = ""

    def __init__(self, settings: "Settings") -> None:
        self.image = settings.sandbox_docker_image
        self._host, self._wanted = settings.docker_host, settings.sandbox_docker_runtime
        self._packages, self._home = settings.sandbox_packages, settings.home
        self._found: _Found | None = None

    @property
    def isolation(self) -> str:
        inside = "two seccomp filters, rlimits, bounds of memory and processes"
        runtime = self._found.runtime if self._found else ""
        if runtime == GVISOR:
            return f"container on gVisor (its own kernel, runsc): no network, read-only root, {inside}"
        kernel = f"runtime {runtime}" if runtime else "it shares the kernel"
        return f"container: no network, read-only root, no capability, {inside}; {kernel}"

    async def probe(self) -> Probe:
        return await probe.remembered((self.name, self._host, self.image, self._wanted, self._packages), self._probe)

    async def _probe(self) -> Probe:
        try:
            found = await self._ready()
            await reap(found.engine)
            with _host_file() as secret:
                capabilities = await probe.try_to_escape(self, (secret, found.engine.socket))
        except (NoIsolation, BoxLost, EngineRefused) as exc:
            return Probe(ok=False, problem=str(exc))
        return Probe(ok=True, version=f"{found.version}, image {self.image}", capabilities=capabilities)

    async def start(self, spec: BoxSpec) -> DockerBox:
        """A start that is cancelled leaves nothing: it goes on to where it can be ended cleanly."""
        starting = asyncio.ensure_future(self._start(spec))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(BoxLost, NoIsolation):
                await (await starting).kill()
            raise

    def start_key(self, spec: BoxSpec) -> Hashable:
        """The engine is told these when the container is made; the rest is set when a box is up, by `lockdown`."""
        limits = spec.limits
        return spec.guest, spec.inputs, limits.disk_bytes, limits.inodes, limits.memory_bytes

    def assign(self, box: Box, spec: BoxSpec) -> None:
        cast(DockerBox, box).assign(spec)

    async def _start(self, spec: BoxSpec) -> DockerBox:
        if spec.inputs and not spec.inputs.is_dir():
            raise BoxLost(f"box {spec.name!r} did not start: its inputs {str(spec.inputs)!r} are no folder")
        return await self._begun(await self._ready(), spec)

    async def _begun(self, found: _Found, spec: BoxSpec) -> DockerBox:
        try:
            return await self._up(found, spec)
        except (OSError, EngineRefused, NoIsolation, BoxLost) as exc:
            raise self._explained(exc, found, spec) from exc

    async def _up(self, found: _Found, spec: BoxSpec) -> DockerBox:
        """The box, or nothing of it: whatever stops us, its connection and its container are gone."""
        engine = found.engine
        async with contextlib.AsyncExitStack() as undo:
            container = await self._created(found, spec)
            undo.push_async_callback(remove, engine, container)
            stream = await engine.stream(_ATTACH.format(container))
            undo.push_async_callback(stream.aclose)
            box = DockerBox(engine, container, stream, spec)
            await engine.call("POST", f"/containers/{container}/start")
            await box.write(docker_spec.first_words(spec, box.last_word))
            undo.pop_all()
        return box

    async def _created(self, found: _Found, spec: BoxSpec) -> str:
        """The new container's id. One that has its name already is that of an attempt before this one: it is ended."""
        body = docker_spec.container(spec, self.image, found.runtime, worker_label(), found.packages)
        name = docker_spec.container_name(spec)
        for _ in range(_NAME_ROUNDS):
            try:
                made = await found.engine.call("POST", "/containers/create", body, name=name)
            except EngineRefused as exc:
                if exc.answered != 409:
                    raise
                await remove(found.engine, name)
            else:
                return str(made["Id"])
        raise BoxLost(f"box {spec.name!r} did not start: container {name} of an earlier attempt does not go away")

    def _explained(self, exc: Exception, found: _Found, spec: BoxSpec) -> Exception:
        if isinstance(exc, EngineRefused) and exc.answered == 404:
            return NoIsolation(
                f"docker has no image {self.image!r}. Make it with `holdfast sandbox build`; where no registry can be "
                "reached, with `holdfast sandbox build --from-system`. Another image: SANDBOX_DOCKER_IMAGE"
            )
        if isinstance(exc, (EngineRefused, OSError)):
            runtime = found.runtime
            hint = f". It was to run on {runtime}; the engine's own: SANDBOX_DOCKER_RUNTIME=runc" if runtime else ""
            return BoxLost(f"box {spec.name!r} did not start: {exc}{hint}")
        return exc

    async def _ready(self) -> _Found:
        if self._found is None:
            engine = Engine(self._host)
            version = await engine.version()
            info = await engine.call("GET", "/info")
            runtime = chosen_runtime(self._wanted, list(info["Runtimes"]))
            told = f"docker {version['Version']}, {runtime or info['DefaultRuntime']}"
            found = _Found(engine, told, runtime)
            self._found = replace(found, packages=await self._built(found)) if self._packages else found
        return self._found

    async def _built(self, found: _Found) -> Path:
        """The folder of `sandbox_packages`, for the Python of the image: which one it is, a box of it tells.

        Raises:
            SettingsInvalid: they cannot be installed.
        """
        box = await self._begun(found, BoxSpec(name="which-python", guest=_GUEST))
        try:
            python = await Channel(box).ready()
        finally:
            await box.kill()
        image = Interpreter(path=sys.executable, version=python, binds=(), hidden=())
        return await packages.built(self._packages, image, self._home, None)


def chosen_runtime(wanted: str, present: list[str]) -> str:
    """`auto`: gVisor where the engine has it, else the engine's default, "".

    Raises:
        NoIsolation: another one is wanted, and the engine does not have it.
    """
    if wanted == "auto":
        return GVISOR if GVISOR in present else ""
    if wanted in present:
        return wanted
    raise NoIsolation(
        f"docker has no runtime {wanted!r}; it has {', '.join(sorted(present))}. Register it with the engine "
        "(`runtimes` in /etc/docker/daemon.json), or set SANDBOX_DOCKER_RUNTIME to auto"
    )


@contextlib.contextmanager
def _host_file() -> Iterator[str]:
    """A file that everybody on this machine may read, and nobody in a box."""
    fd, path = tempfile.mkstemp(prefix="holdfast-probe-")
    try:
        os.fchmod(fd, 0o644)
        yield path
    finally:
        os.close(fd)
        Path(path).unlink()
