"""Headers of HAProxy's PROXY protocol, written; read again; and damaged on the way."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.preface import BAD, FOUND
from penstock.wire.proxy_protocol import (
    LOCAL,
    MAX_V1_BYTES,
    MAX_V2_BYTES,
    PROXY,
    TCP,
    UDP,
    UNIX,
    UNIX_DATAGRAM,
    ProxyHeader,
    ProxyReading,
    read_proxy_header,
)
from penstock.wire.proxy_writing import V1_UNKNOWN, V2_LOCAL, write_v1, write_v2
from tests.unit.wire.proxy_headers import (
    IPV4_ADDRESSES,
    SIGNATURE,
    addresses,
    tlv,
    v2,
    with_checksum,
)


def told(header: ProxyHeader | None) -> dict[str, object]:
    """Everything that a header says."""
    assert header is not None
    names = ["command", "transport", "source", "source_port", "destination", "destination_port"]
    beside = ["alpn", "authority", "unique_id", "others"]
    return {name: getattr(header, name) for name in [*names, *beside]}


def test_a_line_is_written_as_the_specification_shows_it() -> None:
    header = ProxyHeader(PROXY, TCP, "192.168.0.1", 56324, "192.168.0.11", 443)
    assert write_v1(header) == b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"


def test_a_binary_header_is_written_as_the_specification_lays_it_out() -> None:
    header = ProxyHeader(PROXY, TCP, "192.0.2.1", 56324, "198.51.100.2", 443)
    assert write_v2(header) == v2(0x21, 0x11, IPV4_ADDRESSES)
    header.authority = "a.example"
    header.alpn = b"h2"
    header.unique_id = b"id"
    block = IPV4_ADDRESSES + tlv(1, b"h2") + tlv(2, b"a.example") + tlv(5, b"id")
    assert write_v2(header) == v2(0x21, 0x11, block)
    assert write_v2(header, checksum=True) == with_checksum(0x21, 0x11, block)


def test_a_health_check_says_local() -> None:
    assert v2(0x20, 0, b"") == V2_LOCAL == write_v2(ProxyHeader(LOCAL))


def test_addresses_of_two_families_are_both_written_as_ipv6() -> None:
    header = ProxyHeader(PROXY, TCP, "192.0.2.1", 1, "2001:db8::1", 2)
    assert write_v1(header) == b"PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 2\r\n"
    for whole in (write_v1(header), write_v2(header)):
        assert addresses(read_proxy_header(whole).header) == addresses(header)


def test_version_1_says_unknown_of_what_it_cannot_write() -> None:
    for header in (
        ProxyHeader(LOCAL),
        ProxyHeader(PROXY),
        ProxyHeader(PROXY, UDP, "192.0.2.1", 1, "192.0.2.2", 2),
        ProxyHeader(PROXY, UNIX, "/a", 0, "/b", 0),
    ):
        assert write_v1(header) == V1_UNKNOWN == b"PROXY UNKNOWN\r\n"


def with_unique_id(size: int) -> ProxyHeader:
    header = ProxyHeader(LOCAL)
    header.unique_id = bytes(size)
    return header


def with_others(*sizes: int) -> ProxyHeader:
    header = ProxyHeader(LOCAL)
    header.others = [(0xE0, bytes(size)) for size in sizes]
    return header


@pytest.mark.parametrize("write", [write_v1, write_v2])
@pytest.mark.parametrize(
    "header",
    [
        ProxyHeader(PROXY, TCP, "a.example", 1, "192.0.2.1", 2),
        ProxyHeader(PROXY, TCP, "192.0.2.1", 1, "", 2),
        ProxyHeader(PROXY, TCP, "192.0.2.1\r\n", 1, "192.0.2.2", 2),
        ProxyHeader(PROXY, TCP, "192.0.2.1", -1, "192.0.2.2", 2),
        ProxyHeader(PROXY, TCP, "192.0.2.1", 1, "192.0.2.2", 65536),
    ],
)
def test_nothing_is_written_of_what_is_no_address_or_port(
    write: Callable[[ProxyHeader], bytes], header: ProxyHeader
) -> None:
    with pytest.raises(ValueError):
        write(header)


@pytest.mark.parametrize(
    "header",
    [
        with_unique_id(129),
        with_others(4096),
        with_others(70_000),
        with_others(4077, 0),
        ProxyHeader(PROXY, UNIX, "/" * 109, 0, "", 0),
    ],
)
def test_nothing_is_written_that_would_be_refused(header: ProxyHeader) -> None:
    with pytest.raises(ValueError):
        write_v2(header)


IP_ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(0, 2**128 - 1)
    .map(IPv6Address)
    .filter(lambda address: address.ipv4_mapped is None)
    .map(str),
)
PORTS = st.integers(0, 65535)
# "@" alone would be an abstract name of no bytes, which is the same as none.
PATHS = st.text(st.characters(codec="ascii", min_codepoint=33), max_size=108).filter("@".__ne__)


@st.composite
def headers(draw: st.DrawFn) -> ProxyHeader:
    transport = draw(st.sampled_from((TCP, UDP, UNIX, UNIX_DATAGRAM)))
    if transport in (TCP, UDP):
        client = draw(IP_ADDRESSES), draw(PORTS), draw(IP_ADDRESSES), draw(PORTS)
    else:
        client = draw(PATHS), 0, draw(PATHS), 0
    header = ProxyHeader(PROXY, transport, *client)
    header.alpn = draw(st.binary(max_size=20))
    header.authority = draw(st.text(st.characters(codec="utf-8"), max_size=80))
    header.unique_id = draw(st.binary(max_size=128))
    kinds = st.integers(6, 255)
    header.others = draw(st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=4))
    return header


@given(headers(), st.booleans(), st.binary(max_size=30))
def test_what_was_written_in_version_2_is_read_again(
    header: ProxyHeader, checksum: bool, rest: bytes
) -> None:
    whole = write_v2(header, checksum)
    reading = read_proxy_header(whole + rest)
    assert reading.outcome == FOUND, reading.reason
    assert reading.size == len(whole)
    assert told(reading.header) == told(header)


@given(IP_ADDRESSES, PORTS, IP_ADDRESSES, PORTS, st.binary(max_size=30))
def test_what_was_written_in_version_1_is_read_again(
    source: str, source_port: int, destination: str, destination_port: int, rest: bytes
) -> None:
    header = ProxyHeader(PROXY, TCP, source, source_port, destination, destination_port)
    whole = write_v1(header)
    assert len(whole) <= MAX_V1_BYTES
    reading = read_proxy_header(whole + rest)
    assert (reading.outcome, reading.size) == (FOUND, len(whole))
    assert told(reading.header) == told(header)


def holds_together(reading: ProxyReading, data: bytes) -> None:
    assert (reading.header is not None) == (reading.outcome == FOUND)
    assert bool(reading.reason) == (reading.outcome == BAD)
    assert 0 <= reading.size <= min(len(data), MAX_V2_BYTES)
    if reading.header is not None and reading.header.has_addresses:
        written = read_proxy_header(write_v2(reading.header))
        assert told(written.header) == told(reading.header)


@given(headers(), st.data())
def test_a_checksum_tells_of_a_changed_bit_in_command_addresses_and_itself(
    header: ProxyHeader, data: st.DataObject
) -> None:
    whole = bytearray(write_v2(header, checksum=True))
    ip_version = 6 if ":" in header.source + header.destination else 4
    if header.transport in (UNIX, UNIX_DATAGRAM):
        addresses_bytes = 216
    else:
        addresses_bytes = 36 if ip_version == 6 else 12
    end = len(whole)
    places = [12, *range(16, 16 + addresses_bytes), *range(end - 4, end)]
    whole[data.draw(st.sampled_from(places))] ^= 1 << data.draw(st.integers(0, 7))
    assert read_proxy_header(bytes(whole)).outcome == BAD


@given(headers(), st.booleans(), st.data())
def test_a_damaged_header_is_read_or_refused_and_nothing_else(
    header: ProxyHeader, checksum: bool, data: st.DataObject
) -> None:
    whole = write_v2(header, checksum)
    at = data.draw(st.integers(0, len(whole)))
    to = data.draw(st.integers(at, min(len(whole), at + 8)))
    changed = whole[:at] + data.draw(st.binary(max_size=8)) + whole[to:]
    holds_together(read_proxy_header(changed), changed)


@given(st.sampled_from(("TCP4", "TCP6", "UNKNOWN")), st.data())
def test_a_damaged_line_is_read_or_refused_and_nothing_else(
    family: str, data: st.DataObject
) -> None:
    address = "192.0.2.1" if family == "TCP4" else "2001:db8::1"
    whole = f"PROXY {family} {address} {address} 1234 80\r\n".encode()
    at = data.draw(st.integers(0, len(whole)))
    to = data.draw(st.integers(at, min(len(whole), at + 4)))
    changed = whole[:at] + data.draw(st.binary(max_size=4)) + whole[to:]
    holds_together(read_proxy_header(changed), changed)


@given(st.binary(max_size=300))
def test_whatever_follows_a_signature_is_read_or_refused(data: bytes) -> None:
    for beginning in (SIGNATURE, SIGNATURE + b"\x21", b"PROXY ", b""):
        holds_together(read_proxy_header(beginning + data), beginning + data)
