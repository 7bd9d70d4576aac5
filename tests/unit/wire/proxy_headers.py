"""PROXY headers put together by hand, from section 2.2 of HAProxy's doc/proxy-protocol.txt."""

from penstock.wire.crc32c import crc32c
from penstock.wire.proxy_protocol import ProxyHeader

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
IPV4_ADDRESSES = bytes.fromhex("c0000201 c6336402 dc04 01bb")  # 192.0.2.1:56324 → 198.51.100.2:443


def v2(command: int, transport: int, block: bytes) -> bytes:
    return SIGNATURE + bytes((command, transport)) + len(block).to_bytes(2, "big") + block


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def addresses(header: ProxyHeader | None) -> tuple[str, str, int, str, int]:
    assert header is not None
    source = (header.source, header.source_port)
    return header.transport, *source, header.destination, header.destination_port


def with_checksum(command: int, transport: int, block: bytes) -> bytes:
    whole = v2(command, transport, block + tlv(3, bytes(4)))
    return whole[:-4] + crc32c(whole).to_bytes(4, "big")


BAD_LINES = [
    "PROXY",
    "PROXY ",
    "PROXYTCP4 192.0.2.1 192.0.2.2 1 2",
    "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2",
    "PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2",
    "PROXY tcp4 192.0.2.1 192.0.2.2 1 2",
    "PROXY TCP 192.0.2.1 192.0.2.2 1 2",
    "PROXY TCP5 192.0.2.1 192.0.2.2 1 2",
    "PROXY UDP4 192.0.2.1 192.0.2.2 1 2",
    "PROXY UNKNOWNS",
    "PROXY unknown",
    "PROXY TCP4",
    "PROXY TCP4 192.0.2.1",
    "PROXY TCP4 192.0.2.1 192.0.2.2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 ",
    "PROXY TCP4  192.0.2.1 192.0.2.2 1 2",
    "PROXY TCP4 192.0.2.1  192.0.2.2 1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2  1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1  2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 01 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 00",
    "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536",
    "PROXY TCP4 192.0.2.1 192.0.2.2 99999 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 111111 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 0x1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 ١ 2",
    "PROXY TCP4 192.0.2.01 192.0.2.2 1 2",
    "PROXY TCP4 192.0.2.256 192.0.2.2 1 2",
    "PROXY TCP4 192.0.2 192.0.2.2 1 2",
    "PROXY TCP4 192.0.2.1.1 192.0.2.2 1 2",
    "PROXY TCP4 192.0.2. 192.0.2.2 1 2",
    "PROXY TCP4 3221225985 192.0.2.2 1 2",
    "PROXY TCP4 ::1 ::1 1 2",
    "PROXY TCP4 192.0.2.1 ::1 1 2",
    "PROXY TCP4 a.example b.example 1 2",
    "PROXY TCP6 192.0.2.1 192.0.2.2 1 2",
    "PROXY TCP6 192.0.2.1:80 ::1 1 2",
    "PROXY TCP6 ::1 192.0.2.2 1 2",
    "PROXY TCP6 [::1] ::1 1 2",
    "PROXY TCP6 fe80::1%eth0 ::1 1 2",
    "PROXY TCP6 ::1::1 ::1 1 2",
    "PROXY TCP6 : ::1 1 2",
    "PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2",
    "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2",
    "PROXY TCP6 12345::1 ::1 1 2",
    "PROXY TCP6 ::g ::1 1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1\n2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\0",
]
BAD_HEADERS = {
    "version 1 in binary": v2(0x11, 0x11, IPV4_ADDRESSES),
    "version 3": v2(0x31, 0x11, IPV4_ADDRESSES),
    "command 2": v2(0x22, 0x11, IPV4_ADDRESSES),
    "command 15": v2(0x2F, 0x11, IPV4_ADDRESSES),
    "family 4": v2(0x21, 0x41, bytes(300)),
    "transport 3": v2(0x21, 0x13, IPV4_ADDRESSES),
    "a family without a transport": v2(0x21, 0x10, IPV4_ADDRESSES),
    "a transport without a family": v2(0x21, 0x01, IPV4_ADDRESSES),
    "no room for IPv4": v2(0x21, 0x11, IPV4_ADDRESSES[:-1]),
    "no room for IPv6": v2(0x21, 0x21, bytes(35)),
    "no room for paths": v2(0x21, 0x31, bytes(215)),
    "nothing": v2(0x21, 0x11, b""),
    "a TLV cut in its head": v2(0x21, 0x11, IPV4_ADDRESSES + b"\4\0"),
    "a TLV longer than the rest": v2(0x21, 0x11, IPV4_ADDRESSES + b"\4\0\2x"),
    "bytes after the last TLV": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(4, b"") + b"x"),
    "a unique id of 129 bytes": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(5, bytes(129))),
    "an authority in Latin-1": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(2, b"b\xfccher")),
    "two authorities": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(2, b"a") + tlv(2, b"b")),
    "two protocols": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(1, b"a") + tlv(1, b"a")),
    "two unique ids": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(5, b"") + tlv(5, b"b")),
    "a checksum of zero": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(3, bytes(4))),
    "a checksum of 3 bytes": v2(0x21, 0x11, IPV4_ADDRESSES + tlv(3, bytes(3))),
    "a wrong checksum after LOCAL": v2(0x20, 0, tlv(3, b"\1\2\3\4")),
    "a wrong checksum without addresses": v2(0x21, 0, tlv(3, b"\1\2\3\4")),
}
