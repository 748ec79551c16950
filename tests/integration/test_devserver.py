"""The dev server itself: its life, its file, and how it is built."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import time
import zipfile
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio import workflow
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from holdfast.config import Settings
from holdfast.errors import NoTemporal
from holdfast.temporal import attributes, binary
from holdfast.temporal.connect import connect
from holdfast.temporal.devserver import start
from tests.support.devserver import running, settings_for


@workflow.defn
class Waits:
    """Waits for one signal, and returns what it said."""

    def __init__(self) -> None:
        self.word = ""

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: bool(self.word))
        return self.word

    @workflow.signal
    def say(self, word: str) -> None:
        self.word = word


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "mein Projekt ü"


async def test_history_outlives_a_killed_server(home: Path) -> None:
    settings = settings_for(home)
    searchable = attributes.pairs(tenant="acme", task_type="program", trace_id="0" * 32, task_name="waits")
    first = await start(settings, headless=True)
    client = await connect(settings)
    await client.start_workflow(Waits.run, id="acme/1", task_queue="q", search_attributes=searchable)
    first.kill()

    async with running(settings):
        client = await connect(settings)
        handle = client.get_workflow_handle_for(Waits.run, "acme/1")
        await handle.signal(Waits.say, "still here")
        async with Worker(client, task_queue="q", workflows=[Waits], workflow_runner=UnsandboxedWorkflowRunner()):
            assert await handle.result() == "still here"
        assert (await handle.describe()).typed_search_attributes[attributes.TASK_NAME] == "waits"


async def test_closed_workflows_are_kept_for_30_days(home: Path) -> None:
    settings = settings_for(home)
    async with running(settings):
        client = await connect(settings)
        request = DescribeNamespaceRequest(namespace="default")
        found = await client.workflow_service.describe_namespace(request)
        assert found.config.workflow_execution_retention_ttl.seconds == 30 * 86400


async def test_missing_search_attributes_are_registered_once_by_many(home: Path) -> None:
    settings = settings_for(home)
    async with running(settings):
        client = await connect(await _with_new_namespace(settings))
        await asyncio.gather(*(attributes.ensure(client) for _ in range(3)))
        await attributes.ensure(client)
        assert await _count(client, "TenantId = 'acme' AND TraceId = 'x' AND SessionId = 'y'") == 0


async def _with_new_namespace(settings: Settings) -> Settings:
    client = await connect(settings)
    request = RegisterNamespaceRequest(namespace="other", workflow_execution_retention_period=Duration(seconds=86400))
    await client.workflow_service.register_namespace(request)
    return settings.model_copy(update={"temporal_namespace": "other"})


async def _count(client: Client, query: str) -> int:
    """A namespace, and its attributes, are seen by the server's parts a moment after they were registered."""
    async with asyncio.timeout(15):
        while True:
            try:
                return (await client.count_workflows(query)).count
            except RPCError:
                await asyncio.sleep(0.1)


async def test_namespace_of_the_settings_is_there(home: Path) -> None:
    settings = settings_for(home, temporal_namespace="mine")
    async with running(settings):
        assert await _count(await connect(settings), "TenantId = 'acme'") == 0


async def test_second_server_on_the_same_file_is_refused_by_name(home: Path) -> None:
    settings = settings_for(home)
    async with running(settings) as first:
        with pytest.raises(NoTemporal, match=f"pid {first.pid}.*HOLDFAST_HOME"):
            await start(settings_for(home), headless=True)


async def test_stopped_server_ends_well_and_frees_its_port(home: Path) -> None:
    settings = settings_for(home)
    for _ in range(2):
        server = await start(settings, headless=True)
        await server.stop()
        assert server.process.returncode == 0


