"""The client behind trusted proxies is one address, however it is written."""

import pytest

from penstock.wire.forwarding import Hop, forwarded_request
from penstock.wire.http1 import parse_request
from penstock.wire.networks import Networks, canonical_address
from penstock.wire.origin import Origin, origin_of

TRUSTED = Networks(("10.0.0.0/8", "fd00::/8"))


def origin(*lines: str, peer: str = "10.0.0.1") -> Origin:
    head = "\r\n".join(["GET / HTTP/1.1", "Host: a", *lines, "", ""])
    return origin_of(parse_request(head.encode(), 8192, 100), peer, TRUSTED)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (" 203.0.113.9:51234 ", "203.0.113.9"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:8443", "2001:db8::1"),
        ('"[2001:db8::1]:_port"', "2001:db8::1"),
        ("::ffff:10.0.0.6", "10.0.0.6"),
        ("[::ffff:a00:6]:80", "10.0.0.6"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("unknown", ""),
        ("_hidden", ""),
        ("", ""),
        ("203.0.113.9:port", ""),
        ("[::1", ""),
        ("[::1]x", ""),
        ("010.0.0.1", ""),
        ("a.example", ""),
    ],
)
def test_address_has_one_spelling(text: str, address: str) -> None:
    assert canonical_address(text) == address


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ("203.0.113.9:51234, 10.0.0.6:8443", "203.0.113.9"),
        ("203.0.113.9, ::ffff:10.0.0.6", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9:1, [fd00::1]:2", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("10.0.0.7, 10.0.0.6:80", "10.0.0.7"),
        ("203.0.113.9,, 10.0.0.6,", "203.0.113.9"),
        ("203.0.113.9, unknown, 10.0.0.6", "10.0.0.6"),
        ("203.0.113.9, <script>", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_client_is_the_nearest_address_that_is_no_proxys(told: str, client: str) -> None:
    assert origin(f"X-Forwarded-For: {told}").address == client
    assert origin(f"X-Forwarded-For: {told}", peer="10.0.0.1").address == client


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('for="[2001:db8::1]:4711";proto=https', "2001:db8::1"),
        ("for=203.0.113.9;proto=https, For=10.0.0.6", "203.0.113.9"),
        ('for="203.0.113.9:80" ; by=10.0.0.6 ,for="_x, y;z", for=10.0.0.7', "10.0.0.7"),
        ("for=6.6.6.6, for=203.0.113.9, for=fd00::1", "203.0.113.9"),
        ("proto=https", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ('for="203.0.113.9', "10.0.0.1"),
        (", for=203.0.113.9", "203.0.113.9"),
    ],
)
def test_forwarded_is_believed_as_well(told: str, client: str) -> None:
    assert origin(f"Forwarded: {told}").address == client


def test_several_lines_are_one_list() -> None:
    assert origin("Forwarded: for=9.9.9.9", "Forwarded: for=10.0.0.6").address == "9.9.9.9"
    lines = ("X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 10.0.0.6:1")
    assert origin(*lines).address == "9.9.9.9"


def test_x_forwarded_for_counts_where_both_are_there() -> None:
    """A proxy that writes it alone passes on a Forwarded that its client made up."""
    assert origin("Forwarded: for=6.6.6.6", "X-Forwarded-For: 9.9.9.9").address == "9.9.9.9"


def test_strangers_are_not_heard() -> None:
    found = origin("Forwarded: for=6.6.6.6;proto=https", "X-Forwarded-For: 6.6.6.6", peer="9.9.9.9")
    assert (found.address, found.proto, found.forwarded, found.forwarded_for) == (
        "9.9.9.9",
        b"",
        [],
        [],
    )


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3"])
@pytest.mark.parametrize("network", ["10.0.0.0/8", "::ffff:10.0.0.0/104"])
def test_mapped_addresses_are_those_they_stand_for(peer: str, network: str) -> None:
    assert Networks((network,)).holds(peer)


def forwarded(*lines: str) -> dict[str, str]:
    head = parse_request(
        "\r\n".join(["GET / HTTP/1.1", "Host: a", *lines, "", ""]).encode(), 8192, 100
    )
    hop = Hop("10.0.0.1", "http", True, b"v", origin_of(head, "10.0.0.1", TRUSTED))
    sent = forwarded_request(head, b"/", b"a", hop, []).http1().decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in sent)


def test_what_one_field_tells_is_told_on_in_both() -> None:
    told = forwarded('Forwarded: for="[2001:db8::1]:5";proto=HTTPS;host="b.example", for=_x')
    assert told["X-Forwarded-For"] == "2001:db8::1, unknown, 10.0.0.1"
    told = forwarded('Forwarded: for="[2001:db8::1]:5";proto=HTTPS;host="b.example"')
    assert told["X-Forwarded-Proto"] == "https"
    assert told["X-Forwarded-Host"] == "b.example"
    told = forwarded("X-Forwarded-For: [2001:db8::1]:5, 10.0.0.6:1", "X-Forwarded-Proto: https")
    assert told["X-Forwarded-For"] == "[2001:db8::1]:5, 10.0.0.6:1, 10.0.0.1"
    expected = 'for="[2001:db8::1]", for=10.0.0.6, for=10.0.0.1;proto=http;host="a"'
    assert told["Forwarded"] == expected
