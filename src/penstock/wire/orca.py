"""Load that a response tells in its head: ORCA (Open Request Cost Aggregation).

    endpoint-load-metrics: TEXT cpu_utilization=0.3, named_metrics.num_requests_waiting=2
    endpoint-load-metrics: JSON {"cpu_utilization": 0.3, "named_metrics": {"…": 2}}

vLLM sends it when the request has ``endpoint-load-metrics-format``. Older names of the field have
the form in them. Source: Envoy's ORCA formats (xds/data/orca/v3); the binary form is not read.
"""

from math import inf
from typing import Final

import msgspec

FORMAT_FIELD: Final = b"endpoint-load-metrics-format"
FIELDS: Final = (b"endpoint-load-metrics", b"endpoint-load-metrics-json")
_MOST_BYTES: Final = 8192
_NAMED: Final = "named_metrics."
_json = msgspec.json.Decoder(dict[str, float | dict[str, float]])


def load_metrics(fields: list[tuple[bytes, bytes, bytes]]) -> dict[str, float]:
    """What a response's fields tell, by the metric's bare name; empty when they tell nothing.

    A load is never negative, and one that is no finite number is not known.
    """
    for lower, _, value in fields:
        if lower in FIELDS and len(value) <= _MOST_BYTES:
            told = _told(lower, value)
            return {name: number for name, number in told.items() if 0.0 <= number < inf}
    return {}


def _told(field: bytes, value: bytes) -> dict[str, float]:
    if field == b"endpoint-load-metrics-json":
        return _of_json(value)
    form, _, rest = value.partition(b" ")
    if form == b"JSON":
        return _of_json(rest)
    return _of_text(rest) if form == b"TEXT" else {}


def _of_text(text: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    for pair in text.decode("latin-1").split(","):
        name, equals, number = pair.partition("=")
        if not equals:
            name, equals, number = pair.partition(":")
        try:
            found[name.strip().removeprefix(_NAMED)] = float(number)
        except ValueError:
            continue  # one that cannot be read does not spoil the others
    return found


def _of_json(text: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    try:
        decoded = _json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return found
    for name, value in decoded.items():
        if isinstance(value, dict):
            found |= value
        else:
            found[name] = value
    return found