PARENT = """
import asyncio, sys
from pathlib import Path
from holdfast.temporal.devserver import start
from tests.support.devserver import settings_for
server = asyncio.run(start(settings_for(Path(sys.argv[1])), headless=True))
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(PR_SET_PDEATHSIG)")
async def test_server_dies_with_a_killed_parent(home: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        str(home),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert parent.stdout
    child = int(await parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    async with asyncio.timeout(5):
        while _runs(child):
            await asyncio.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_server_that_accepts_and_never_answers_is_given_up_after_5_seconds(home: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(NoTemporal, match="no answer in 5 s"):
            await connect(settings_for(home, temporal_address=f"127.0.0.1:{silent.getsockname()[1]}"))
        assert time.monotonic() - began < 6


@pytest.fixture
def toolbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH has Go and no `temporal`; the cache is empty; Go finds a tiny `temporal` in a folder instead of a proxy."""
    go = shutil.which("go")
    if not go:
        pytest.skip("no go on PATH")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("go", "git", "cc", "gcc"):
        if path := shutil.which(name):
            (folder / name).symlink_to(path)
    module = _module(tmp_path / "proxy")
    changes = {"PATH": folder, "XDG_CACHE_HOME": tmp_path / "cache", "GOMODCACHE": tmp_path / "mod"}
    go_changes = {"GOPROXY": f"file://{module}", "GOSUMDB": "off", "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local"}
    for key, value in (changes | go_changes | {"HTTPS_PROXY": "http://127.0.0.1:1"}).items():
        monkeypatch.setenv(key, str(value))
    return tmp_path


def _module(proxy: Path) -> Path:
    """A Go module proxy in a folder, holding a program that knows only its name."""
    folder = proxy / "github.com" / "temporalio" / "cli" / "@v"
    folder.mkdir(parents=True)
    version = f"v{binary.VERSION}"
    mod = "module github.com/temporalio/cli\n\ngo 1.20\n"
    main = 'package main\n\nfunc main() { println("temporal version, built for a test") }\n'
    (folder / "list").write_text(f"{version}\n")
    (folder / f"{version}.info").write_text(f'{{"Version":"{version}"}}')
    (folder / f"{version}.mod").write_text(mod)
    with zipfile.ZipFile(folder / f"{version}.zip", "w") as archive:
        archive.writestr(f"github.com/temporalio/cli@{version}/go.mod", mod)
        archive.writestr(f"github.com/temporalio/cli@{version}/cmd/temporal/main.go", main)
    return proxy


@pytest.mark.slow
async def test_two_who_need_the_server_build_it_once(toolbox: Path) -> None:
    said: list[str] = []
    settings = settings_for(toolbox)
    found = await asyncio.gather(*(binary.find(settings, said.append) for _ in range(2)))
    assert found == [binary.cache_path()] * 2
    assert sum("Building the Temporal dev server" in line for line in said) == 1
    assert sorted(path.name for path in found[0].parent.iterdir()) == [".lock", f"temporal-{binary.VERSION}"]


@pytest.mark.slow
async def test_what_a_killed_build_left_is_removed(toolbox: Path) -> None:
    left = binary.cache_path().parent / ".new-left"
    left.mkdir(parents=True)
    (left / "temporal").write_text("half a program")
    await binary.find(settings_for(toolbox), lambda _line: None)
    assert not left.exists()


async def test_build_beyond_its_limit_is_stopped_and_leaves_nothing(toolbox: Path) -> None:
    with pytest.raises(NoTemporal, match=r"go install .*no end within 0 s"):
        await binary.find(settings_for(toolbox), lambda _line: None, build_seconds=0.001)
    assert [path.name for path in binary.cache_path().parent.iterdir()] == [".lock"]


async def test_download_behind_a_proxy_that_never_answers_ends_in_time(
    toolbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("GOPROXY", "off")
        began = time.monotonic()
        with pytest.raises(NoTemporal, match="download by the Temporal SDK: no end within 2 s"):
            await binary.find(settings_for(toolbox), lambda _line: None, download_seconds=2)
        assert time.monotonic() - began < 10
