"""What keys and limits cost, and how much passes beyond them: ``python -m benchmarks.tenants``.

Penstock and LiteLLM's proxy, each with a key, limits of requests, tokens and requests at a time,
and without; one worker on a core of its own, load and endpoints on another, in one run.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from benchmarks import record
from benchmarks.balancers import Balancer, available
from benchmarks.cores import split
from benchmarks.failure import StartError
from benchmarks.limits import raise_descriptor_limit
from benchmarks.marked import replace
from benchmarks.process import end_in_order_when_terminated
from benchmarks.scenarios.scenario import temporary_directory
from benchmarks.tenants import cost, report
from benchmarks.tenants.asked import PLENTY
from benchmarks.tenants.gateways import KeyedPenstock
from benchmarks.tenants.litellm import LiteLLM
from benchmarks.tenants.overshoot import BOUNDS, Bound, Overshoot, keys_of, measure

DOCUMENT: Final = Path("docs") / "tenants.md"
_KEYED: Final = ", key and limits"


@click.command()
@click.option("--rounds", default=9, show_default=True, help="How often all take turns.")
@click.option("--seconds", default=1.0, show_default=True, help="Of each turn.")
@click.option("--requests", default=1000, show_default=True, help="That come at once; 0: none.")
@click.option("--workers", default="1,2", show_default=True, help="Where a crowd asks.")
@click.option("--litellm/--no-litellm", default=True, show_default=True)
@click.option("--interpreted", is_flag=True, help="Run Penstock uncompiled.")
@click.option("--write-docs", is_flag=True, help=f"Write the tables into {DOCUMENT}.")
def main(
    rounds: int,
    seconds: float,
    requests: int,
    workers: str,
    litellm: bool,
    interpreted: bool,
    write_docs: bool,
) -> None:
    """Measure what keys and limits cost, and what passes beyond limits when a crowd asks at once.

    Example: python -m benchmarks.tenants --rounds 15 --no-litellm --requests 0
    """
    raise_descriptor_limit()
    end_in_order_when_terminated()
    pairs = _pairs(litellm, interpreted)
    versions = available([gateway for gateway, _ in pairs])
    known = [(gateway, without) for gateway, without in pairs if gateway.name in versions]
    cores = split()
    with temporary_directory() as directory:
        costs = cost.measure(known, rounds, seconds, cores, directory, _tell) if rounds else []
    counts = [int(each) for each in workers.split(",")]
    found = _crowds(requests, counts, interpreted, "LiteLLM" in versions) if requests else []
    run = report.Run(
        " ".join(["python -m benchmarks.tenants", *sys.argv[1:]]),
        record.today(),
        record.machine(),
        {name: version for name, version in versions.items() if "," not in name},
        costs,
        found,
    )
    report.save(run)
    text = "\n".join(report.told(run))
    click.echo(text)
    if write_docs:
        replace(DOCUMENT, "tenants", text, "# Tenants\n")


def _pairs(litellm: bool, interpreted: bool) -> list[tuple[Balancer, str]]:
    """Gateways, each with the name of the one that is the same without key and limits."""
    found: list[tuple[Balancer, str]] = []
    for kind in ("http", "llm"):
        for allowed in (None, PLENTY):
            variant = f" {kind}{_KEYED if allowed else ''}"
            gateway = KeyedPenstock(
                sys.executable,
                allowed=allowed,
                kind=kind,
                interpreted=interpreted,
                variant=variant,
            )
            found.append((gateway, gateway.name.removesuffix(_KEYED) if allowed else ""))
    if litellm:
        found.append((LiteLLM(allowed=None), ""))
        found.append((LiteLLM(allowed=PLENTY, variant=_KEYED), "LiteLLM"))
    return found


def _crowds(
    requests: int, workers: Sequence[int], interpreted: bool, litellm: bool
) -> list[Overshoot]:
    """LiteLLM has budgets in its database alone."""
    asked: list[tuple[Balancer, Sequence[Bound]]] = []
    without_budget = [bound for bound in BOUNDS if not bound.allowed.budget_tokens]
    for count in workers:
        variant = f", {count} workers" * (count > 1)
        gateway = KeyedPenstock(
            sys.executable,
            allowed=keys_of(BOUNDS),
            interpreted=interpreted,
            workers=count,
            variant=variant,
        )
        asked.append((gateway, BOUNDS))
        if litellm:
            keys = keys_of(without_budget)
            asked.append((LiteLLM(allowed=keys, workers=count, variant=variant), without_budget))
    found: list[Overshoot] = []
    for balancer, bounds in asked:
        with temporary_directory() as directory:
            try:
                for each in measure(balancer, bounds, requests, split(), directory):
                    _tell(f"{each.gateway}, {each.bound}: {each.passed:,} of {each.allowed:,.0f}")
                    found.append(each)
            except (StartError, OSError) as why:
                _tell(f"without {balancer.name}: {why}")
    return found


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
