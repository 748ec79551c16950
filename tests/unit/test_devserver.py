"""Where the dev server's program comes from, and how a server is reached; no server runs here."""

import socket
import time
from pathlib import Path

import pytest
from pydantic import BaseModel
from temporalio.common import SearchAttributeKey

from holdfast.contracts.message import BlobPart, Message, TextPart
from holdfast.errors import NoTemporal, SettingsInvalid
from holdfast.ports import free_port
from holdfast.temporal import attributes, binary
from holdfast.temporal.connect import connect, connection, converter
from holdfast.temporal.devserver import start
from tests.support.devserver import settings_for

CLOSED = "http://127.0.0.1:1"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on PATH, an empty cache and no network. Returns the folder that is PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, CLOSED)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return folder


def program(path: Path, body: str = "echo temporal version 9.9.9") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


async def test_program_named_in_the_settings_wins(bare: Path, tmp_path: Path) -> None:
    program(bare / "temporal")
    named = program(tmp_path / "mein Ordner ü" / "temporal")
    assert await binary.find(settings_for(tmp_path, temporal_bin=str(named))) == named


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("exit 3", "ended with 3"),
        ("echo something else", "which is not the Temporal CLI"),
        (None, "No such file"),
    ],
)
async def test_program_named_but_unusable_is_refused_not_replaced(
    bare: Path, tmp_path: Path, body: str | None, found: str
) -> None:
    program(bare / "temporal")
    named = tmp_path / "temporal"
    if body:
        program(named, body)
    with pytest.raises(NoTemporal, match=found) as error:
        await binary.find(settings_for(tmp_path, temporal_bin=str(named)))
    assert "HOLDFAST_TEMPORAL_BIN" in str(error.value)


async def test_program_on_path_comes_before_the_cache(bare: Path, tmp_path: Path) -> None:
    program(binary.cache_path())
    on_path = program(bare / "temporal")
    assert await binary.find(settings_for(tmp_path)) == on_path


async def test_broken_program_on_path_is_passed_over(bare: Path, tmp_path: Path) -> None:
    program(bare / "temporal", "exit 1")
    cached = program(binary.cache_path())
    assert await binary.find(settings_for(tmp_path)) == cached


