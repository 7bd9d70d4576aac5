"""Measure, print, and write docs/performance.md. ``python -m benchmarks --help``."""

import sys
from collections.abc import Sequence
from typing import TypeVar

import click

from benchmarks import document, record
from benchmarks.balancers import Balancer, all_balancers, available
from benchmarks.comparison import against_before
from benchmarks.cores import TooFewCoresError
from benchmarks.limits import raise_descriptor_limit
from benchmarks.process import end_in_order_when_terminated
from benchmarks.report import section
from benchmarks.rounds import run_rounds
from benchmarks.scenarios import Bench, Scenario, all_scenarios

_QUICK = Bench(rounds=1, seconds=1.0, quick=True)


# Options that name an interpreter.
_PATHS = ("--penstock-python", "--before-python")

_Named = TypeVar("_Named", Scenario, Balancer)


def _chosen(all_of: Sequence[_Named], names: str, option: str) -> list[_Named]:
    """Those named, or all. Raises click.BadParameter."""
    if not names:
        return list(all_of)
    by_name = {each.name.lower(): each for each in all_of}
    wanted = [name.strip().lower() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in by_name]:
        raise click.BadParameter(
            f"{', '.join(unknown)}: there are {', '.join(by_name)}", param_hint=option
        )
    return [each for name, each in by_name.items() if name in wanted]


@click.command()
@click.option("--only", default="", help="Scenarios, as in request,tls,sse. Default: all.")
@click.option("--balancers", default="", help="As in nginx,penstock. Default: all installed.")
@click.option("--rounds", default=5, show_default=True, help="How often all take turns.")
@click.option("--seconds", default=6.0, show_default=True, help="Of each measurement.")
@click.option("--quick", is_flag=True, help="One short round: does it work, not how fast.")
@click.option("--write-docs", is_flag=True, help=f"Write {document.FILE} of the last runs.")
@click.option(
    "--penstock-python",
    default=sys.executable,
    help="The interpreter that has Penstock. Default: this one.",
)
@click.option(
    "--before-python",
    default="",
    help="The interpreter that has the Penstock of another checkout, to tell what a change costs.",
)
def main(
    only: str,
    balancers: str,
    rounds: int,
    seconds: float,
    quick: bool,
    write_docs: bool,
    penstock_python: str,
    before_python: str,
) -> None:
    """Measure Penstock beside nginx, HAProxy and Envoy on this machine.

    Example: python -m benchmarks --only request,sse --rounds 3
    """
    raise_descriptor_limit()
    end_in_order_when_terminated()
    everyone = all_balancers(penstock_python, before_python)
    scenarios = _chosen(all_scenarios(), only, "--only")
    measured = _chosen(everyone, balancers, "--balancers")
    versions = available(measured)
    measured = [balancer for balancer in measured if balancer.name in versions]
    bench = _QUICK if quick else Bench(rounds, seconds)
    kept = record.load()
    for scenario in scenarios:
        try:
            result = run_rounds(scenario, measured, bench, lambda line: click.echo(line, err=True))
        except TooFewCoresError as why:
            click.echo(f"without {scenario.name}: {why}", err=True)
            continue
        click.echo("\n" + section(scenario, result) + "\n")
        if compared := against_before(result):
            click.echo("\n".join([f"- {line}" for line in compared]) + "\n")
        elif not quick:
            run = record.Run(result, record.today(), _command(), record.machine(), versions)
            record.keep(kept, scenario.name, run)
            record.save(kept)
    if write_docs and kept.runs:
        click.echo(f"written: {document.write(kept, all_scenarios(), everyone)}")


def _command() -> str:
    return " ".join(["python -m benchmarks", *_without_paths(sys.argv[1:])])


def _without_paths(arguments: Sequence[str]) -> list[str]:
    """As others may repeat it: which interpreter is this machine's own affair."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip or argument.startswith(_PATHS):
            skip = argument in _PATHS
            continue
        kept.append(argument)
    return kept


if __name__ == "__main__":
    main()
