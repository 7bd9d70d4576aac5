"""Several balancers that share a store: how well they choose, how old what they see is, its price.

    python -m benchmarks.replicas [--balancers 1,2,4,8] [--live 1,2,4] [--requests 1000]

The first table is simulated: one workload over one, two, four and eight balancers, each request
sent to any of them, with what they tell each other (every 5 ms, 2 ms old) and without. The second
has real balancers, engines and a real server of the store, as many as two cores carry. The third
is about the age of what they see of one another (``ages.py``).
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.process import end_in_order_when_terminated
from benchmarks.replicas import ages, routed, simulated
from benchmarks.replicas.server import version
from benchmarks.reproductions.reproduction import table
from benchmarks.routing.workloads import Kind, kinds
from penstock._form import form

_LIVE_HEADS: Final = [
    *simulated.HEADS,
    "failed",
    "CPU, µs",
    "messages/s",
    "KiB/s",
    "client's lag p99, ms",
]


def main() -> None:
    """Measure and print."""
    end_in_order_when_terminated()
    given = _arguments()
    named = given.workloads.split(",")
    chosen = [kind for kind in kinds(None) if kind.name in named]
    if balancers := _numbers(given.balancers):
        _print(table(simulated.HEADS, []))
        for kind in chosen:
            for row in simulated.rows(kind, balancers, given.requests, given.seeds):
                _print([_line(row)])
    if balancers := _numbers(given.live):
        _print(["", f"{form()}, {version()}", "", *table(_LIVE_HEADS, [])])
        for kind in chosen:
            for row in _live(kind, balancers, given.live_seconds, given.live_seeds):
                _print([_line(row)])
    if balancers := _numbers(given.ages):
        share = f"{ages.ENDPOINTS} endpoints; a request's share at {ages.BUSY_PER_S:,} a second"
        _print(["", f"{form()}, {version()}, {share}", "", *table(ages.HEADS, [])])
        for count in balancers:
            _print([_line(ages.measured(count, given.seconds))])


def _print(lines: Sequence[str]) -> None:
    print("\n".join(lines), flush=True)


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", default="shared prompts,agents,no prefix")
    parser.add_argument("--balancers", default="1,2,4,8", help="simulated; empty: none")
    parser.add_argument("--requests", type=int, default=1000, help="of each simulation")
    parser.add_argument("--seeds", type=int, default=3, help="of each simulation")
    parser.add_argument("--live", default="1,2,4", help="of real processes; empty: none")
    parser.add_argument("--live-seconds", type=float, default=40.0, help="of each run")
    parser.add_argument("--live-seeds", type=int, default=1)
    parser.add_argument("--ages", default="2,4", help="of which ages are seen; empty: none")
    parser.add_argument("--seconds", type=float, default=5.0, help="that ages are looked at")
    return parser.parse_args()


def _numbers(said: str) -> list[int]:
    return [int(each) for each in said.split(",") if each]


def _live(kind: Kind, balancers: Sequence[int], seconds: float, seeds: int) -> list[list[str]]:
    """Numbers of balancers take turns with each seed; a row is the mean over the seeds."""
    seen: dict[int, list[routed.Seen]] = {count: [] for count in balancers}
    for seed in range(1, seeds + 1):
        for count in balancers:
            with tempfile.TemporaryDirectory(prefix="penstock-replicas-") as directory:
                run = routed.measure(
                    kind, count, seconds, seed, Path(directory), interpreted=form() != "compiled"
                )
                seen[count].append(asyncio.run(run))
            print(f"{kind.name}, {count}: {seen[count][-1].figures}", file=sys.stderr, flush=True)
    one = routed.together(seen[balancers[0]]).figures
    return [
        [*simulated.row(f"{kind.name}, {count}", each.figures, one), *each.told()]
        for count, each in ((count, routed.together(runs)) for count, runs in seen.items())
    ]


if __name__ == "__main__":
    main()
