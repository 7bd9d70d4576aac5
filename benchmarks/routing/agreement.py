"""Live processes beside the simulator: the time to first token of as many of the same requests."""

from collections.abc import Sequence

from benchmarks.reproductions.reproduction import table
from benchmarks.routing.fleets import ALIKE
from benchmarks.routing.live import OWN_SPEED, WARM_UP, Row
from benchmarks.routing.simulated import POLICIES, simulate
from benchmarks.routing.workloads import Kind
from penstock.sim.statistics import interval

_PREFIX = "Penstock "


def agreement(rows: Sequence[Row], kinds: Sequence[Kind], seconds: float, seeds: int) -> list[str]:
    """A Markdown table of the live ``rows`` at the engines' own speed that can be simulated.

    Live there are one or several runs of ``seconds`` of the engines' time, simulated there are
    ``seeds``: each draws its own traffic, of the same law. Nothing without such rows.
    """
    lines: list[list[str]] = []
    for kind in kinds:
        live: dict[str, list[float]] = {}
        for row in rows:
            if (row.kind, row.fleet, row.speedup) == (kind.name, ALIKE, OWN_SPEED):
                live.setdefault(row.router, []).append(row.ttft_mean_s)
        names = [name for name in POLICIES if _PREFIX + name in live]
        if not names or kind.traced:
            continue
        customers = round(seconds * kind.lasts * kind.requests_per_s)
        comparison = simulate(kind, ALIKE, customers, seeds, names, WARM_UP)
        for name, result in zip(names, comparison.results, strict=True):
            found = result.interval("ttft")
            measured_s = interval(live[_PREFIX + name]).mean
            lines.append(
                [
                    kind.name,
                    name,
                    f"{measured_s * 1000:,.0f}",
                    f"{found.mean * 1000:,.0f} ± {found.half_width * 1000:,.0f}",
                    f"{measured_s / found.mean - 1.0:+.0%}",
                ]
            )
    if not lines:
        return []
    return table(["workload", "policy", "live, ms", "simulated, ms", "live above it"], lines)
