"""HAProxy's PROXY protocol: what is read, and what is refused."""

import pytest

from penstock.wire.crc32c import crc32c
from penstock.wire.preface import ABSENT, BAD, FOUND, NEED_MORE
from penstock.wire.proxy_protocol import (
    LOCAL,
    MAX_V1_BYTES,
    MAX_V2_BYTES,
    PROXY,
    TCP,
    UDP,
    UNIX,
    UNIX_DATAGRAM,
    UNSPECIFIED,
    read_proxy_datagram,
    read_proxy_header,
)
from tests.unit.wire.proxy_headers import (
    BAD_HEADERS,
    BAD_LINES,
    IPV4_ADDRESSES,
    SIGNATURE,
    addresses,
    tlv,
    v2,
    with_checksum,
)

# --- version 1 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443",
            (TCP, "192.168.0.1", 56324, "192.168.0.11", 443),
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535",
            (TCP, "255.255.255.255", 65535, "255.255.255.255", 65535),
        ),
        ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0", (TCP, "0.0.0.0", 0, "0.0.0.0", 0)),
        ("PROXY TCP6 2001:DB8::1 ::1 1 2", (TCP, "2001:db8::1", 1, "::1", 2)),
        (
            f"PROXY TCP6 {':'.join(['ffff'] * 8)} {':'.join(['ffff'] * 8)} 65535 65535",
            (TCP, ":".join(["ffff"] * 8), 65535, ":".join(["ffff"] * 8), 65535),
        ),
        # As inet_ntop writes addresses of sockets that take both families.
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2", (TCP, "192.0.2.1", 1, "::1", 2)),
        ("PROXY UNKNOWN", (UNSPECIFIED, "", 0, "", 0)),
        ("PROXY UNKNOWN anything \n at \r all", (UNSPECIFIED, "", 0, "", 0)),
        (
            f"PROXY UNKNOWN {':'.join(['ffff'] * 8)} {':'.join(['ffff'] * 8)} 65535 65535",
            (UNSPECIFIED, "", 0, "", 0),
        ),
    ],
)
def test_lines_of_version_1(line: str, expected: tuple[str, str, int, str, int]) -> None:
    whole = line.encode() + b"\r\n"
    reading = read_proxy_header(whole + b"GET / HTTP/1.1\r\n\r\n")
    assert reading.outcome == FOUND
    assert reading.size == len(whole)
    assert addresses(reading.header) == expected
    assert reading.header is not None
    assert reading.header.command == PROXY
    assert reading.header.has_addresses == (expected[0] == TCP)
    for cut in range(len(whole)):
        assert read_proxy_header(whole[:cut]).outcome == NEED_MORE, cut


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_is_not_exactly_of_version_1_is_refused(line: str) -> None:
    reading = read_proxy_header(line.encode() + b"\r\nrest")
    assert reading.outcome == BAD
    assert reading.reason.startswith("PROXY header: ")
    assert reading.header is None


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY\r",
        b"PROXY H",
        b"PROXY TCP5",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY UNKNOWN" + b" " * (MAX_V1_BYTES - 13),
        b"PROXY TCP4 " + b"1" * (MAX_V1_BYTES - 11),
    ],
)
def test_what_no_further_byte_makes_valid_is_refused_at_once(data: bytes) -> None:
    assert read_proxy_header(data).outcome == BAD
    if len(data) == MAX_V1_BYTES:
        assert read_proxy_header(data[:-1]).outcome == NEED_MORE


def test_a_line_may_have_107_bytes_and_no_more() -> None:
    longest = b"PROXY UNKNOWN " + b"x" * (MAX_V1_BYTES - 16) + b"\r\n"
    assert read_proxy_header(longest).size == MAX_V1_BYTES
    assert read_proxy_header(b"PROXY UNKNOWN x" + longest[14:]).outcome == BAD


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROX ",
        b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b" PROXY UNKNOWN\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"\0",
        SIGNATURE[:11] + b"\r",
    ],
)
def test_what_begins_otherwise_has_no_header(data: bytes) -> None:
    assert read_proxy_header(data).outcome == ABSENT
    assert read_proxy_datagram(data).outcome == ABSENT


# --- version 2 ---------------------------------------------------------------------------------

UNIX_ADDRESSES = b"/run/a.sock".ljust(108, b"\0") + b"\0name".ljust(108, b"\0")


@pytest.mark.parametrize(
    ("transport", "block", "expected"),
    [
        (0x11, IPV4_ADDRESSES, (TCP, "192.0.2.1", 56324, "198.51.100.2", 443)),
        (0x12, IPV4_ADDRESSES, (UDP, "192.0.2.1", 56324, "198.51.100.2", 443)),
        (
            0x21,
            bytes.fromhex("20010db8") + bytes(11) + b"\1" + bytes(15) + b"\1\0\1\0\2",
            (TCP, "2001:db8::1", 1, "::1", 2),
        ),
        (
            0x22,
            bytes(10) + b"\xff\xff" + bytes.fromhex("c0000201") + bytes(15) + b"\1\0\1\0\2",
            (UDP, "192.0.2.1", 1, "::1", 2),
        ),
        (0x31, UNIX_ADDRESSES, (UNIX, "/run/a.sock", 0, "@name", 0)),
        (0x32, UNIX_ADDRESSES, (UNIX_DATAGRAM, "/run/a.sock", 0, "@name", 0)),
        (0x31, bytes(216), (UNIX, "", 0, "", 0)),
        (0x31, b"/" * 216, (UNIX, "/" * 108, 0, "/" * 108, 0)),
        (0x00, b"", (UNSPECIFIED, "", 0, "", 0)),
        (0x00, IPV4_ADDRESSES, (UNSPECIFIED, "", 0, "", 0)),
    ],
)
def test_headers_of_version_2(
    transport: int, block: bytes, expected: tuple[str, str, int, str, int]
) -> None:
    whole = v2(0x21, transport, block)
    reading = read_proxy_header(whole + b"rest")
    assert reading.outcome == FOUND, reading.reason
    assert reading.size == len(whole)
    assert addresses(reading.header) == expected
    assert reading.header is not None
    assert reading.header.has_addresses == (expected[0] in (TCP, UDP))
    for cut in range(len(whole)):
        assert read_proxy_header(whole[:cut]).outcome == NEED_MORE, cut


