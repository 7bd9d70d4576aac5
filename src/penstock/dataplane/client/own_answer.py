"""A response of our own, as HTTP/1.1 writes it."""

import re
from http import HTTPStatus
from typing import Final

from penstock.dataplane.exchange.answers import Answer
from penstock.wire.forwarding import Edit, edited
from penstock.wire.http1 import Field

_ACCEPT: Final = re.compile(rb"\n[Aa]ccept:([^\r\n]*)")


def accepted_in(data: bytes) -> bytes:
    """What a request accepts whose head was refused, as far as can be seen."""
    found = _ACCEPT.search(data)
    return found.group(1) if found is not None else b""


def encoded(
    answer: Answer,
    keep_alive: bool,
    date: bytes,
    *,
    without_body: bool = False,
    request_id: bytes = b"",
    edits: list[Edit] | None = None,
) -> bytes:
    """The whole response, its head edited as endpoints' answers are.

    ``date`` is the value of Date. ``without_body`` leaves the body out but tells its length (HEAD).
    """
    status = answer.status
    fields = answer_fields(answer, date, request_id, edits, closes=not keep_alive)
    start = f"HTTP/1.1 {status} {_reason_phrase(status)}".encode()
    lines = [start, *[b"%b: %b" % (name, value) for _, name, value in fields]]
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    return head if without_body or status in (204, 304) else head + answer.body


def answer_fields(
    answer: Answer,
    date: bytes,
    request_id: bytes,
    edits: list[Edit] | None,
    *,
    closes: bool = False,
) -> list[Field]:
    """The fields of its head. ``closes``: HTTP/1.1's connection ends with it."""
    fields = [(b"date", b"Date", date)]
    if answer.status != 204 and answer.status != 304 and not answer.goes_on:
        fields.append(_field("Content-Length", str(len(answer.body))))
    fields += [_field(name, value) for name, value in answer.headers]
    if closes:
        fields.append(_field("Connection", "close"))
    if request_id:
        fields.append((b"x-request-id", b"X-Request-ID", request_id))
    return edited(fields, edits) if edits else fields


def _field(name: str, value: str) -> Field:
    return (name.lower().encode("latin-1"), name.encode("latin-1"), value.encode("latin-1"))


def _reason_phrase(status: int) -> str:
    """The standard phrase for a status; "" for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
