"""WebSocket's handshake, with wsproto on the other side, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request

from penstock.wire.http1 import Field, parse_request, parse_response
from penstock.wire.websocket_handshake import (
    ONLY_IN_HTTP1,
    accept_key,
    accepts,
    handshake_key,
    has_version_13,
    key_from,
)

# RFC 6455, 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def fields(*pairs: tuple[str, str]) -> list[Field]:
    return [(name.lower().encode(), name.encode(), value.encode()) for name, value in pairs]


def request(**changes: str | None) -> list[Field]:
    """The example of RFC 6455, 1.2, with some values changed or left out (None)."""
    values: dict[str, str | None] = {
        "host": "server.example.com",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": KEY.decode(),
        "sec-websocket-version": "13",
    }
    values.update({name.replace("_", "-"): value for name, value in changes.items()})
    return fields(*[(name, value) for name, value in values.items() if value is not None])


def test_the_key_of_the_rfc_is_answered_as_there() -> None:
    assert accept_key(KEY) == ACCEPT
    assert key_from(b"the sample nonce") == KEY
    assert handshake_key(b"GET", 1, request()) == KEY


@pytest.mark.parametrize(
    "changed",
    [
        request(upgrade="WebSocket"),
        request(upgrade="h2c, websocket"),
        request(connection="keep-alive,\tUPGRADE"),
        [*request(connection="keep-alive"), *fields(("Connection", "upgrade"))],
    ],
)
def test_a_handshake_may_be_spelt_in_several_ways(changed: list[Field]) -> None:
    assert handshake_key(b"GET", 1, changed) == KEY


@pytest.mark.parametrize(
    "changed",
    [
        request(upgrade=None),
        request(upgrade="websockets"),
        request(upgrade="h2c"),
        request(connection=None),
        request(connection="keep-alive"),
        request(sec_websocket_version=None),
        request(sec_websocket_version="8"),
        request(sec_websocket_version="13, 8"),
        [*request(), *fields(("Sec-WebSocket-Version", "13"))],
        request(sec_websocket_key=None),
        request(sec_websocket_key=""),
        request(sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ"),
        request(sec_websocket_key="dGhlIHNhbXBsZSBub25j"),
        request(sec_websocket_key="dGhlIHNhbXBsZSBub25jZXM="),
        request(sec_websocket_key="dGhlIHNhbXBsZSBub25j!ZQ=="),
        request(sec_websocket_key="ÄGhlIHNhbXBsZSBub25jZQ=="),
        [*request(), *fields(("Sec-WebSocket-Key", KEY.decode()))],
    ],
)
def test_what_lacks_a_part_is_no_handshake(changed: list[Field]) -> None:
    assert handshake_key(b"GET", 1, changed) == b""


def test_a_handshake_is_a_get_of_http_1_1() -> None:
    assert handshake_key(b"POST", 1, request()) == b""
    assert handshake_key(b"get", 1, request()) == b""
    assert handshake_key(b"GET", 0, request()) == b""


def test_over_http_2_the_version_is_asked_for_without_a_key() -> None:
    """RFC 8441, 5.1: its example."""
    asked = fields(("sec-websocket-protocol", "chat"), ("sec-websocket-version", "13"))
    assert has_version_13(asked)
    assert not has_version_13(asked[:1])
    assert not has_version_13(fields(("sec-websocket-version", "12")))
    assert [each for each in request() if each[0] not in ONLY_IN_HTTP1] == fields(
        ("host", "server.example.com"), ("sec-websocket-version", "13")
    )


def agreed(**changes: str | None) -> list[Field]:
    values: dict[str, str | None] = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": ACCEPT.decode(),
    }
    values.update({name.replace("_", "-"): value for name, value in changes.items()})
    return fields(*[(name, value) for name, value in values.items() if value is not None])


def test_a_server_agrees_with_101_and_the_key_understood() -> None:
    assert accepts(101, agreed(), KEY)
    assert accepts(101, agreed(upgrade="WebSocket", connection="upgrade, x"), KEY)
    for status in (100, 200, 426):
        assert not accepts(status, agreed(), KEY)
    for other in (
        agreed(upgrade=None),
        agreed(upgrade="h2c"),
        agreed(upgrade="websocket, h2c"),
        agreed(connection=None),
        agreed(sec_websocket_accept=None),
        agreed(sec_websocket_accept=ACCEPT.decode().lower()),
        [*agreed(), *fields(("Sec-WebSocket-Accept", ACCEPT.decode()))],
    ):
        assert not accepts(101, other, KEY)


@given(st.binary(min_size=16, max_size=16))
def test_every_key_is_one(chance: bytes) -> None:
    key = key_from(chance)
    assert handshake_key(b"GET", 1, request(sec_websocket_key=key.decode())) == key


@given(st.binary(max_size=40).filter(lambda chance: len(chance) != 16))
def test_a_key_is_made_of_16_bytes(chance: bytes) -> None:
    with pytest.raises(ValueError):
        key_from(chance)


@given(st.binary(max_size=40))
def test_any_bytes_may_stand_for_a_key(value: bytes) -> None:
    changed = [*request(sec_websocket_key=None), (b"sec-websocket-key", b"", value)]
    assert handshake_key(b"GET", 1, changed) in (b"", value)


def test_wsproto_and_we_shake_hands_both_ways() -> None:
    client = WSConnection(ConnectionType.CLIENT)
    asked = client.send(Request(host="a.example", target="/chat", subprotocols=["v1"]))
    head = parse_request(asked, 100, 20)
    key = handshake_key(head.method, head.minor, head.fields)
    assert key

    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(asked)
    list(server.events())
    answered = server.send(AcceptConnection(subprotocol="v1"))
    response = parse_response(answered)
    assert accepts(response.status, response.fields, key)
    assert not accepts(response.status, response.fields, key_from(bytes(16)))

    ours = b"\r\n".join(
        [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: upgrade",
            b"Sec-WebSocket-Accept: " + accept_key(key),
            b"Sec-WebSocket-Protocol: v1",
            b"\r\n",
        ]
    )
    client.receive_data(ours)
    (event,) = client.events()
    assert isinstance(event, AcceptConnection)
    assert event.subprotocol == "v1"
