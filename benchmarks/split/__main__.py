"""``python -m benchmarks.split``: prints a table."""

import os
from concurrent.futures import ProcessPoolExecutor

import click

from benchmarks.reproductions.reproduction import table
from benchmarks.split.simulated import RULES, WORKLOADS, Run, run
from penstock.sim.statistics import interval

_HEADS = (
    "workload",
    "computed apart",
    "share apart",
    "TTFT mean, ms",
    "TTFT p99, ms",
    "time per token, ms",
    "goodput per s",
)


def _one(task: tuple[str, str, int, int]) -> Run:
    workload, rule, seed, seconds = task
    return run(WORKLOADS[workload], rule, seed, seconds)


def row(workload: str, rule: str, runs: list[Run]) -> list[str]:
    """Means of the seeds, with their 95% intervals where there are several."""

    def cell(values: list[float], digits: int) -> str:
        found = interval(values)
        wide = f" ± {found.half_width:,.{digits}f}" if len(values) > 1 else ""
        return f"{found.mean:,.{digits}f}{wide}"

    return [
        workload,
        rule,
        f"{sum([each.apart for each in runs]) / len(runs):.0%}",
        cell([each.mean_s * 1e3 for each in runs], 0),
        cell([each.p99_s * 1e3 for each in runs], 0),
        cell([each.token_s * 1e3 for each in runs], 1),
        cell([each.good_per_s for each in runs], 2),
    ]


@click.command()
@click.option("--workloads", default=",".join(WORKLOADS), show_default=True, help="By a ','.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--seconds", default=60, show_default=True, help="Of traffic in a run.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
def main(workloads: str, seeds: int, seconds: int, processes: int) -> None:
    """Four engines that compute and four that answer, in the simulator, under each rule."""
    click.echo("\n".join(table(_HEADS, [])))
    with ProcessPoolExecutor(processes) as workers:
        for name in workloads.split(","):
            if name not in WORKLOADS:
                raise click.BadParameter(f"no workload {name!r}; there are: {', '.join(WORKLOADS)}")
            for rule in RULES:
                tasks = [(name, rule, seed, seconds) for seed in range(1, seeds + 1)]
                cells = row(name, rule, list(workers.map(_one, tasks)))
                click.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
