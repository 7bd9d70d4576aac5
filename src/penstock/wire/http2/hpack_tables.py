"""HPACK's static table and the dynamic tables of both directions (RFC 7541, 2.3, 4 and Appendix A).

A field is checked when it enters a table, not each time that a block refers to it.
"""

from typing import Final

from penstock.wire.http1 import Field
from penstock.wire.http2.field_rules import kind_of

ENTRY_OVERHEAD_BYTES: Final = 32  # RFC 7541, 4.1
DEFAULT_TABLE_BYTES: Final = 4096
STATIC_ENTRIES: Final = 61

_STATIC_FIELDS: Final = """:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate"""


class Entry:
    """A field line with what is known of it."""

    def __init__(self, name: bytes, value: bytes, never_indexed: bool = False) -> None:
        self.field: Field = (name, name, value)
        self.size: int = len(name) + len(value) + ENTRY_OVERHEAD_BYTES
        self.kind: int = kind_of(name, value)
        self.never_indexed: bool = never_indexed
        self.holders: int = 0  # blocks of open streams that it is in; once for the static table


def _static_entries() -> list[Entry]:
    entries: list[Entry] = []
    for line in _STATIC_FIELDS.encode().split(b"\n"):
        name, _, value = line.partition(b" ")
        entry = Entry(name, value)
        entry.holders = 1
        entries.append(entry)
    return entries


STATIC: Final[list[Entry]] = _static_entries()


class DecodingTable:
    """The dynamic table that the peer's encoder fills. Indexes begin at 1, the static table's."""

    def __init__(self, max_size: int) -> None:
        self.entries: list[Entry] = []  # the newest last
        self.size: int = 0
        self.max_size: int = max_size
        self.generation: int = 0  # another whenever an index may mean another field

    def entry(self, index: int) -> Entry | None:
        """The entry of an index; None where there is none."""
        if 1 <= index <= STATIC_ENTRIES:
            return STATIC[index - 1]
        place = len(self.entries) - (index - STATIC_ENTRIES)
        if index <= 0 or place < 0:
            return None
        return self.entries[place]

    def add(self, entry: Entry) -> None:
        """Insert at index 62; one that is larger than the table empties it (RFC 7541, 4.4)."""
        self.generation += 1
        self.size += entry.size
        self.entries.append(entry)
        if self.size > self.max_size:
            self._evict()

    def resize(self, max_size: int) -> None:
        """The peer's encoder said how large it lets the table be."""
        if max_size != self.max_size:
            self.generation += 1
            self.max_size = max_size
            self._evict()

    def _evict(self) -> None:
        gone = 0
        while self.size > self.max_size:
            self.size -= self.entries[gone].size
            gone += 1
        del self.entries[:gone]


class EncodingTable:
    """The dynamic table that our encoder fills, and where each field stands in it."""

    def __init__(self, max_size: int) -> None:
        self.max_size: int = max_size
        self.size: int = 0
        self.generation: int = 0
        self._fields: list[tuple[bytes, bytes]] = []  # the oldest first
        self._inserted: int = 0  # how many ever were
        # By field and by name: which of all that were inserted; the static table's are below 0.
        self._places: dict[tuple[bytes, bytes], int] = {}
        self._name_places: dict[bytes, int] = {}

    def index_of(self, name: bytes, value: bytes) -> int:
        """The index of a field; 0 where it is in neither table."""
        place = self._places.get((name, value), 0)
        if place:
            return STATIC_ENTRIES + 1 + self._inserted - place
        return _STATIC_INDEXES.get((name, value), 0)

    def name_index_of(self, name: bytes) -> int:
        """An index with that name; 0 where there is none."""
        index = _STATIC_NAME_INDEXES.get(name, 0)
        if index:
            return index
        place = self._name_places.get(name, 0)
        return STATIC_ENTRIES + 1 + self._inserted - place if place else 0

    def add(self, name: bytes, value: bytes) -> None:
        """Insert a field; the oldest make room."""
        self.generation += 1
        self._inserted += 1
        self.size += len(name) + len(value) + ENTRY_OVERHEAD_BYTES
        self._fields.append((name, value))
        self._places[(name, value)] = self._inserted
        self._name_places[name] = self._inserted
        if self.size > self.max_size:
            self._evict()

    def resize(self, max_size: int) -> None:
        """What does not fit any more is evicted."""
        self.generation += 1
        self.max_size = max_size
        self._evict()

    def _evict(self) -> None:
        gone = 0
        oldest = self._inserted - len(self._fields) + 1
        while self.size > self.max_size:
            field = self._fields[gone]
            name, value = field
            self.size -= len(name) + len(value) + ENTRY_OVERHEAD_BYTES
            if self._places.get(field) == oldest + gone:
                del self._places[field]
            if self._name_places.get(name) == oldest + gone:
                del self._name_places[name]
            gone += 1
        del self._fields[:gone]


def _first_static_names() -> dict[bytes, int]:
    names: dict[bytes, int] = {}
    for place, entry in enumerate(STATIC):
        names.setdefault(entry.field[0], place + 1)
    return names


_STATIC_INDEXES: Final[dict[tuple[bytes, bytes], int]] = {
    (entry.field[0], entry.field[2]): place + 1 for place, entry in enumerate(STATIC)
}
_STATIC_NAME_INDEXES: Final[dict[bytes, int]] = _first_static_names()
