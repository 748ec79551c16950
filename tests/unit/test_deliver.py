"""What is posted to other systems: its signature, and where it may go."""

import base64
import hashlib
import hmac
from collections.abc import Iterator

import pytest

from activities.deliver import Delivery, NotTaken, Refused, deliver, signature
from holdfast.errors import SpecInvalid
from holdfast.webhooks import public_address, read_webhooks
from tests.support.webhooks import Receiver


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as one:
        yield one


def test_signature_is_that_of_the_standards_own_example() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    what = Delivery(url="", id="msg_p5jXN8AQM9LWM0D4loKWxJek", body={}, secret=secret)
    headers = signature(what, body, 1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (what.id, "1614265330")


def test_any_text_is_a_secret_and_without_one_nothing_is_signed() -> None:
    what = Delivery(url="", id="1", body={}, secret="grün")
    mac = hmac.new("grün".encode(), b"1.7.{}", hashlib.sha256).digest()
    assert signature(what, b"{}", 7)["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
    assert "webhook-signature" not in signature(Delivery(url="", id="1", body={}), b"{}", 7)
    with pytest.raises(Refused, match="no base64"):
        signature(Delivery(url="", id="1", body={}, secret="whsec_!"), b"{}", 7)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1"]
)
def test_private_addresses_are_told_from_public_ones(host: str) -> None:
    with pytest.raises(ValueError, match="no public address"):
        public_address(host, 80)
    assert public_address("8.8.8.8", 443) == "8.8.8.8"


@pytest.mark.parametrize("host", ["::ffff:127.0.0.1", "fe80::1", "fd00::1", "localhost", "2130706433"])
def test_private_addresses_are_known_in_every_writing(host: str) -> None:
    with pytest.raises(ValueError, match="no public address"):
        public_address(host, 80)


async def test_private_address_is_not_asked_if_that_is_forbidden(receiver: Receiver) -> None:
    before = len(receiver.taken)
    with pytest.raises(Refused, match="HOLDFAST_WEBHOOKS_PRIVATE"):
        await deliver(Delivery(url=f"{receiver.url}/x", id="1", body={}, may_be_private=False))
    assert len(receiver.taken) == before


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "http://", "http://u:p@127.0.0.1/", "file:///etc/passwd", "http://a:99999/"]
)
async def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(Refused):
        await deliver(Delivery(url=url, id="1", body={}))


async def test_nobody_there_is_tried_again(receiver: Receiver) -> None:
    with pytest.raises(NotTaken, match="gave no answer"):
        await deliver(Delivery(url="http://127.0.0.1:1/", id="1", body={}))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("webhooks: [{url: 'ftp://x/', topics: [a]}]", "webhooks[0].url"),
        ("webhooks: [{url: 'http://u:p@x/', topics: [a]}]", "webhooks[0].url"),
        ("webhooks: [{url: 'http://x/', topics: []}]", "webhooks[0].topics"),
        ("webhooks: [{url: 'http://x/', topics: [a..b]}]", "webhooks[0].topics[0]"),
        ("webhooks: [{url: 'http://x/', topics: [a], secret: 'my key'}]", "webhooks[0].secret"),
        ("webhooks: [{url: 'http://x/', topics: [a], key: x}]", "webhooks[0].key"),
        ("hooks: []", "hooks"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_line(text: str, key: str) -> None:
    with pytest.raises(SpecInvalid) as found:
        read_webhooks(f"# mine\n{text}", "webhooks.yaml")
    assert (found.value.file, found.value.line, found.value.key) == ("webhooks.yaml", 2, key)
