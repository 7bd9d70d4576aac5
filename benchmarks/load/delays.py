"""How late answers came."""

from collections.abc import Iterable


def told_delays(delays_s: Iterable[float]) -> dict[str, float]:
    """Their median and 99th percentile in milliseconds, as loads print them; 0 without any."""
    ordered = sorted(delays_s)
    return {
        "p50_ms": 1e3 * ordered[len(ordered) // 2] if ordered else 0.0,
        "p99_ms": 1e3 * ordered[len(ordered) * 99 // 100] if ordered else 0.0,
    }
