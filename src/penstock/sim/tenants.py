"""How tenants of a simulated pool shared it: plain data, passed between processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.sim.kernel.recorder import Recorder


@dataclass(frozen=True)
class TenantFigures:
    """What one tenant was given in one run. Times are in seconds."""

    given: float  # share of all that tenants were given, as they are charged
    arrived: int
    errors: float  # share of its requests
    p50_s: float
    p99_s: float


def tenant_figures(recorder: Recorder) -> dict[str, TenantFigures]:
    """By name, in the order of the scenario."""
    everything = sum(tally.given for tally in recorder.tenants.values()) or 1.0
    return {
        name: TenantFigures(
            tally.given / everything,
            tally.arrived,
            tally.errors / max(1, tally.arrived),
            tally.responses.quantile(0.5),
            tally.responses.quantile(0.99),
        )
        for name, tally in recorder.tenants.items()
    }


def jain(given: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Jain's index of what each was given for its weight: 1 where all got the same, 1/n where one
    got everything. R. Jain, D. Chiu, W. Hawe, DEC-TR-301, 1984."""
    each: Sequence[float] = [given[name] / weights[name] for name in given]
    squares = sum(value * value for value in each)
    return sum(each) ** 2 / (len(each) * squares) if squares > 0.0 else 1.0
