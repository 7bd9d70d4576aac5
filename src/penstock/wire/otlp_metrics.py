"""Metrics as OTLP has them, in Protocol Buffers (opentelemetry-proto 1.x, metrics.proto).

Only what is sent is written, and of answers only what is read. Sums and histograms are cumulative.
"""

import struct
from typing import Final

from penstock.wire.protobuf import DELIMITED, FIXED_64, VARINT, Fields, delimited_head

_CUMULATIVE: Final = b"\x10\x02"  # field 2, a number: AGGREGATION_TEMPORALITY_CUMULATIVE
_MONOTONIC: Final = b"\x18\x01"  # field 3, true
_START: Final = bytes((2 << 3 | FIXED_64,))
_TIME: Final = bytes((3 << 3 | FIXED_64,))
_VALUE: Final = bytes((4 << 3 | FIXED_64,))  # a double in a number, a count in a histogram
_SUM: Final = bytes((5 << 3 | FIXED_64,))
_U64: Final = struct.Struct("<Q")
_DOUBLE: Final = struct.Struct("<d")


def part(field: int, content: bytes) -> bytes:
    """A message or text inside another."""
    return delimited_head(field, len(content)) + content


def attribute(field: int, key: str, value: str) -> bytes:
    """A KeyValue of text, as that field."""
    text = part(1, value.encode("utf-8", "replace"))
    return part(field, part(1, key.encode("utf-8", "replace")) + part(2, text))


def number_point(attributes: bytes, start_ns: int, now_ns: int, value: float) -> bytes:
    """A point of a gauge or a sum; ``attributes``: each as field 7. A gauge has no start: 0."""
    point = _TIME + _U64.pack(now_ns) + _VALUE + _DOUBLE.pack(value) + attributes
    return part(1, _START + _U64.pack(start_ns) + point if start_ns else point)


def histogram_point(
    attributes: bytes,
    start_ns: int,
    now_ns: int,
    total: float,
    counts: list[int],
    bounds: list[float],
) -> bytes:
    """``counts``: of each bucket alone, one more than ``bounds``. ``attributes``: as field 9."""
    packed_counts = b"".join([_U64.pack(count) for count in counts])
    packed_bounds = b"".join([_DOUBLE.pack(bound) for bound in bounds])
    return part(
        1,
        _START
        + _U64.pack(start_ns)
        + _TIME
        + _U64.pack(now_ns)
        + _VALUE
        + _U64.pack(sum(counts))
        + _SUM
        + _DOUBLE.pack(total)
        + part(6, packed_counts)
        + part(7, packed_bounds)
        + attributes,
    )


def metric(name: str, meaning: str, kind: str, points: list[bytes]) -> bytes:
    """A Metric, as a field of a ScopeMetrics. ``kind``: gauge, counter or histogram."""
    data = b"".join(points)
    if kind == "counter":
        shown = part(7, data + _CUMULATIVE + _MONOTONIC)
    elif kind == "histogram":
        shown = part(9, data + _CUMULATIVE)
    else:
        shown = part(5, data)
    return part(2, part(1, name.encode()) + part(2, meaning.encode()) + shown)


def export(attributes: bytes, version: str, metrics: list[bytes]) -> bytes:
    """An ExportMetricsServiceRequest. ``attributes`` of the resource: each as field 1."""
    scope = part(1, b"penstock") + part(2, version.encode())
    return part(1, part(1, attributes) + part(2, part(1, scope) + b"".join(metrics)))


def refused_points(answer: bytes) -> int:
    """How many points an ExportMetricsServiceResponse says were refused."""
    refused = 0
    fields = Fields(answer)
    while fields.advance():
        if fields.is_(1, DELIMITED):
            inside = fields.inside()
            while inside.advance():
                if inside.is_(1, VARINT):
                    refused = inside.number
    return refused if refused < 1 << 63 else 0
