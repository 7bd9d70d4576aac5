"""HAProxy's PROXY protocol, versions 1 and 2: who the client of a relayed connection is.

The header stands before everything else on a connection, before TLS too, or before a datagram.
Only a peer that is trusted may be asked for one: whoever writes it can name any client (section 5).
``proxy_writing`` has the other direction. Source: HAProxy, doc/proxy-protocol.txt.
"""

import re
from ipaddress import IPv6Address
from typing import Final

from penstock.wire.crc32c import crc32c
from penstock.wire.preface import ABSENT, BAD, FOUND, NEED_MORE

V1_START: Final = b"PROXY"
V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
MAX_V1_BYTES: Final = 107  # section 2.1, CRLF included
# Of a whole header, as nginx has it. The protocol's own bound is 65,551, but it also says that a
# header is always smaller than a TCP segment.
MAX_V2_BYTES: Final = 4096
MAX_UNIQUE_ID_BYTES: Final = 128  # section 2.2.5

LOCAL: Final = "local"
PROXY: Final = "proxy"

TCP: Final = "tcp"
UDP: Final = "udp"
UNIX: Final = "unix"
UNIX_DATAGRAM: Final = "unix-datagram"
UNSPECIFIED: Final = "unspecified"

V2_FIXED_BYTES: Final = 16  # signature, version and command, transport, length
VERSION_2: Final = 0x20
COMMAND_LOCAL: Final = 0
COMMAND_PROXY: Final = 1
FAMILY_IPV4: Final = 0x10
FAMILY_IPV6: Final = 0x20
FAMILY_UNIX: Final = 0x30
STREAM: Final = 1
DATAGRAM: Final = 2
UNIX_PATH_BYTES: Final = 108

TLV_ALPN: Final = 0x01
TLV_AUTHORITY: Final = 0x02
TLV_CRC32C: Final = 0x03
TLV_NOOP: Final = 0x04
TLV_UNIQUE_ID: Final = 0x05
_ONCE: Final = (TLV_ALPN, TLV_AUTHORITY, TLV_CRC32C, TLV_UNIQUE_ID)

_VERSION_AT: Final = 12
_TRANSPORT_AT: Final = 13
_LENGTH_AT: Final = 14
_IPV4_ADDRESSES_BYTES: Final = 12  # two addresses, two ports
_IPV6_ADDRESSES_BYTES: Final = 36
_UNIX_ADDRESSES_BYTES: Final = 2 * UNIX_PATH_BYTES

