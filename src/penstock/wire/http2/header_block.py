"""A message's fields as a value: what a header block is decoded to and encoded from."""

from typing import Final

from penstock.wire.http1 import Field
from penstock.wire.http2.hpack_tables import Entry

DEFAULT_URGENCY: Final = 3  # RFC 9218, 4.1
_NONE_NAMED: Final[list[bytes]] = []
_NO_ENTRIES: Final[list[Entry]] = []


class HeaderBlock:
    """A request's, response's or trailer section's fields; not to be changed once it is made.

    ``fields`` holds the regular fields in order, each ``(name, name, value)`` as in HTTP/1.1's
    heads, whose written names may have capitals; pseudo-header fields are attributes, b"" or 0
    where absent. Of those received, cookie crumbs are joined (RFC 9113, 8.2.3) and everything was
    checked. One object stands for all blocks of the same octets under the same state of the
    dynamic table, so what is derived from it can be kept in ``derived``.
    """

    def __init__(self, fields: list[Field]) -> None:
        self.fields: list[Field] = fields
        self.method: bytes = b""
        self.scheme: bytes = b""
        self.authority: bytes = b""
        self.path: bytes = b""
        self.protocol: bytes = b""  # of extended CONNECT (RFC 8441)
        self.status: int = 0
        self.content_length: int = -1  # -1: not told
        self.urgency: int = DEFAULT_URGENCY
        self.incremental: bool = False
        # Names of fields that no hop may keep in a table (RFC 7541, 7.1.3).
        self.never_indexed: list[bytes] = _NONE_NAMED
        self.entries: list[Entry] = _NO_ENTRIES  # the field lines as they came
        self.users: int = 0  # open streams whose head it is
        self.times_encoded: int = 0
        self.derived: object = None  # whatever its receiver makes of it

    def value(self, name: bytes) -> bytes | None:
        """The first value of a regular field by its lower-case name."""
        for lower, _, value in self.fields:
            if lower == name:
                return value
        return None


def request_block(
    method: bytes,
    scheme: bytes,
    authority: bytes,
    path: bytes,
    fields: list[Field],
    protocol: bytes = b"",
) -> HeaderBlock:
    """A request to be sent; its fields are lower-case and fit for HTTP/2."""
    block = HeaderBlock(fields)
    block.method = method
    block.scheme = scheme
    block.authority = authority
    block.path = path
    block.protocol = protocol
    return block


def response_block(status: int, fields: list[Field]) -> HeaderBlock:
    """A response, final or interim, to be sent."""
    block = HeaderBlock(fields)
    block.status = status
    return block


def trailer_block(fields: list[Field]) -> HeaderBlock:
    """A trailer section to be sent."""
    return HeaderBlock(fields)


def plain_field(name: bytes, value: bytes) -> Field:
    """A field whose name is in lower case already."""
    return (name, name, value)
