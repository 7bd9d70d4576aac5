"""Measure routers on emulated engines, and write docs/routing-quality.md."""

import asyncio
import sys
import tempfile
from itertools import product
from pathlib import Path

import click

from benchmarks import record
from benchmarks.balancers import Balancer, UnavailableError
from benchmarks.failure import StartError
from benchmarks.process import end_in_order_when_terminated
from benchmarks.routing import document, floor, standing
from benchmarks.routing.agreement import agreement
from benchmarks.routing.fleets import SPEEDS
from benchmarks.routing.live import OWN_SPEED, SECONDS, Row, measure
from benchmarks.routing.routers import routers
from benchmarks.routing.simulated import EVERY_POLICY, records, rows, simulate
from benchmarks.routing.workloads import Kind, kinds


@click.command()
@click.option("--trace", type=click.Path(exists=True, path_type=Path), help="Mooncake's format.")
@click.option("--only", default="", help="Workloads, as in agents,reasoning. Default: all.")
@click.option("--fleets", default=",".join(SPEEDS), show_default=True)
@click.option("--routers", "wanted", default="", help="Parts of names, as in cache,Envoy.")
@click.option(
    "--seconds", default=SECONDS, show_default=True, help="Of the engines' time, each run."
)
@click.option("--speedup", default=3.0, show_default=True, help="Of the engines.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--live-seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Live runs of each: seed, seed + 1, …, all routers with one before the next.",
)
@click.option("--seeds", default=5, show_default=True, help="Of the simulation.")
@click.option("--customers", default=3000, show_default=True, help="Of each simulation.")
@click.option("--live/--no-live", default=True, show_default=True)
@click.option("--simulate/--no-simulate", "simulated", default=True, show_default=True)
@click.option("--write-docs", is_flag=True, help=f"Write {document.FILE} of the last runs.")
@click.option("--penstock-python", default=sys.executable, help="The interpreter that has it.")
@click.option("--interpreted", is_flag=True, help="Run Penstock uncompiled.")
def main(
    trace: Path | None,
    only: str,
    fleets: str,
    wanted: str,
    seconds: float,
    speedup: float,
    seed: int,
    live_seeds: int,
    seeds: int,
    customers: int,
    live: bool,
    simulated: bool,
    write_docs: bool,
    penstock_python: str,
    interpreted: bool,
) -> None:
    """Route the same traffic to the same emulated engines by Penstock's policies and by others.

    \b
    Examples:
      python -m benchmarks.routing --only agents --routers cache,marginal
      python -m benchmarks.routing --no-simulate --live-seeds 3 --fleets alike
      python -m benchmarks.routing --speedup 1 --fleets alike --routers Penstock
    """
    end_in_order_when_terminated()
    known = kinds(trace)
    names = named(only, [kind.name for kind in known])
    chosen = [kind for kind in known if kind.name in names]
    on = named(fleets, list(SPEEDS))
    kept = document.load()
    if live:
        kept.machine = record.machine()
        everyone = [
            router
            for router in routers(penstock_python, interpreted, speedup)
            if not wanted or any(part in router.name for part in wanted.split(","))
        ]
        # Seeds in turn, so that a machine that drifts does so for all routers.
        for each in range(seed, seed + live_seeds):
            for fleet, kind in product(on, chosen):
                _measure_all(everyone, kind, fleet, seconds, speedup, each, kept)
    if simulated:
        for fleet, kind in product(on, chosen):
            _simulate_all(kind, fleet, customers, seeds, kept)
    if simulated or speedup == OWN_SPEED:
        kept.agreement = agreement(kept.rows, known, seconds, seeds)
        click.echo("\n".join(kept.agreement))
        document.save(kept)
    if write_docs:
        click.echo(f"written: {document.write(kept)}")


def named(said: str, known: list[str]) -> list[str]:
    """What ``said`` names, separated by commas; all where it says nothing. Raises BadParameter."""
    wanted = said.split(",") if said else known
    if unknown := [name for name in wanted if name not in known]:
        raise click.BadParameter(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return [name for name in known if name in wanted]


def _measure_all(
    everyone: list[Balancer],
    kind: Kind,
    fleet: str,
    seconds: float,
    speedup: float,
    seed: int,
    kept: document.Kept,
) -> None:
    if speedup != OWN_SPEED:
        document.keep_floor(kept, floor.live(kind, fleet, seconds, seed))
    for router in everyone:
        if row := _tried(router, kind, fleet, seconds, speedup, seed, kept):
            document.keep(kept, row)
            document.save(kept)


def _simulate_all(kind: Kind, fleet: str, customers: int, seeds: int, kept: document.Kept) -> None:
    name = f"{kind.name}, {fleet}"
    click.echo(f"simulating {name}", err=True)
    comparison = simulate(kind, fleet, customers, seeds, EVERY_POLICY)
    least = floor.simulated(comparison.scenario)
    click.echo("\n".join(rows(comparison, least)))
    kept.simulated[name] = records(comparison, least, kind.name, fleet)
    kept.standing[name] = standing.records(comparison, kind.name, fleet)
    kept.seeds = seeds
    document.save(kept)


def _tried(
    router: Balancer,
    kind: Kind,
    fleet: str,
    seconds: float,
    speedup: float,
    seed: int,
    kept: document.Kept,
) -> Row | None:
    """The measurement, or None where the router does not run; says why."""
    try:
        kept.versions[router.name] = router.version()
        with tempfile.TemporaryDirectory(prefix="penstock-routing-") as directory:
            row = asyncio.run(
                measure(
                    router,
                    kind,
                    fleet,
                    engine_seconds=seconds,
                    speedup=speedup,
                    seed=seed,
                    directory=Path(directory),
                )
            )
    except (UnavailableError, StartError, RuntimeError) as why:
        kept.missing[router.name] = str(why).splitlines()[0]
        click.echo(f"without {router.name}: {why}", err=True)
        return None
    click.echo(
        f"{seed} {fleet:16} {kind.name:22} {router.name:40} TTFT {row.ttft_mean_s * 1000:6.0f} ms, "
        f"p99 {row.ttft_p99_s * 1000:6.0f} ms, {row.tpot_mean_s * 1000:5.1f} ms/token, "
        f"hit {row.hit_rate:4.0%}, goodput {row.goodput_per_s:5.2f}/s, "
        f"CPU {row.cpu_per_request_s * 1000:5.1f} ms, failed {row.failed}, "
        f"lag p99 {row.client_lag_p99_s * 1000:4.0f} ms",
        err=True,
    )
    return row


if __name__ == "__main__":
    main()
