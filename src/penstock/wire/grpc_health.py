"""gRPC's health protocol, asked and answered (grpc/grpc, doc/health-checking.md; grpc.health.v1).

Its two messages have a field each, so protobuf is read and written by hand.
"""

from typing import Final

from penstock.wire.protobuf import DELIMITED, VARINT, Fields, delimited, number

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


def encode_request(service: str) -> bytes:
    """A HealthCheckRequest; "" asks for the server as a whole. Raises ValueError for a service
    whose name is not Unicode (lone surrogates)."""
    name = service.encode("utf-8")
    return delimited(_FIELD, name) if name else b""


def decode_request(message: bytes) -> str | None:
    """The service that a HealthCheckRequest asks for; None where it is malformed."""
    service = ""
    fields = Fields(message)
    while fields.advance():
        if fields.is_(_FIELD, DELIMITED):
            try:
                service = fields.octets().decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None if fields.malformed else service


def encode_response(status: int) -> bytes:
    """A HealthCheckResponse with a ServingStatus."""
    return number(_FIELD, status)


def decode_response(message: bytes) -> int:
    """The ServingStatus of a HealthCheckResponse, MALFORMED where it is none.

    An enum is open: numbers to come are told as they are, and only SERVING is health.
    """
    status = UNKNOWN
    fields = Fields(message)
    while fields.advance():
        if fields.is_(_FIELD, VARINT):
            status = fields.number & 0xFFFF_FFFF  # an enum has 32 bits
    return MALFORMED if fields.malformed else status
