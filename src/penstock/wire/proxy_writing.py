"""Headers of HAProxy's PROXY protocol, written; ``proxy_protocol`` reads them.

The whole of a header is sent at once, before anything else. Source: HAProxy,
doc/proxy-protocol.txt.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from penstock.wire.crc32c import crc32c
from penstock.wire.proxy_protocol import (
    COMMAND_LOCAL,
    COMMAND_PROXY,
    DATAGRAM,
    FAMILY_IPV4,
    FAMILY_IPV6,
    FAMILY_UNIX,
    MAX_UNIQUE_ID_BYTES,
    MAX_V2_BYTES,
    PROXY,
    STREAM,
    TCP,
    TLV_ALPN,
    TLV_AUTHORITY,
    TLV_CRC32C,
    TLV_UNIQUE_ID,
    UDP,
    UNIX,
    UNIX_DATAGRAM,
    UNIX_PATH_BYTES,
    V2_FIXED_BYTES,
    V2_SIGNATURE,
    VERSION_2,
    ProxyHeader,
)

_MAX_PORT: Final = 65535
_CHECKSUM_BYTES: Final = 4

# A connection of the sender's own, as for a health check (section 2.2). Version 1 has no word for
# it: its section 2.1 recommends a line with the connection's own addresses, which every receiver
# takes.
V2_LOCAL: Final = V2_SIGNATURE + bytes((VERSION_2 | COMMAND_LOCAL, 0, 0, 0))
# Where a client has no address that version 1 can write. Some receivers refuse it.
V1_UNKNOWN: Final = b"PROXY UNKNOWN\r\n"


def write_v1(header: ProxyHeader) -> bytes:
    """The line of version 1 for a TCP client; V1_UNKNOWN for every other header.

    What stands beside the addresses is lost: version 1 has no room for it. Where one address is
    IPv4 and the other IPv6, the first is written as mapped into IPv6. Raises ValueError for what
    is no address or port.
    """
    if header.command != PROXY or header.transport != TCP:
        return V1_UNKNOWN
    source, destination = _pair(header)
    family = "TCP4" if isinstance(source, IPv4Address) else "TCP6"
    _check_ports(header)
    ports = f"{header.source_port} {header.destination_port}"
    return f"PROXY {family} {_text(source)} {_text(destination)} {ports}\r\n".encode()


def write_v2(header: ProxyHeader, checksum: bool = False) -> bytes:
    """The header in version 2, with all that it tells; ``checksum`` adds a CRC32C.

    Mixed addresses are written as by ``write_v1``. Raises ValueError for what is no address or
    port, for a unique id over 128 bytes, and where the whole is longer than MAX_V2_BYTES.
    """
    command = COMMAND_PROXY if header.command == PROXY else COMMAND_LOCAL
    transport = 0
    addresses = b""
    if command == COMMAND_PROXY:
        if header.transport in (TCP, UDP):
            transport, addresses = _ip_block(header)
        elif header.transport in (UNIX, UNIX_DATAGRAM):
            transport = FAMILY_UNIX | (STREAM if header.transport == UNIX else DATAGRAM)
            addresses = _unix_field(header.source) + _unix_field(header.destination)
    block = addresses + _tlvs(header)
    if checksum:
        block += _tlv(TLV_CRC32C, bytes(_CHECKSUM_BYTES))
    size = V2_FIXED_BYTES + len(block)
    if size > MAX_V2_BYTES:
        raise ValueError(f"PROXY header: {size} bytes; the most is {MAX_V2_BYTES}")
    whole = (
        V2_SIGNATURE
        + bytes((VERSION_2 | command, transport))
        + len(block).to_bytes(2, "big")
        + block
    )
    if checksum:
        whole = whole[:-_CHECKSUM_BYTES] + crc32c(whole).to_bytes(_CHECKSUM_BYTES, "big")
    return whole


def _ip_block(header: ProxyHeader) -> tuple[int, bytes]:
    """The transport byte, and addresses with ports."""
    source, destination = _pair(header)
    family = FAMILY_IPV4 if isinstance(source, IPv4Address) else FAMILY_IPV6
    _check_ports(header)
    ports = header.source_port << 16 | header.destination_port
    block = source.packed + destination.packed + ports.to_bytes(4, "big")
    return family | (STREAM if header.transport == TCP else DATAGRAM), block


def _pair(header: ProxyHeader) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    """Source and destination, both of one family."""
    source = ip_address(header.source.partition("%")[0])
    destination = ip_address(header.destination.partition("%")[0])
    if source.version == destination.version:
        return source, destination
    return _mapped(source), _mapped(destination)


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    """RFC 4291, 2.5.5.2."""
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(bytes(10) + b"\xff\xff" + address.packed)


def _text(address: IPv4Address | IPv6Address) -> str:
    """In the hexadecimal form alone, which is all that section 2.1 knows of IPv6."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        packed = address.packed
        return f"::ffff:{packed[12] << 8 | packed[13]:x}:{packed[14] << 8 | packed[15]:x}"
    return str(address)


def _check_ports(header: ProxyHeader) -> None:
    for port in (header.source_port, header.destination_port):
        if not 0 <= port <= _MAX_PORT:
            raise ValueError(f"PROXY header: {port} is not a port")


def _unix_field(path: str) -> bytes:
    name = path.encode("utf-8")
    if name.startswith(b"@"):
        name = b"\0" + name[1:]
    if len(name) > UNIX_PATH_BYTES:
        raise ValueError(f"PROXY header: the path {path!r} is longer than {UNIX_PATH_BYTES} bytes")
    return name.ljust(UNIX_PATH_BYTES, b"\0")


def _tlvs(header: ProxyHeader) -> bytes:
    if len(header.unique_id) > MAX_UNIQUE_ID_BYTES:
        raise ValueError(
            f"PROXY header: a unique id of {len(header.unique_id)} bytes; "
            f"the most is {MAX_UNIQUE_ID_BYTES}"
        )
    tlvs: list[bytes] = []
    if header.alpn:
        tlvs.append(_tlv(TLV_ALPN, header.alpn))
    if header.authority:
        tlvs.append(_tlv(TLV_AUTHORITY, header.authority.encode("utf-8")))
    if header.unique_id:
        tlvs.append(_tlv(TLV_UNIQUE_ID, header.unique_id))
    for kind, value in header.others:
        tlvs.append(_tlv(kind, value))
    return b"".join(tlvs)


def _tlv(kind: int, value: bytes) -> bytes:
    if len(value) >= MAX_V2_BYTES:
        raise ValueError(f"PROXY header: {len(value)} bytes in one TLV; all have {MAX_V2_BYTES}")
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value