@pytest.mark.parametrize(
    ("transport", "block"),
    [
        (0x00, b""),
        (0x00, b"\xff" * 40),
        (0x11, IPV4_ADDRESSES),
        (0x11, b""),
        (0x11, IPV4_ADDRESSES + b"\x05\xff\xff"),
        (0xFF, b"\1"),
        (0x00, tlv(2, b"\xff") + tlv(5, bytes(129))),
    ],
)
def test_after_local_everything_is_passed_over(transport: int, block: bytes) -> None:
    whole = v2(0x20, transport, block)
    reading = read_proxy_header(whole + b"rest")
    assert (reading.outcome, reading.size) == (FOUND, len(whole)), reading.reason
    assert reading.header is not None
    assert (reading.header.command, reading.header.has_addresses) == (LOCAL, False)
    assert addresses(reading.header) == (UNSPECIFIED, "", 0, "", 0)


def test_tlvs_are_told_and_unknown_ones_kept_unread() -> None:
    ssl = tlv(0x20, b"\1\0\0\0\0" + tlv(0x21, b"TLSv1.3"))
    block = (
        IPV4_ADDRESSES
        + tlv(4, b"pad")
        + tlv(1, b"h2")
        + tlv(2, "bücher.example".encode())
        + ssl
        + tlv(0xEA, b"\1vpce-1")
        + tlv(5, b"i" * 128)
        + tlv(0xEA, b"")
        + tlv(4, b"")
    )
    for whole in (v2(0x21, 0x11, block), with_checksum(0x21, 0x11, block)):
        reading = read_proxy_header(whole + b"\0" * 9)
        header = reading.header
        assert header is not None, reading.reason
        assert reading.size == len(whole)
        assert (header.alpn, header.authority) == (b"h2", "bücher.example")
        assert header.unique_id == b"i" * 128
        assert header.others == [(0x20, ssl[3:]), (0xEA, b"\1vpce-1"), (0xEA, b"")]


def test_a_header_of_haproxy_is_read() -> None:
    """As HAProxy 2.6.12 sent it with ``proxy-v2-options crc32c,unique-id``."""
    whole = bytes.fromhex(
        "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 21 11 00 28 7f 00 00 01 7f 00 00 01 ad c6 46 ab"
        "03 00 04 70 c8 93 ae 05 00 12 69 64 2d 31 32 37 2e 30 2e 30 2e 31 2d 34 34 34 38 36"
    )
    reading = read_proxy_header(whole + b"GET / HTTP/1.1")
    assert (reading.outcome, reading.size) == (FOUND, len(whole))
    assert addresses(reading.header) == (TCP, "127.0.0.1", 44486, "127.0.0.1", 18091)
    assert reading.header is not None
    assert reading.header.unique_id == b"id-127.0.0.1-44486"


@pytest.mark.parametrize("which", BAD_HEADERS)
def test_a_header_of_version_2_that_breaks_its_rules_is_refused(which: str) -> None:
    reading = read_proxy_header(BAD_HEADERS[which] + b"rest")
    assert reading.outcome == BAD
    assert reading.reason.startswith("PROXY header: ")


def test_a_wrong_version_is_refused_before_the_rest_has_come() -> None:
    assert read_proxy_header(SIGNATURE + b"\x12").outcome == BAD


def test_a_header_is_bounded_before_it_has_come() -> None:
    longest = v2(0x21, 0x11, IPV4_ADDRESSES + tlv(4, bytes(MAX_V2_BYTES - 16 - 12 - 3)))
    assert read_proxy_header(longest).size == MAX_V2_BYTES
    length_over = (MAX_V2_BYTES - 16 + 1).to_bytes(2, "big")
    assert read_proxy_header(SIGNATURE + b"\x21\x11" + length_over).outcome == BAD


def test_a_datagram_holds_its_header_whole() -> None:
    whole = v2(0x21, 0x12, IPV4_ADDRESSES)
    reading = read_proxy_datagram(whole + b"payload")
    assert (reading.outcome, reading.size) == (FOUND, len(whole))
    assert reading.header is not None
    assert reading.header.transport == UDP
    for cut in range(len(SIGNATURE), len(whole)):
        assert read_proxy_datagram(whole[:cut]).outcome == BAD
    for cut in range(len(SIGNATURE)):
        assert read_proxy_datagram(whole[:cut]).outcome == ABSENT
    assert read_proxy_datagram(b"PROXY UNKNOWN\r\n").outcome == ABSENT


@pytest.mark.parametrize(
    ("data", "checksum"),
    [  # RFC 3720, appendix B.4, and the check value of the catalogues of CRCs
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_checksums(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum
