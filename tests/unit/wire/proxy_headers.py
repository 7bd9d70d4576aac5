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
