"""What keys and limits cost, and how much passes beyond them: ``python -m benchmarks.tenants``.

Penstock and LiteLLM's proxy, each with a key, limits of requests, tokens and requests at a time,
and without; one worker on a core of its own, load and endpoints on another, in one run.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
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
from benchmarks.tenants.overshoot import BOUNDS, Bound, Overshoot, measure

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
    gateways = _Gateways(counts, "LiteLLM" in versions, interpreted)
    found = _crowds(requests, gateways) if requests else []
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


@dataclass(frozen=True)
class _Gateways:
    """Whom a crowd asks: of each kind one with so many workers."""

    workers: Sequence[int]
    litellm: bool
    interpreted: bool

    def held_to(self, bound: Bound) -> list[Balancer]:
        """Those that keep to such a bound at all: LiteLLM has budgets in its database alone."""
        found: list[Balancer] = []
        for workers in self.workers:
            variant = f", {workers} workers" * (workers > 1)
            found.append(
                KeyedPenstock(
                    sys.executable,
                    allowed=bound.allowed,
                    interpreted=self.interpreted,
                    workers=workers,
                    variant=variant,
                )
            )
            if self.litellm and not bound.allowed.budget_tokens:
                found.append(LiteLLM(allowed=bound.allowed, workers=workers, variant=variant))
        return found


def _crowds(requests: int, gateways: _Gateways) -> list[Overshoot]:
    found: list[Overshoot] = []
    for bound in BOUNDS:
        for gateway in gateways.held_to(bound):
            try:
                with temporary_directory() as directory:
                    seen = measure(gateway, bound, requests, split(), directory)
            except (StartError, OSError) as why:
                _tell(f"without {gateway.name}: {why}")
                continue
            _tell(f"{bound.name}, {gateway.name}: {seen.passed:,} of {seen.allowed:,.0f} passed")
            found.append(seen)
    return found


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
