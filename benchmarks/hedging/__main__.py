"""``python -m benchmarks.hedging``: prints a table; ``--live`` asks emulated engines instead."""

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean

import click

from benchmarks.hedging import live, simulated
from benchmarks.hedging.simulated import FAULTS, NONE, Run
from benchmarks.reproductions.reproduction import table
from penstock.core.snapshot import PolicyChoice
from penstock.sim.statistics import interval

_HEADS = (
    "policy",
    "fault",
    "p99 without, ms",
    "p99 with, ms",
    "change",
    "p99.9, ms",
    "mean, ms",
    "more prompt tokens",
)


def _pair(task: tuple[str, str, int, int]) -> tuple[Run, Run]:
    policy, fault, seed, seconds = task
    choice = PolicyChoice(policy)
    without, hedged = [simulated.run(fault, choice, hedge, seed, seconds) for hedge in (None, "on")]
    return without, hedged


def row(policy: str, fault: str, pairs: list[tuple[Run, Run]]) -> list[str]:
    """Means of the seeds; the change is of each seed by itself, with its 95% interval."""
    change = interval([hedged.p99_s / without.p99_s - 1.0 for without, hedged in pairs])

    def mean(name: str, which: int) -> float:
        return fmean([getattr(pair[which], name) for pair in pairs])

    def both(name: str) -> str:
        return f"{mean(name, 0) * 1e3:,.0f} → {mean(name, 1) * 1e3:,.0f}"

    return [
        f"`{policy}`",
        fault,
        f"{mean('p99_s', 0) * 1e3:,.0f}",
        f"{mean('p99_s', 1) * 1e3:,.0f}",
        f"{change.mean:+.0%}" + (f" ± {change.half_width:.0%}" if len(pairs) > 1 else ""),
        both("p999_s"),
        both("mean_s"),
        f"{mean('extra', 1):.1%}",
    ]


@click.command()
@click.option("--policies", default="marginal-cost,least-request,cache-aware", show_default=True)
@click.option("--faults", default=",".join(FAULTS), show_default=True)
@click.option("--seeds", default=5, show_default=True)
@click.option("--seconds", default=60, show_default=True, help="Of traffic in a run.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
@click.option("--live", "alive", is_flag=True, help="Emulated engines behind a real Penstock.")
def main(policies: str, faults: str, seeds: int, seconds: int, processes: int, alive: bool) -> None:
    """Time to first token with and without hedges while one engine of eight is at fault."""
    wanted = [fault.strip() for fault in faults.split(",")]
    unknown = [fault for fault in wanted if fault not in FAULTS]
    if unknown:
        raise click.BadParameter(f"no fault {unknown[0]!r}; there are: {', '.join(FAULTS)}")
    click.echo("\n".join(table(_HEADS, [])))
    with ProcessPoolExecutor(processes) as workers:
        for policy in policies.split(","):
            for fault in wanted:
                tasks = [(policy, fault, seed, seconds) for seed in range(1, seeds + 1)]
                if alive:
                    pairs = [asyncio.run(live.pair(*task)) for task in tasks]
                else:
                    pairs = list(workers.map(_pair, tasks))
                click.echo(f"| {' | '.join(row(policy, fault, pairs))} |")
    if NONE in wanted:
        click.echo("\nWith a fault nothing can be expected below the row without one.")


if __name__ == "__main__":
    main()
