"""Mitzenmacher's simulation of a hundred queues, the shortest of d joined."""

from typing import Final

from benchmarks.reproductions.reproduction import Effort, Reproduction, simulated, table
from penstock import theory

# Mean time in system, N = 100. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing
# (PhD thesis, 1996), tables of chapter 4; quoted from memory.
PUBLISHED: Final = {
    (0.5, 2): 1.267,
    (0.7, 2): 1.620,
    (0.8, 2): 1.959,
    (0.9, 2): 2.645,
    (0.95, 2): 3.461,
    (0.99, 2): 5.928,
    (0.9, 3): 2.061,
}
_CUSTOMERS: Final = {0.99: 3_000_000, 0.95: 1_500_000}


def run(effort: Effort) -> list[str]:
    """The table."""
    rows = []
    for (load, choices), published in PUBLISHED.items():
        comparison = simulated(
            {
                "arrivals": {"load": load},
                "servers": [{"count": 100}],
                "policies": [{"name": "power-of-two", "choices": choices}],
                "run": {
                    "customers": int(effort.scale * _CUSTOMERS.get(load, 600_000)),
                    "warm_up": 0.2,
                    "replications": 5,
                },
            },
            effort,
        )
        ours = comparison.results[0].interval("mean")
        rows.append(
            [
                f"{load:g}",
                str(choices),
                f"{published:.3f}",
                f"{ours.mean:.3f} ± {ours.half_width:.3f}",
                f"{ours.mean / published - 1:+.2%}",
                f"{theory.jsq_finite(load, choices, 100):.3f}",
                f"{theory.jsq_mean_field(load, choices):.3f}",
            ]
        )
    heads = [
        *("λ", "d", "published, N = 100", "ours, N = 100", "difference"),
        *("refined mean field, N = 100", "limit of many servers"),
    ]
    return table(heads, rows)


POWER_OF_TWO: Final = Reproduction("power-of-two", "The power of two choices", run)