async def test_finding_nothing_lists_all_that_was_tried_and_why(bare: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(NoTemporal) as error:
        await binary.find(settings_for(tmp_path), said.append)
    message = str(error.value)
    for part in ("PATH: no `temporal`", "cache: no ", "download by the Temporal SDK: ", "no `go` on PATH"):
        assert part in message
    assert "HOLDFAST_TEMPORAL_BIN" in message
    assert any("trying to download" in line for line in said)
    assert [path.name for path in binary.cache_path().parent.iterdir()] == [".lock"]


async def test_cache_that_cannot_be_written_is_one_of_the_reasons(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(NoTemporal, match="Not a directory"):
        await binary.find(settings_for(tmp_path), lambda _line: None)


async def test_programs_of_a_cluster_come_from_the_cache(bare: Path) -> None:
    cached = tuple(program(binary.cache_path(tool)) for tool in binary.CLUSTER)
    assert await binary.cluster() == cached


async def test_programs_of_a_cluster_need_go_where_none_is_cached(bare: Path) -> None:
    with pytest.raises(NoTemporal, match=r"temporal-server 1\.\d+\.\d+: go install go\.temporal\.io.*no `go` on PATH"):
        await binary.cluster()


async def test_program_is_built_from_its_module_into_the_cache(bare: Path) -> None:
    program(
        bare / "go", 'for word in "$@"; do :; done; printf "#!/bin/sh\necho temporal $word\n" >"$GOBIN/${word##*/}"'
    )
    mend = 'for file in "$GOBIN"/*@*; do mv "$file" "${file%@*}"; done; chmod +x "$GOBIN"/*'
    program(bare / "go", (bare / "go").read_text() + mend)
    for name in ("mv", "chmod", "sh"):
        (bare / name).symlink_to(f"/bin/{name}")
    server, schema = await binary.cluster(lambda _line: None)
    assert "go.temporal.io/server/cmd/server@v" in server.read_text()
    assert "go.temporal.io/server/cmd/tools/sql@v" in schema.read_text()


async def test_port_taken_names_port_and_variable(bare: Path, tmp_path: Path) -> None:
    program(bare / "temporal")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(NoTemporal) as error:
            await start(settings_for(tmp_path, temporal_address=f"127.0.0.1:{port}"))
        assert f"port {port}" in str(error.value) and "TEMPORAL_ADDRESS" in str(error.value)
        with pytest.raises(NoTemporal, match="HOLDFAST_TEMPORAL_UI_PORT"):
            await start(settings_for(tmp_path, temporal_ui_port=port))


async def test_dev_server_refuses_an_address_of_another_machine(tmp_path: Path) -> None:
    with pytest.raises(NoTemporal, match=r"temporal\.example:7233.*127\.0\.0\.1"):
        await start(settings_for(tmp_path, temporal_address="temporal.example:7233"))


async def test_server_that_ends_at_once_shows_the_end_of_its_log(bare: Path, tmp_path: Path) -> None:
    program(bare / "temporal", 'case "$1" in --version) echo temporal;; *) echo "disk is on fire"; exit 7;; esac')
    with pytest.raises(NoTemporal, match=r"ended at once with 7(.|\n)*disk is on fire"):
        await start(settings_for(tmp_path), headless=True)


async def test_server_down_is_said_at_once_with_address_and_remedy(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, temporal_address=f"127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(NoTemporal) as error:
        await connect(settings)
    assert time.monotonic() - began < 5
    for part in (settings.temporal_address, "Connection refused", "holdfast up", "TEMPORAL_ADDRESS"):
        assert part in str(error.value)


async def test_lazy_client_needs_no_server(tmp_path: Path) -> None:
    client = await connect(settings_for(tmp_path), lazy=True)
    assert client.identity.startswith("holdfast@")


def test_profile_of_the_temporal_cli_applies_where_nothing_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _profile(tmp_path, monkeypatch)
    settings = settings_for(tmp_path).model_construct(temporal_address="127.0.0.1:7233", temporal_namespace="default")
    settings.model_fields_set.clear()
    config = connection(settings)
    assert (config["target_host"], config["namespace"], config["api_key"]) == ("cloud.example:7233", "theirs", "k")


def test_key_of_a_profile_is_not_sent_to_another_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _profile(tmp_path, monkeypatch)
    config = connection(settings_for(tmp_path, temporal_address="127.0.0.1:7300"))
    assert config == {"target_host": "127.0.0.1:7300", "namespace": "default"}


def test_profile_that_does_not_parse_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _profile(tmp_path, monkeypatch, "[profile.default\n")
    with pytest.raises(SettingsInvalid, match=r"temporal\.toml"):
        connection(settings_for(tmp_path))


def _profile(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = "") -> None:
    file = folder / "temporal.toml"
    theirs = '[profile.default]\naddress = "cloud.example:7233"\nnamespace = "theirs"\napi_key = "k"\n'
    file.write_text(text or theirs)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    for name in ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def test_search_attributes_leave_out_what_is_unknown() -> None:
    found = attributes.pairs(tenant="acme", task_type="program", trace_id="0" * 32)
    assert {pair.key.name: pair.value for pair in found} == {
        "TenantId": "acme",
        "TaskType": "program",
        "TraceId": "0" * 32,
    }
    assert all(isinstance(pair.key, SearchAttributeKey) for pair in found)


class _Sample(BaseModel):
    name: str
    limit: int = 3


def test_histories_hold_no_field_that_nobody_set() -> None:
    payload_converter = converter().payload_converter
    (payload,) = payload_converter.to_payloads([_Sample(name="ü")])
    assert payload.data.decode() == '{"name":"ü"}'
    assert payload_converter.from_payloads([payload], [_Sample]) == [_Sample(name="ü", limit=3)]


def test_parts_of_a_message_are_told_apart_on_the_other_side() -> None:
    message = Message(role="user", parts=[TextPart(text="see"), BlobPart(ref="0" * 64, size_bytes=1)])
    payload_converter = converter().payload_converter
    assert payload_converter.from_payloads(payload_converter.to_payloads([message]), [Message]) == [message]
