"""A gRPC call that passes through: what it came to, and whether it is to be made once more."""

from penstock.core.retry import RetryRules
from penstock.core.ticket import Ticket
from penstock.wire.grpc import (
    GRPC,
    GRPC_WEB_TEXT,
    http_status_of,
    parse_status,
    status_of_http,
)
from penstock.wire.grpc_web import StatusReader
from penstock.wire.http1 import Field


class GrpcCall:
    """``kind``: of ``wire/grpc.py``. Outlier detection and circuit breakers take what a call came
    to for the HTTP status that says the same."""

    status: int = -1  # that the endpoint told; -1: none
    _reader: StatusReader | None = None

    def __init__(self, kind: int) -> None:
        self.ends_in_body: bool = kind > GRPC
        self._is_text: bool = kind == GRPC_WEB_TEXT

    def note(self, ticket: Ticket, fields: list[Field]) -> None:
        """The status stands behind a body, or in a head without one."""
        for lower, _, value in fields:
            if lower == b"grpc-status":
                self.status = parse_status(value)
                ticket.status = http_status_of(self.status)

    def begin_body(self, chunked: bool) -> None:
        """Pieces of a body of gRPC-Web come, in chunks or bare."""
        self._reader = StatusReader(self._is_text, chunked)

    def read_body(self, ticket: Ticket, data: bytes, complete: bool) -> None:
        """The status stands at the end of the body."""
        reader = self._reader
        if reader is None:
            return
        reader.feed(data)
        if complete and self.status < 0:
            self.status = reader.status()
            if self.status >= 0:
                ticket.status = http_status_of(self.status)

    def status_of(self, http_status: int) -> int:
        """What it came to, also where only its HTTP status tells that."""
        return self.status if self.status >= 0 else status_of_http(http_status)

    def begin_anew(self) -> None:
        """It is made once more."""
        self.status = -1


def may_be_made_again(rules: RetryRules, status: int, fields: list[Field]) -> bool:
    """Whether a call that ended so, without a message, is one to make again.

    Not where the server tells its clients when to, or not to (gRFC A6, "Pushback").
    """
    if status not in rules.on_grpc_statuses:
        return False
    return b"grpc-retry-pushback-ms" not in [lower for lower, _, _ in fields]
