"""What is measured: each module writes one program's configuration and starts it."""

from benchmarks.balancers.balancer import Balancer, UnavailableError
from benchmarks.balancers.envoy import Envoy
from benchmarks.balancers.haproxy import HAProxy
from benchmarks.balancers.nginx import Nginx
from benchmarks.balancers.penstock import Penstock

__all__ = ["Balancer", "Envoy", "HAProxy", "Nginx", "Penstock", "UnavailableError", "all_balancers"]


def all_balancers(penstock_python: str) -> list[Balancer]:
    """In the order in which they take turns."""
    return [
        Nginx(),
        HAProxy(),
        Envoy(),
        Penstock(penstock_python),
        Penstock(penstock_python, interpreted=True),
    ]
