"""The head of an endpoint's answer as a block of HTTP/2."""

from penstock.wire.forwarding import ResponseRules, forwarded_fields, lacks_date
from penstock.wire.http1 import Field, ResponseHead
from penstock.wire.http2.header_block import response_block


def build_block(head: ResponseHead, rules: ResponseRules, request_id: bytes, flags: int) -> None:
    """Edit it by the rules; once for each distinct head, which it is kept with, as HTTP/1.1's.

    ``flags``: what it depends on besides; 2: the content coding was taken off, 1: its length is
    another than it says.
    """
    fields = forwarded_fields(head, rules, request_id, flags >= 2)
    if head.content_length >= 0 and head.status != 204 and flags % 2 == 0:
        length = b"%d" % head.content_length
        fields.append((b"content-length", b"content-length", length))
    head.rewritten_block = response_block(head.status, fields)
    head.block_for = rules
    head.block_flags = flags
    head.lacks_date = lacks_date(head, rules)


def fields_of_one(request_id: bytes, date: bytes, cookie: bytes) -> list[Field]:
    """Those that are another for each answer; ``date`` and ``cookie``: b"" where there is none."""
    fields: list[Field] = [(b"x-request-id", b"x-request-id", request_id)]
    if date:
        fields.append((b"date", b"date", date))
    if cookie:
        fields.append((b"set-cookie", b"set-cookie", cookie))
    return fields
