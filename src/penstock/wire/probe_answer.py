"""What an endpoint answers to a probe of its load: requests in flight and latency.

Read from the response's ``endpoint-load-metrics`` field (wire/orca.py), or from its body, a JSON
object. Known names, of which the first that is there counts:

    in flight    rif, in_flight, server_load (vLLM's /load); or the sum of num_requests_running and
                 num_requests_waiting, which vLLM's responses tell
    latency      latency_s, or latency_ms
"""

from typing import Final

import msgspec

from penstock.wire.http1 import Field
from penstock.wire.orca import load_metrics

_IN_FLIGHT: Final = ("rif", "in_flight", "server_load")
_json = msgspec.json.Decoder(dict[str, object])


def probe_answer(fields: list[Field], body: bytes) -> tuple[float, float]:
    """Requests in flight, and latency in seconds; -1 for what was not told."""
    told = load_metrics(fields)
    if not told:
        told = _numbers_of(body)
    in_flight = -1.0
    for name in _IN_FLIGHT:
        if name in told:
            in_flight = told[name]
            break
    if in_flight < 0.0 and "num_requests_running" in told:
        in_flight = told["num_requests_running"] + max(told.get("num_requests_waiting", 0.0), 0.0)
    latency_s = told.get("latency_s", told.get("latency_ms", -1000.0) / 1000.0)
    return max(in_flight, -1.0), latency_s if latency_s >= 0.0 else -1.0


def _numbers_of(body: bytes) -> dict[str, float]:
    """The members of a JSON object that are numbers; none when it is anything else."""
    try:
        decoded = _json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {
        name: float(value)
        for name, value in decoded.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
