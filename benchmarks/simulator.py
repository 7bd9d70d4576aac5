"""The simulator beside others: ``python -m benchmarks.simulator --write-docs``.

One queue, M/M/1 at a load of 0.8, simulated by Penstock (through a pool, its policy, tickets and
histograms), SimPy and Ciw, each as its documentation writes it. CPU time of building and running,
without importing. ``pip install '.[simulators]'`` brings the others; those that are not
installed are left out.
"""

import platform
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from random import Random
from statistics import median
from time import process_time
from typing import Any, Final

import click

from benchmarks.marked import replace
from penstock import theory
from penstock._form import form

FILE: Final = Path("docs") / "simulator.md"
LOAD: Final = 0.8  # with a mean service of 1


@dataclass(frozen=True)
class Contender:
    """A simulator: its name, the package that it comes in, and its M/M/1."""

    name: str
    package: str
    run: Callable[[int, int], float]  # customers, seed → mean response


@dataclass
class Measured:
    """CPU seconds of each round, and the mean response of the first."""

    contender: Contender
    seconds: list[float]
    response: float


@click.command()
@click.option("--customers", default=1_000_000, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="In each, all take their turn.")
@click.option("--only", default="", help="Of penstock, simpy and ciw, as in penstock,simpy.")
@click.option("--write-docs", is_flag=True, help=f"Replace the table in {FILE}.")
def main(customers: int, rounds: int, only: str, write_docs: bool) -> None:
    """Measure, and print the table."""
    found = [Measured(each, [], 0.0) for each in _contenders(only)]
    for measured in found:
        measured.contender.run(1000, 0)  # imports
    for seed in range(1, rounds + 1):
        for measured in found:
            began = process_time()
            response = measured.contender.run(customers, seed)
            measured.seconds.append(process_time() - began)
            measured.response = measured.response or response
            told = f"{measured.contender.name}: {measured.seconds[-1]:.2f} s"
            click.echo(f"round {seed}: {told}, mean response {response:.3f}", err=True)
    text = "\n".join(_document(found, customers, rounds))
    click.echo(text)
    if write_docs:
        replace(FILE, "simulator", text, "")


def penstock(customers: int, seed: int) -> float:
    """The mean response of one FIFO server behind a pool whose policy picks for each customer."""
    from penstock.sim.outcome import run_once
    from penstock.sim.scenario_file import scenario_of

    scenario = scenario_of(
        {
            "arrivals": {"load": LOAD},
            "servers": [{}],
            "policies": ["least-request"],
            "run": {"customers": customers, "warm_up": 0.0, "seed": seed},
        }
    )
    return run_once(scenario, scenario.policies[0], 0).metrics["mean"]


def simpy(customers: int, seed: int) -> float:
    """The mean response of a Resource with a process for each customer."""
    import simpy as library

    chance = Random(seed)
    environment = library.Environment()
    server = library.Resource(environment, capacity=1)
    responses: list[float] = []

    def customer() -> Generator[Any, Any, None]:
        came_at = environment.now
        with server.request() as turn:
            yield turn
            yield environment.timeout(chance.expovariate(1.0))
        responses.append(environment.now - came_at)

    def arrivals() -> Generator[Any, Any, None]:
        for _ in range(customers):
            yield environment.timeout(chance.expovariate(LOAD))
            environment.process(customer())

    environment.process(arrivals())
    environment.run()
    return sum(responses) / len(responses)


def ciw(customers: int, seed: int) -> float:
    """The mean response of a network of one node."""
    import ciw as library

    library.seed(seed)
    network = library.create_network(
        arrival_distributions=[library.dists.Exponential(rate=LOAD)],
        service_distributions=[library.dists.Exponential(rate=1.0)],
        number_of_servers=[1],
    )
    simulation = library.Simulation(network)
    simulation.simulate_until_max_customers(customers, method="Finish")
    records = simulation.get_all_records()
    return sum(float(each.exit_date - each.arrival_date) for each in records) / len(records)


ALL: Final = (
    Contender("Penstock", "penstock", penstock),
    Contender("SimPy", "simpy", simpy),
    Contender("Ciw", "ciw", ciw),
)


def _contenders(only: str) -> list[Contender]:
    chosen = [each for each in ALL if not only or each.package in only.split(",")]
    missing = [each for each in chosen if find_spec(each.package) is None]
    for each in missing:
        click.echo(f"{each.name} is not installed, and left out: pip install {each.package}")
    return [each for each in chosen if each not in missing]


def _document(found: list[Measured], customers: int, rounds: int) -> Iterator[str]:
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    yield (
        f"`{' '.join(['python -m benchmarks.simulator', *sys.argv[1:]])}`, on "
        f"{datetime.now(UTC):%Y-%m-%d} ({machine}): M/M/1 at a load of {LOAD:g}, {customers:,} "
        f"customers, taking turns in {rounds} rounds. The mean response is "
        f"{theory.mm1(LOAD, 1.0).response:g} by theory."
    )
    yield ""
    yield "| simulator | CPU, median | µs per customer | times Penstock | mean response |"
    yield "|---|--:|--:|--:|--:|"
    ours = next((each for each in found if each.contender.package == "penstock"), None)
    for each in found:
        seconds = median(each.seconds)
        ratio = "–"
        if ours is not None:
            ratios = [a / b for a, b in zip(each.seconds, ours.seconds, strict=True)]
            ratio = f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        kind = form() if each is ours else version(each.contender.package)
        per_customer = f"{seconds / customers * 1e6:.2f}"
        yield (
            f"| {each.contender.name}, {kind} | {seconds:.2f} s | {per_customer} | {ratio} "
            f"| {each.response:.3f} |"
        )


if __name__ == "__main__":
    main()
