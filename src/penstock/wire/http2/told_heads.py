"""Heads that somebody tells as a list of fields, held to what HTTP/2 holds its own to.

A gateway that asks about a request tells its head so. Fields of one hop, which a gateway has from
HTTP/1.1, are no part of it.
"""

from collections.abc import Iterable
from typing import Final

from penstock.wire.http1 import BadMessage, RequestHead, ResponseHead
from penstock.wire.http2.codes import Malformed
from penstock.wire.http2.heads import response_head_of
from penstock.wire.http2.hpack_tables import Entry
from penstock.wire.http2.message_rules import request_of, response_of
from penstock.wire.http2.request_head import request_head_of

_OF_ONE_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te")
)


def told_request_head(
    fields: Iterable[tuple[bytes, bytes]], ends: bool, max_target_bytes: int
) -> RequestHead:
    """A request's; ``ends``: no content follows. Raises BadMessage."""
    try:
        block = request_of(_entries(fields), False)
    except Malformed as error:
        raise BadMessage(400, str(error)) from error
    head = request_head_of(block, ends, max_target_bytes, False)
    head.chunked = False  # its content is told without framing
    return head


def told_response_head(fields: Iterable[tuple[bytes, bytes]]) -> ResponseHead:
    """A final response's. Raises BadMessage with status 502."""
    try:
        return response_head_of(response_of(_entries(fields)))
    except Malformed as error:
        raise BadMessage(502, str(error)) from error


def _entries(fields: Iterable[tuple[bytes, bytes]]) -> list[Entry]:
    """Pseudo-header fields first, in whatever order they were told."""
    told = [Entry(name, value) for name, value in fields if name not in _OF_ONE_HOP]
    pseudo = [entry for entry in told if entry.field[0].startswith(b":")]
    return pseudo + [entry for entry in told if not entry.field[0].startswith(b":")]
