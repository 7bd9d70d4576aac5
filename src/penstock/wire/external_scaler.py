"""The messages of KEDA's external scalers (kedacore/keda, externalscaler.proto), answered."""

from typing import Final

from penstock.wire.protobuf import (
    Malformed,
    bytes_field,
    decode,
    double_field,
    text,
    varint_field,
)

SERVICE: Final = "externalscaler.ExternalScaler"


class Asked:
    """What a call asks for: the metadata of its trigger, and the metric where one is named."""

    def __init__(self, metadata: dict[str, str], metric: str) -> None:
        self.metadata: dict[str, str] = metadata
        self.metric: str = metric


def decode_reference(message: bytes) -> Asked:
    """A ScaledObjectRef. Raises Malformed."""
    metadata: dict[str, str] = {}
    for field in decode(message):
        if field.tag == 3:
            entry = decode(field.value)
            metadata[text(entry, 1)] = text(entry, 2)
    return Asked(metadata, "")


def decode_metrics_request(message: bytes) -> Asked:
    """A GetMetricsRequest. Raises Malformed."""
    fields = decode(message)
    asked = Asked({}, text(fields, 2))
    for field in fields:
        if field.tag == 1:
            asked.metadata = decode_reference(field.value).metadata
    return asked


def encode_active(active: bool) -> bytes:
    """An IsActiveResponse."""
    return varint_field(1, 1 if active else 0)


def encode_metric(name: str, value: int) -> bytes:
    """A GetMetricSpecResponse with a target, or a GetMetricsResponse with a value: both have a list
    of a name with an int64, which older versions read, and a double."""
    metric = bytes_field(1, name.encode()) + varint_field(2, value) + double_field(3, float(value))
    return bytes_field(1, metric)


__all__ = [
    "SERVICE",
    "Asked",
    "Malformed",
    "decode_metrics_request",
    "decode_reference",
    "encode_active",
    "encode_metric",
]
