import socket
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from api.door import given_trace
from api.guard import Guard, is_loopback
from api.problems import Unauthorized
from api.server import listen
from holdfast.config import Settings
from holdfast.errors import Forbidden, SettingsInvalid
from holdfast.ports import free_port

TRACE = "0af7651916cd43dd8448eb211c80319c"


def guard(**settings: Any) -> Guard:
    return Guard(Settings(project=Path(), home=Path(), **settings))


def request(path: str = "/tasks", server: str = "127.0.0.1", **headers: str) -> dict[str, Any]:
    found = {"host": "127.0.0.1:8000", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in found.items()]
    return {"type": "http", "path": path, "headers": raw, "server": (server, 8000)}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9", "localhost:8000", "LOCALHOST", "localhost.", "[::1]:8000"]
)
def test_loopback_names_may_come_in(host: str) -> None:
    guard().check(request(host=host))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "10.0.0.5", "", "localhost:80:80", "[::1", "localhost/x", "a@localhost"],
)
def test_other_names_are_refused_on_loopback(host: str) -> None:
    with pytest.raises(Forbidden, match="HOLDFAST_URL"):
        guard().check(request(host=host))


def test_answers_do_not_wait_for_the_caller_to_acknowledge() -> None:
    port = free_port()
    listener = listen(Settings(project=Path(), home=Path(), port=port))
    with listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_name_of_the_url_setting_may_come_in() -> None:
    behind_proxy = guard(url="https://agents.example.org")
    behind_proxy.check(request(host="agents.example.org", origin="https://agents.example.org"))
    with pytest.raises(Forbidden):
        behind_proxy.check(request(host="agents.example.org", origin="https://example.org"))


def test_off_loopback_addresses_may_come_in_and_names_not() -> None:
    lan = guard(host="0.0.0.0", api_key="k")
    lan.check(request(server="10.0.0.5", host="10.0.0.5:8000", x_api_key="k"))
    with pytest.raises(Forbidden, match="evil"):
        lan.check(request(server="10.0.0.5", host="evil.example", x_api_key="k"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "api.example.org", ""])
def test_off_loopback_without_a_key_is_refused_at_start(host: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"API_KEY.*HOLDFAST_OPEN=1"):
        guard(host=host)
    guard(host=host, open_door=True)


def test_listener_that_uvicorn_opened_off_loopback_is_refused() -> None:
    with pytest.raises(Forbidden, match=r"listens on 10\.0\.0\.5"):
        guard().check(request(server="10.0.0.5", host="localhost"))
    guard(open_door=True).check(request(server="10.0.0.5", host="localhost"))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "file://", "http://127.0.0.1:80001"]
)
def test_page_of_another_origin_is_refused(origin: str) -> None:
    with pytest.raises(Forbidden, match="may not use this API"):
        guard().check(request(origin=origin))


@pytest.mark.parametrize(
    "sent", [{"x_api_key": "key ä"}, {"authorization": "Bearer key ä"}, {"authorization": "bearer  key ä"}]
)
def test_key_opens_in_both_headers(sent: dict[str, str]) -> None:
    # What a client sends as UTF-8 reaches ASGI as bytes.
    as_bytes = {name: value.encode().decode("latin-1") for name, value in sent.items()}
    guard(api_key="key ä").check(request(**as_bytes))


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({}, Unauthorized),
        ({"authorization": "Basic a2V5"}, Unauthorized),
        ({"authorization": "Bearer "}, Unauthorized),
        ({"x_api_key": "KEY"}, Forbidden),
        ({"x_api_key": "key "}, Forbidden),
        ({"authorization": "Bearer ke"}, Forbidden),
    ],
)
def test_missing_key_is_401_and_wrong_one_403(sent: dict[str, str], error: type[Forbidden]) -> None:
    with pytest.raises(Forbidden) as raised:
        guard(api_key="key").check(request(**sent))
    assert type(raised.value) is error


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health_needs_no_key_but_the_right_host(path: str) -> None:
    guard(api_key="key").check(request(path))
    with pytest.raises(Forbidden):
        guard(api_key="key").check(request(path, host="evil.example"))


@pytest.mark.parametrize("path", ["/healthy", "/health/", "/health/live/x", "/docs", "/openapi.json", "/"])
def test_all_else_needs_the_key(path: str) -> None:
    with pytest.raises(Unauthorized):
        guard(api_key="key").check(request(path))


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
        ({"traceparent": f"cc-{TRACE}-b7ad6b7169203331-01-more"}, TRACE),
        ({"x-trace-id": TRACE}, TRACE),
        ({"x-trace-id": "0AF76519-16cd-43dd-8448-eb211c80319c"}, TRACE),
        ({"traceparent": "nonsense", "x-trace-id": TRACE}, TRACE),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, None),
        ({"x-trace-id": "abc-123"}, None),
        ({"x-trace-id": TRACE + "\n"}, None),
        ({}, None),
    ],
)
def test_trace_id_is_taken_if_it_is_one(headers: dict[str, str], trace: str | None) -> None:
    assert given_trace(Headers(headers)) == trace


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("localhost.evil", False),
        ("", False),
    ],
)
def test_loopback_is_known(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


def test_what_holdfast_sends_to_models_is_refused() -> None:
    with pytest.raises(Forbidden, match="LLM_BASE_URL"):
        guard().check(request(x_holdfast_task=TRACE))
