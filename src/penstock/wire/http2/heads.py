"""Heads between HTTP/2 and what the rest knows: requests to endpoints, and their responses."""

from http import HTTPStatus
from typing import Final

from penstock.wire.forwarding import ForwardedHead
from penstock.wire.http1 import Field, ResponseHead
from penstock.wire.http2.header_block import HeaderBlock, request_block, response_block
from penstock.wire.websocket_handshake import ONLY_IN_HTTP1, accept_key

# Only between two hops (RFC 9113, 8.2.2), or told otherwise in HTTP/2.
_DROPPED: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"expect")
)
GRPC_TIMEOUT: Final = b"grpc-timeout"
_ACCEPT: Final = b"sec-websocket-accept"
_TE_TRAILERS: Final[Field] = (b"te", b"te", b"trailers")


def request_block_of(head: ForwardedHead, scheme: bytes) -> HeaderBlock:
    """A forwarded request's, made once; X-Request-ID and ``grpc-timeout`` go beside it.

    All is said to take trailers: without that servers of gRPC refuse a request.
    """
    block = head.block
    if isinstance(block, HeaderBlock):
        return block
    if head.upgrade:
        made = _extended_connect(head, scheme)
        head.block = made
        return made
    fields = [
        (lower, lower, value)
        for lower, _, value in head.fields
        if lower not in _DROPPED and lower != GRPC_TIMEOUT
    ]
    if head.content_length >= 0:
        fields.append((b"content-length", b"content-length", b"%d" % head.content_length))
    fields.append(_TE_TRAILERS)
    made = request_block(head.method, scheme, head.host, head.target, fields)
    head.block = made
    return made


def _extended_connect(head: ForwardedHead, scheme: bytes) -> HeaderBlock:
    """What asks for a change of protocol in HTTP/2 (RFC 8441, 4)."""
    fields = [
        (lower, lower, value)
        for lower, _, value in head.fields
        if lower not in _DROPPED and lower not in ONLY_IN_HTTP1
    ]
    return request_block(b"CONNECT", scheme, head.host, head.target, fields, head.upgrade)


def switched_head_of(block: HeaderBlock, key: bytes) -> ResponseHead:
    """An endpoint's consent to extended CONNECT as the 101 that says so in HTTP/1.1.

    ``key``: of the WebSocket's client, which awaits what proves that it was understood; b"" for
    none.
    """
    head = ResponseHead(b"", 101, _reason_phrase(101), 1)
    head.version = b"2.0"
    head.fields = [field for field in block.fields if field[0] not in ONLY_IN_HTTP1]
    if key:
        head.fields.append((_ACCEPT, b"Sec-WebSocket-Accept", accept_key(key)))
    return head


def consent_block(fields: list[Field]) -> HeaderBlock:
    """The consent to extended CONNECT (RFC 8441, 5), of what is passed on of a 101."""
    kept = [
        (lower, lower, value)
        for lower, _, value in fields
        if lower not in ONLY_IN_HTTP1 and lower not in _DROPPED
    ]
    return response_block(200, kept)


def response_head_of(block: HeaderBlock) -> ResponseHead:
    """A response's, made once for all blocks of the same octets."""
    head = block.derived
    if isinstance(head, ResponseHead):
        return head
    made = ResponseHead(b"", block.status, _reason_phrase(block.status), 1)
    made.version = b"2.0"
    made.fields = block.fields
    made.content_length = block.content_length
    block.derived = made
    return made


def _reason_phrase(status: int) -> bytes:
    """Which HTTP/1.1 has and HTTP/2 has not; b"" for a status without a standard one."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
