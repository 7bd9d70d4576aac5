"""What is measured: each module writes one program's configuration and starts it."""

from collections.abc import Sequence

import click

from benchmarks.balancers.balancer import Balancer, UnavailableError
from benchmarks.balancers.envoy import Envoy
from benchmarks.balancers.haproxy import HAProxy
from benchmarks.balancers.nginx import Nginx
from benchmarks.balancers.penstock import Penstock

__all__ = [
    "BEFORE",
    "Balancer",
    "Envoy",
    "HAProxy",
    "Nginx",
    "Penstock",
    "UnavailableError",
    "all_balancers",
    "available",
]


# The Penstock of another checkout, in the names of its rows.
BEFORE = " before"


def all_balancers(penstock_python: str, before_python: str = "") -> list[Balancer]:
    """In the order in which they take turns; ``before_python`` has another Penstock, if given."""
    ours: list[Balancer] = []
    for interpreted in (False, True):
        ours.append(Penstock(penstock_python, interpreted=interpreted))
        if before_python:
            ours.append(Penstock(before_python, interpreted=interpreted, variant=BEFORE))
    return [Nginx(), HAProxy(), Envoy(), *ours]


def available(balancers: Sequence[Balancer]) -> dict[str, str]:
    """Versions of those that can be run; says why of the others."""
    versions: dict[str, str] = {}
    for balancer in balancers:
        try:
            versions[balancer.name] = balancer.version()
        except UnavailableError as why:
            click.echo(f"without {balancer.name}: {why}", err=True)
    return versions
