"""Protocol Buffers' wire form, as far as the few messages need it that are read and written here by
hand (protobuf.dev, "Encoding")."""

import struct
from typing import Final

VARINT: Final = 0
FIXED_64: Final = 1
DELIMITED: Final = 2
FIXED_32: Final = 5
_MAX_VARINT_BYTES: Final = 10
_DOUBLE: Final = struct.Struct("<d")


class Field:
    """One field of a message: ``number`` is of varints, ``value`` of all others."""

    def __init__(self, tag: int, number: int, value: bytes) -> None:
        self.tag: int = tag
        self.number: int = number
        self.value: bytes = value


class Malformed(ValueError):
    """Bytes that are no message."""


def decode(message: bytes) -> list[Field]:
    """The fields of a message in their order, unknown ones too. Raises Malformed."""
    fields: list[Field] = []
    at = 0
    end = len(message)
    while at < end:
        key, at = _varint(message, at)
        tag, kind = key >> 3, key & 7
        if not 0 < tag < 1 << 29:
            raise Malformed("a field has no number that can be")
        number = 0
        size = 0
        if kind == VARINT:
            number, at = _varint(message, at)
        elif kind == DELIMITED:
            size, at = _varint(message, at)
        elif kind == FIXED_64:
            size = 8
        elif kind == FIXED_32:
            size = 4
        else:
            raise Malformed("a field is of a kind that there is none")
        if size > end - at:
            raise Malformed("it ends within a field")
        fields.append(Field(tag, number, message[at : at + size]))
        at += size
    return fields


def text(fields: list[Field], tag: int) -> str:
    """The last value of that field, "" where there is none. Raises Malformed."""
    found = ""
    for field in fields:
        if field.tag == tag:
            try:
                found = field.value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise Malformed("a text is not UTF-8") from error
    return found


def varint_field(tag: int, number: int) -> bytes:
    """A number from 0 up, which is left out where it is 0."""
    return encode_varint(tag << 3 | VARINT) + encode_varint(number) if number else b""


def double_field(tag: int, number: float) -> bytes:
    """A number, which is left out where it is 0."""
    return encode_varint(tag << 3 | FIXED_64) + _DOUBLE.pack(number) if number else b""


def bytes_field(tag: int, value: bytes) -> bytes:
    """A text, or a message within."""
    return encode_varint(tag << 3 | DELIMITED) + encode_varint(len(value)) + value


def encode_varint(value: int) -> bytes:
    """A number from 0 up."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if at + index >= len(message):
            break
        byte = message[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + index + 1
    raise Malformed("a number does not end")
