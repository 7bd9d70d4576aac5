"""Protobuf's wire format, for the few messages that are read and written here by hand.

As protobuf has it, fields that are not known are passed over, and of one that is not repeated the
last counts (protobuf.dev, "Encoding").
"""

import struct
from typing import Final

VARINT: Final = 0
FIXED_64: Final = 1
DELIMITED: Final = 2
FIXED_32: Final = 5
_MAX_VARINT_BYTES: Final = 10
_MAX_FIELD: Final = 1 << 29
_DOUBLE: Final = struct.Struct("<d")


class Fields:
    """The fields of one message, one after the other: ``while fields.advance(): …``.

    The message is that part of ``data``; nothing is copied but what is asked for. ``malformed``
    says afterwards whether it ended before its end.
    """

    def __init__(self, data: bytes, start: int = 0, stop: int = -1) -> None:
        self.malformed: bool = False
        self.field: int = 0
        self.kind: int = VARINT
        self.number: int = 0  # of a VARINT
        self.start: int = 0  # of what is DELIMITED, in ``data``
        self.stop: int = 0
        self._data: bytes = data
        self._at: int = start
        self._end: int = stop if stop >= 0 else len(data)

    def advance(self) -> bool:
        """Go on to the next field; False at the end, or where the message is malformed."""
        if self._at >= self._end or self.malformed:
            return False
        tag = self._varint()
        self.field = tag >> 3
        self.kind = tag & 7
        if self.malformed or not 0 < self.field < _MAX_FIELD:
            return self._refuse()
        if self.kind == VARINT:
            self.number = self._varint()
        elif self.kind == DELIMITED:
            size = self._varint()
            self.start = self._at
            self._skip(size)
            self.stop = self._at
        elif self.kind == FIXED_64:
            self._skip(8)
        elif self.kind == FIXED_32:
            self._skip(4)
        else:
            return self._refuse()  # groups, which proto3 does not have
        return not self.malformed

    def is_(self, field: int, kind: int) -> bool:
        """Whether this is that field, in that form. One in another form is not known."""
        return self.field == field and self.kind == kind

    def octets(self) -> bytes:
        """What is DELIMITED, as a copy."""
        return self._data[self.start : self.stop]

    def inside(self) -> "Fields":
        """What is DELIMITED, as a message."""
        return Fields(self._data, self.start, self.stop)

    def heed(self, inner: "Fields") -> None:
        """A message inside this one was read: malformed is both or none."""
        if inner.malformed:
            self.malformed = True

    def _refuse(self) -> bool:
        self.malformed = True
        return False

    def _skip(self, size: int) -> None:
        if size > self._end - self._at:
            self.malformed = True
        else:
            self._at += size

    def _varint(self) -> int:
        data = self._data
        at = self._at
        value = 0
        shift = 0
        last = min(self._end, at + _MAX_VARINT_BYTES)
        while at < last:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self._at = at
                return value & 0xFFFF_FFFF_FFFF_FFFF
            shift += 7
        self.malformed = True
        return 0


def varint(value: int) -> bytes:
    """An unsigned number."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def delimited_head(field: int, size: int) -> bytes:
    """What goes before ``size`` bytes of that field."""
    return varint(field << 3 | DELIMITED) + varint(size)


def delimited(field: int, payload: bytes) -> bytes:
    """Bytes, a string, or a message."""
    return delimited_head(field, len(payload)) + payload


def number(field: int, value: int) -> bytes:
    """A number, an enum or a flag; left out where it is 0, as proto3 has it."""
    return varint(field << 3 | VARINT) + varint(value) if value else b""


def double(field: int, value: float) -> bytes:
    """A floating-point number, left out where it is 0."""
    return varint(field << 3 | FIXED_64) + _DOUBLE.pack(value) if value else b""