_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = rb"(%b(?:\.%b){3})" % (_OCTET, _OCTET)
# inet_ntop, which senders use, writes IPv4 mapped into IPv6 with dots.
_IPV6: Final = rb"([0-9A-Fa-f:.]{2,45})"
_PORT: Final = rb"(0|[1-9][0-9]{0,4})"
_TCP4_LINE: Final = re.compile(b"PROXY TCP4 %b %b %b %b" % (_IPV4, _IPV4, _PORT, _PORT))
_TCP6_LINE: Final = re.compile(b"PROXY TCP6 %b %b %b %b" % (_IPV6, _IPV6, _PORT, _PORT))
_UNKNOWN: Final = b"PROXY UNKNOWN"
_V1_BEGINNINGS: Final = (b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN")
_MAX_PORT: Final = 65535


class ProxyHeader:
    """What a header says.

    ``command``: LOCAL where the sender speaks for itself, as in its health checks; then, and where
    the ``transport`` is not TCP or UDP, the connection's own addresses hold (``has_addresses``).
    IP addresses are in the one spelling of ``origin.canonical_address``, where IPv4 mapped into
    IPv6 is IPv4. Those of UNIX sockets are paths, abstract ones with ``@`` for their leading NUL
    byte, and have port 0.

    Of what may follow the addresses: the protocol negotiated by ``alpn``, the ``authority`` (TLS's
    server name, as sent: not checked to be a host name), a ``unique_id`` of the connection of at
    most 128 bytes; b"" and "" where absent. ``others``: type and value of every other kind, in
    order and unread, SSL among them.
    """

    def __init__(
        self,
        command: str,
        transport: str = UNSPECIFIED,
        source: str = "",
        source_port: int = 0,
        destination: str = "",
        destination_port: int = 0,
    ) -> None:
        self.command: str = command
        self.transport: str = transport
        self.source: str = source
        self.source_port: int = source_port
        self.destination: str = destination
        self.destination_port: int = destination_port
        self.alpn: bytes = b""
        self.authority: str = ""
        self.unique_id: bytes = b""
        self.others: list[tuple[int, bytes]] = []

    @property
    def has_addresses(self) -> bool:
        """Whether source and destination are to be taken for the connection's own."""
        return self.command == PROXY and self.transport in (TCP, UDP)


class ProxyReading:
    """``outcome``: one of ``preface``. Where FOUND, the header and the bytes it took; where BAD,
    the reason, for people."""

    def __init__(
        self, outcome: int, header: ProxyHeader | None = None, size: int = 0, reason: str = ""
    ) -> None:
        self.outcome: int = outcome
        self.header: ProxyHeader | None = header
        self.size: int = size
        self.reason: str = reason


_NEED_MORE: Final = ProxyReading(NEED_MORE)
_ABSENT: Final = ProxyReading(ABSENT)


def read_proxy_header(data: bytes) -> ProxyReading:
    """Reads the header at the beginning of a connection, of which ``data`` is all that has come.

    More than MAX_V2_BYTES are never needed. Bytes that begin like a header are never ABSENT, even
    where a header is only accepted and not required: they are found to be one, or are BAD.
    """
    if data.startswith(V2_SIGNATURE):
        return _read_v2(data)
    if data.startswith(V1_START):
        return _read_v1(data)
    if V2_SIGNATURE.startswith(data) or V1_START.startswith(data):
        return _NEED_MORE
    return _ABSENT


def read_proxy_datagram(data: bytes) -> ProxyReading:
    """Reads the header at the beginning of a datagram: version 2, and whole, or BAD.

    Version 1 has no name for UDP, so a datagram that begins like it has none.
    """
    if not data.startswith(V2_SIGNATURE):
        return _ABSENT
    reading = _read_v2(data)
    if reading.outcome == NEED_MORE:
        return _bad("the datagram ends within its header")
    return reading


def _bad(reason: str) -> ProxyReading:
    return ProxyReading(BAD, None, 0, "PROXY header: " + reason)


def _read_v1(data: bytes) -> ProxyReading:
    end = data.find(b"\r\n", 0, MAX_V1_BYTES)
    if end < 0:
        return _unfinished_v1(data)
    line = data[:end]
    if line == _UNKNOWN or line.startswith(_UNKNOWN + b" "):
        return ProxyReading(FOUND, ProxyHeader(PROXY), end + 2)
    match = _TCP4_LINE.fullmatch(line)
    if match is not None:
        source = match.group(1).decode()
        destination = match.group(2).decode()
    else:
        match = _TCP6_LINE.fullmatch(line)
        if match is None:
            return _bad("its line does not have the form of version 1")
        try:
            source = _ipv6_text(IPv6Address(match.group(1).decode()))
            destination = _ipv6_text(IPv6Address(match.group(2).decode()))
        except ValueError:
            return _bad("an address in its line is not valid")
    source_port = int(match.group(3))
    destination_port = int(match.group(4))
    if source_port > _MAX_PORT or destination_port > _MAX_PORT:
        return _bad("a port in its line is above 65535")
    header = ProxyHeader(PROXY, TCP, source, source_port, destination, destination_port)
    return ProxyReading(FOUND, header, end + 2)


def _unfinished_v1(data: bytes) -> ProxyReading:
    """Refused as soon as no further byte could make it valid, as section 2.1 recommends."""
    if len(data) >= MAX_V1_BYTES:
        return _bad("no CRLF within 107 bytes")
    if data.startswith(_UNKNOWN):
        return _NEED_MORE
    if b"\n" in data:
        return _bad("its line ends with LF without CR")
    for beginning in _V1_BEGINNINGS:
        if data.startswith(beginning) or beginning.startswith(data):
            return _NEED_MORE
    return _bad("its line names neither TCP4 nor TCP6 nor UNKNOWN")


def _read_v2(data: bytes) -> ProxyReading:
    come = len(data)
    if come > _VERSION_AT and data[_VERSION_AT] not in (
        VERSION_2 | COMMAND_LOCAL,
        VERSION_2 | COMMAND_PROXY,
    ):
        return _bad("its version is not 2 or its command is neither LOCAL nor PROXY")
    if come < V2_FIXED_BYTES:
        return _NEED_MORE
    size = V2_FIXED_BYTES + (data[_LENGTH_AT] << 8 | data[_LENGTH_AT + 1])
    if size > MAX_V2_BYTES:
        return _bad(f"it has {size} bytes; the most that is read is {MAX_V2_BYTES}")
    if come < size:
        return _NEED_MORE
    transport = data[_TRANSPORT_AT]
    if data[_VERSION_AT] == VERSION_2 | COMMAND_LOCAL:
        return _read_without_addresses(data, size, LOCAL, transport)
    if transport == 0:
        return _read_without_addresses(data, size, PROXY, transport)
    addresses_bytes = _addresses_bytes(transport)
    if addresses_bytes == 0:
        return _bad(f"its transport byte is 0x{transport:02x}, which is none")
    tlvs_at = V2_FIXED_BYTES + addresses_bytes
    if size < tlvs_at:
        return _bad("it is too short for its addresses")
    header = _with_addresses(data, transport)
    tlvs = _tlvs_of(data, tlvs_at, size)
    if tlvs is None:
        return _bad("a TLV reaches beyond its end")
    reason = _checksum_error(data, size, tlvs) or _take_tlvs(header, data, tlvs)
    return _bad(reason) if reason else ProxyReading(FOUND, header, size)


def _read_without_addresses(data: bytes, size: int, command: str, transport: int) -> ProxyReading:
    """LOCAL, or a transport that is not specified: what follows is to be ignored (section 2.2).

    So it is not wrong if it is not made of TLVs. Where it is, a checksum among them binds all the
    same, since what was damaged may be the very byte that says LOCAL.
    """
    tlvs = _tlvs_of(data, V2_FIXED_BYTES + _addresses_bytes(transport), size)
    if tlvs is not None:
        reason = _checksum_error(data, size, tlvs)
        if reason:
            return _bad(reason)
        header = ProxyHeader(command)
        if not _take_tlvs(header, data, tlvs):
            return ProxyReading(FOUND, header, size)
    return ProxyReading(FOUND, ProxyHeader(command), size)


def _addresses_bytes(transport: int) -> int:
    """0 where the byte is none of the six with addresses (section 2.2)."""
    if transport & 0x0F in (STREAM, DATAGRAM):
        family = transport & 0xF0
        if family == FAMILY_IPV4:
            return _IPV4_ADDRESSES_BYTES
        if family == FAMILY_IPV6:
            return _IPV6_ADDRESSES_BYTES
        if family == FAMILY_UNIX:
            return _UNIX_ADDRESSES_BYTES
    return 0


def _with_addresses(data: bytes, transport: int) -> ProxyHeader:
    at = V2_FIXED_BYTES
    stream = transport & 0x0F == STREAM
    family = transport & 0xF0
    if family == FAMILY_UNIX:
        middle = at + UNIX_PATH_BYTES
        source = _unix_path(data[at:middle])
        destination = _unix_path(data[middle : middle + UNIX_PATH_BYTES])
        return ProxyHeader(PROXY, UNIX if stream else UNIX_DATAGRAM, source, 0, destination, 0)
    if family == FAMILY_IPV4:
        source = _dotted(data, at)
        destination = _dotted(data, at + 4)
        at += 8
    else:
        source = _ipv6_text(IPv6Address(data[at : at + 16]))
        destination = _ipv6_text(IPv6Address(data[at + 16 : at + 32]))
        at += 32
    source_port = data[at] << 8 | data[at + 1]
    destination_port = data[at + 2] << 8 | data[at + 3]
    kind = TCP if stream else UDP
    return ProxyHeader(PROXY, kind, source, source_port, destination, destination_port)


def _dotted(data: bytes, at: int) -> str:
    return f"{data[at]}.{data[at + 1]}.{data[at + 2]}.{data[at + 3]}"


def _ipv6_text(address: IPv6Address) -> str:
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else str(mapped)


def _unix_path(field: bytes) -> str:
    if field.startswith(b"\0"):
        name = field.rstrip(b"\0")
        return "@" + name[1:].decode("utf-8", "backslashreplace") if name else ""
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _tlvs_of(data: bytes, at: int, end: int) -> list[tuple[int, int, int]] | None:
    """Of each its type, and where its value begins and ends; None where they do not fill it."""
    tlvs: list[tuple[int, int, int]] = []
    while at < end:
        value_at = at + 3
        if value_at > end:
            return None
        value_end = value_at + (data[at + 1] << 8 | data[at + 2])
        if value_end > end:
            return None
        tlvs.append((data[at], value_at, value_end))
        at = value_end
    return tlvs if at == end else None


def _checksum_error(data: bytes, size: int, tlvs: list[tuple[int, int, int]]) -> str:
    """Section 2.2.3; "" where the checksum is right or there is none."""
    for kind, at, end in tlvs:
        if kind == TLV_CRC32C:
            if end - at != 4:
                return "its checksum does not have 4 bytes"
            if crc32c(data[:at] + bytes(4) + data[end:size]) != int.from_bytes(data[at:end], "big"):
                return "its checksum is wrong"
    return ""


def _take_tlvs(header: ProxyHeader, data: bytes, tlvs: list[tuple[int, int, int]]) -> str:
    """The reason where they are wrong, else ""."""
    seen: set[int] = set()
    for kind, at, end in tlvs:
        if kind in _ONCE:
            # Two readers could each believe another one.
            if kind in seen:
                return f"a TLV of type 0x{kind:02x} stands in it twice"
            seen.add(kind)
        value = data[at:end]
        if kind == TLV_ALPN:
            header.alpn = value
        elif kind == TLV_AUTHORITY:
            try:
                header.authority = value.decode("utf-8")
            except UnicodeDecodeError:
                return "its authority is not UTF-8"
        elif kind == TLV_UNIQUE_ID:
            if len(value) > MAX_UNIQUE_ID_BYTES:
                return f"its unique id has {len(value)} bytes; the most is {MAX_UNIQUE_ID_BYTES}"
            header.unique_id = value
        elif kind not in (TLV_CRC32C, TLV_NOOP):
            header.others.append((kind, value))
    return ""
