"""Buoyant's experiment: eleven replicas, one of which answers after the client's patience ends."""

from typing import Final

from benchmarks.reproductions.reproduction import Effort, Reproduction, simulated, table

# Success rates with a timeout of one second. Jenson and Oanta, Beyond Round Robin: Load Balancing
# for Latency (Buoyant, 2016), for Finagle's balancers; quoted from memory.
PUBLISHED: Final = {"round-robin": "95%", "power-of-two": "99%", "peak-ewma": "99.9%"}


def run(effort: Effort) -> list[str]:
    """The table."""
    half_s = max(10, round(60 * effort.scale))
    comparison = simulated(
        {
            "arrivals": {"rate": 1000},
            # Responses at rest are of milliseconds with a tail, as those of a JVM service.
            "service": {"law": "log-normal", "mean": "10ms", "cv2": 2},
            "servers": [{"count": 11, "model": "sharing", "slots": 16}],
            "incidents": [{"at": f"{half_s}s", "servers": [0], "speed": 0.005}],
            "policies": list(PUBLISHED),
            "timeout": "1s",
            "run": {"duration": f"{2 * half_s}s", "warm_up": 0.0, "replications": 5},
        },
        effort,
    )
    rows = []
    for result in comparison.results:
        errors = result.interval("errors")
        rows.append(
            [
                result.label,
                PUBLISHED[result.label],
                f"{1 - errors.mean:.3%} ± {errors.half_width:.3%}",
                f"{result.interval('throughput').mean:,.0f}/s",
                f"{result.interval('p99').mean * 1000:.1f} ms",
                f"{result.interval('p99.9').mean * 1000:.0f} ms",
            ]
        )
    heads = ["policy", "published success", "our success", "answers", "p99", "p99.9"]
    return table(heads, rows)


PEAK_EWMA: Final = Reproduction("peak-ewma", "Peak EWMA on a degraded replica", run)
