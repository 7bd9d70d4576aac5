"""What is measured: each module writes one program's configuration and starts it."""

from collections.abc import Sequence

import click

from benchmarks.balancers.balancer import Balancer, UnavailableError
from benchmarks.balancers.envoy import Envoy
from benchmarks.balancers.haproxy import HAProxy
from benchmarks.balancers.nginx import Nginx
from benchmarks.balancers.penstock import Penstock

__all__ = [
    "Balancer",
    "Envoy",
    "HAProxy",
    "Nginx",
    "Penstock",
    "UnavailableError",
    "all_balancers",
    "available",
]


def all_balancers(penstock_python: str) -> list[Balancer]:
    """In the order in which they take turns."""
    return [
        Nginx(),
        HAProxy(),
        Envoy(),
        Penstock(penstock_python),
        Penstock(penstock_python, interpreted=True),
    ]


def available(balancers: Sequence[Balancer]) -> dict[str, str]:
    """Versions of those that can be run; says why of the others."""
    versions: dict[str, str] = {}
    for balancer in balancers:
        try:
            versions[balancer.name] = balancer.version()
        except UnavailableError as why:
            click.echo(f"without {balancer.name}: {why}", err=True)
    return versions
