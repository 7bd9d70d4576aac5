"""Field lines to a message's head or trailers, or why they are none (RFC 9113, 8.1 to 8.5)."""

from typing import Final

from penstock.wire.http1 import Field
from penstock.wire.http2.codes import Malformed
from penstock.wire.http2.field_rules import (
    AUTHORITY,
    CONTENT_LENGTH,
    COOKIE,
    HOST,
    LAST_PSEUDO,
    METHOD,
    PATH,
    PRIORITY_FIELD,
    PROTOCOL,
    REGULAR,
    SCHEME,
    STATUS,
    reason_of,
)
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.hpack_tables import Entry
from penstock.wire.http2.priority import read_priority

_PORTS: Final = {b"http": b":80", b"https": b":443"}
_SWITCHING_PROTOCOLS: Final = 101


def request_of(entries: list[Entry], connect_protocol: bool) -> HeaderBlock:
    """A request's head; ``connect_protocol``: extended CONNECT was offered. Raises Malformed."""
    block = _block_of(entries)
    if block.status:
        raise Malformed("a request with :status")
    method = block.method
    if not method:
        raise Malformed("a request without :method")
    if method == b"CONNECT":
        _check_connect(block, connect_protocol)
    else:
        if block.protocol:
            raise Malformed(":protocol in a request that is not CONNECT")
        _check_target(block)
    return block


def response_of(entries: list[Entry]) -> HeaderBlock:
    """A response's head, final or interim. Raises Malformed."""
    block = _block_of(entries)
    if block.method or block.scheme or block.authority or block.path or block.protocol:
        raise Malformed("a response with a request's pseudo-header field")
    if not block.status:
        raise Malformed("a response without :status")
    if block.status == _SWITCHING_PROTOCOLS:
        raise Malformed("status 101, which HTTP/2 does not have")  # RFC 9113, 8.6
    return block


def trailers_of(entries: list[Entry]) -> HeaderBlock:
    """A trailer section. Raises Malformed."""
    if entries and 0 < entries[0].kind <= LAST_PSEUDO:
        raise Malformed("a pseudo-header field in trailers")
    return _block_of(entries)


def _block_of(entries: list[Entry]) -> HeaderBlock:
    """The block of these lines, each checked, as every message's."""
    fields: list[Field] = []
    block = HeaderBlock(fields)
    crumbs = 0
    host: bytes | None = None
    for entry in entries:
        kind = entry.kind
        if kind == REGULAR:
            fields.append(entry.field)
        elif kind < 0:
            raise Malformed(reason_of(kind))
        elif kind <= LAST_PSEUDO:
            if fields:
                raise Malformed("a pseudo-header field after a regular field")
            _take_pseudo(block, kind, entry.field[2])
        else:
            value = entry.field[2]
            fields.append(entry.field)
            if kind == COOKIE:
                crumbs += 1
            elif kind == CONTENT_LENGTH:
                length = int(value)
                if block.content_length >= 0 and block.content_length != length:
                    raise Malformed("two values of Content-Length")
                if block.content_length >= 0:
                    fields.pop()  # RFC 9110, 8.6: said twice is said once
                block.content_length = length
            elif kind == HOST:
                if host is not None:
                    raise Malformed("more than one Host")
                host = value
            elif kind == PRIORITY_FIELD:
                block.urgency, block.incremental = read_priority(value)
        if entry.never_indexed:
            block.never_indexed = [*block.never_indexed, entry.field[0]]
    if crumbs > 1:
        block.fields = _with_one_cookie(fields)
    if host is not None:
        _check_host(block, host)
    return block


def _take_pseudo(block: HeaderBlock, kind: int, value: bytes) -> None:
    """Pseudo-header fields are never empty here, so what is there already is said twice."""
    if kind == METHOD:
        doubled = block.method
        block.method = value
    elif kind == PATH:
        doubled = block.path
        block.path = value
    elif kind == SCHEME:
        doubled = block.scheme
        block.scheme = value
    elif kind == AUTHORITY:
        doubled = block.authority
        block.authority = value
    elif kind == PROTOCOL:
        doubled = block.protocol
        block.protocol = value
    else:
        assert kind == STATUS
        doubled = b"" if block.status == 0 else b"twice"
        block.status = int(value)
    if doubled:
        raise Malformed("the same pseudo-header field twice")


def _with_one_cookie(fields: list[Field]) -> list[Field]:
    """The crumbs joined, where the first stood (RFC 9113, 8.2.3)."""
    crumbs = [value for name, _, value in fields if name == b"cookie"]
    joined: list[Field] = []
    placed = False
    for field in fields:
        if field[0] != b"cookie":
            joined.append(field)
        elif not placed:
            placed = True
            joined.append((b"cookie", b"cookie", b"; ".join(crumbs)))
    return joined


def _check_host(block: HeaderBlock, host: bytes) -> None:
    """RFC 9113, 8.3.1: Host names what :authority does, by the rules of the scheme."""
    if not block.authority or block.authority == host:
        return
    scheme = block.scheme.lower()
    if _normal_authority(block.authority, scheme) != _normal_authority(host, scheme):
        raise Malformed("Host is another than :authority")


def _normal_authority(authority: bytes, scheme: bytes) -> bytes:
    normal = authority.lower()
    port = _PORTS.get(scheme, b"")
    return normal[: -len(port)] if port and normal.endswith(port) else normal


def _check_target(block: HeaderBlock) -> None:
    if not block.scheme:
        raise Malformed("a request without :scheme")
    path = block.path
    if not path:
        raise Malformed("a request without :path")
    scheme = block.scheme.lower()
    if scheme != b"http" and scheme != b"https":
        return
    if path[0] != 0x2F and (path != b"*" or block.method != b"OPTIONS"):
        raise Malformed(":path does not begin with /")
    if not block.authority and block.value(b"host") is None:
        raise Malformed("a request without :authority and without Host")


def _check_connect(block: HeaderBlock, connect_protocol: bool) -> None:
    if block.protocol:
        if not connect_protocol:
            raise Malformed(":protocol, though extended CONNECT was not offered")
        if not block.authority:
            raise Malformed("CONNECT without :authority")
        _check_target(block)  # RFC 8441, 4: here :scheme and :path are included
    elif block.scheme or block.path:
        raise Malformed("CONNECT with :scheme or :path")
    elif not block.authority:
        raise Malformed("CONNECT without :authority")
