"""The head of a response whose content coding is chosen here, by what its client accepts."""

from typing import Final

from penstock.wire.http1 import Field, ResponseHead, all_values

_VARY: Final[Field] = (b"vary", b"Vary", b"Accept-Encoding")


def encoded_head(head: ResponseHead, coding: bytes, weak: bool) -> ResponseHead:
    """The head with Vary, and with that coding put on (b"": none); made once for each head.

    The compressed form is another of the same, so a strong ETag becomes weak (RFC 9110, 8.8.3.3):
    ``weak`` has it so without a coding too. Ranges are those of the form that the endpoint has.
    """
    key = coding or (b"W/" if weak else b"")
    if head.variants is None:
        head.variants = {}
    found = head.variants.get(key)
    if found is None:
        found = _made(head, coding, weak or coding != b"")
        head.variants[key] = found
    return found


def _made(head: ResponseHead, coding: bytes, weak: bool) -> ResponseHead:
    made = ResponseHead(head.raw, head.status, head.reason, head.minor)
    made.connection = head.connection
    made.chunked = head.chunked
    made.keep_alive = head.keep_alive
    made.content_length = -1 if coding else head.content_length
    for field in head.fields:
        lower, name, value = field
        if coding and (lower == b"accept-ranges" or lower == b"content-encoding"):
            continue
        if weak and lower == b"etag" and not value.startswith(b"W/"):
            field = (lower, name, b"W/" + value)
        made.fields.append(field)
    if coding:
        made.fields.append((b"content-encoding", b"Content-Encoding", coding))
    named = all_values(head.fields, b"vary").lower()
    if b"accept-encoding" not in named and b"*" not in named:
        made.fields.append(_VARY)
    return made
