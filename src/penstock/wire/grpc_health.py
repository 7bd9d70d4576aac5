"""gRPC's health protocol, asked and answered (grpc/grpc, doc/health-checking.md; grpc.health.v1).

Its two messages have a field each, so protobuf is read and written here by hand. As protobuf has
it, fields that are not known are passed over, and of a repeated one the last counts.
"""

from typing import Final

SERVICE: Final = "grpc.health.v1.Health"
CHECK_PATH: Final = b"/grpc.health.v1.Health/Check"
WATCH_PATH: Final = b"/grpc.health.v1.Health/Watch"  # a stream of answers, one for each change

# HealthCheckResponse.ServingStatus.
UNKNOWN: Final = 0
SERVING: Final = 1
NOT_SERVING: Final = 2
SERVICE_UNKNOWN: Final = 3  # by Watch only: Check ends with NOT_FOUND

MALFORMED: Final = -1

_FIELD: Final = 1
_VARINT: Final = 0
_FIXED_64: Final = 1
_DELIMITED: Final = 2
_FIXED_32: Final = 5
_MAX_VARINT_BYTES: Final = 10


def encode_request(service: str) -> bytes:
    """A HealthCheckRequest; "" asks for the server as a whole. Raises ValueError for a service
    whose name is not Unicode (lone surrogates)."""
    name = service.encode("utf-8")
    return b"\x0a" + _varint(len(name)) + name if name else b""


def decode_request(message: bytes) -> str | None:
    """The service that a HealthCheckRequest asks for; None where it is malformed."""
    found = _Field(message)
    if found.at < 0:
        return None
    service = ""
    try:
        for name in found.delimited:
            service = name.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return service


def encode_response(status: int) -> bytes:
    """A HealthCheckResponse with a ServingStatus."""
    return b"\x08" + _varint(status) if status else b""


def decode_response(message: bytes) -> int:
    """The ServingStatus of a HealthCheckResponse, MALFORMED where it is none.

    An enum is open: numbers to come are told as they are, and only SERVING is health.
    """
    found = _Field(message)
    return MALFORMED if found.at < 0 else found.number


class _Field:
    """What a message has for field 1: the last number, and every value in bytes.

    ``at`` is -1 where the message is malformed.
    """

    def __init__(self, message: bytes) -> None:
        self.number: int = 0
        self.delimited: list[bytes] = []
        self.at: int = 0
        end = len(message)
        while 0 <= self.at < end:
            tag = self._varint(message)
            field = tag >> 3
            if self.at < 0 or not 0 < field < 1 << 29:
                self.at = -1
            elif tag & 7 == _VARINT:
                number = self._varint(message)
                if field == _FIELD:
                    self.number = number & 0xFFFF_FFFF  # an enum has 32 bits
            elif tag & 7 == _DELIMITED:
                size = self._varint(message)
                if field == _FIELD and 0 <= self.at <= end - size:
                    self.delimited.append(message[self.at : self.at + size])
                self._skip(size, end)
            elif tag & 7 == _FIXED_64:
                self._skip(8, end)
            elif tag & 7 == _FIXED_32:
                self._skip(4, end)
            else:
                self.at = -1  # groups, which proto3 does not have

    def _skip(self, size: int, end: int) -> None:
        if self.at >= 0:
            self.at = self.at + size if size <= end - self.at else -1

    def _varint(self, message: bytes) -> int:
        value = 0
        for index in range(_MAX_VARINT_BYTES):
            at = self.at + index
            if at >= len(message):
                break
            byte = message[at]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                self.at = at + 1
                return value & 0xFFFF_FFFF_FFFF_FFFF
        self.at = -1
        return 0


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
