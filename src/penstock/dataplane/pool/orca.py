"""Loads that answers tell in their heads (ORCA): asked for, hidden from clients, and understood."""

from typing import Final

from penstock.core.measure.load_report import LoadReport
from penstock.wire.forwarding import Edit
from penstock.wire.orca import FIELDS, FORMAT_FIELD

ASKED: Final[Edit] = ("set", b"Endpoint-Load-Metrics-Format", FORMAT_FIELD, b"TEXT")
HIDDEN: Final[list[Edit]] = [("remove", field, field, b"") for field in FIELDS]


def report_of(told: dict[str, float], kv_capacity: int, now: float) -> LoadReport:
    """What those metrics say. ``kv_capacity``: of the endpoint's cache, in tokens; 0: unknown."""
    usage = told.get("kv_cache_usage_perc", told.get("kv_cache_utilization", -1.0))
    return LoadReport(
        now,
        queued=told.get("num_requests_waiting", -1.0),
        utilisation=told.get("application_utilization", told.get("cpu_utilization", usage)),
        rate=told.get("rps_fractional", -1.0),
        kv_tokens=int(min(usage, 1.0) * kv_capacity) if usage >= 0.0 and kv_capacity > 0 else -1,
    )
