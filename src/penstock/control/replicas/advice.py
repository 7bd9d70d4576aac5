"""What other balancers think of endpoints, as advice: it makes this one look, and decides nothing.

An endpoint of which another balancer thinks otherwise than before is checked at once. While any
other has it ejected, or its circuit open, one failure is enough for outlier detection here.
"""

from penstock.control.endpoints.checks import HealthChecks
from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.replicas.load_sharing import url_hash
from penstock.control.replicas.others import Others
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.balancer_loads import CIRCUIT_OPEN, EJECTED, T_VERDICT

_OUT = EJECTED | CIRCUIT_OPEN


class Advice:
    """Follows what ``others`` tell."""

    def __init__(self, others: Others, checks: HealthChecks, outliers: OutlierDetection) -> None:
        self._others = others
        self._checks = checks
        self._outliers = outliers
        self._endpoints: dict[int, list[tuple[str, str]]] = {}
        others.on_verdict = self._take

    def configure(self, snapshot: Snapshot) -> None:
        """Follow the running snapshot, after outlier detection does."""
        self._endpoints = {}
        for pool in snapshot.pools:
            for each in pool.endpoints:
                self._endpoints.setdefault(url_hash(pool, each), []).append((pool.name, each.name))
        for url in self._endpoints:
            self._advise(url)

    def _take(self, urls: list[int]) -> None:
        for url in urls:
            self._advise(url)
            for endpoint in self._endpoints.get(url, ()):
                self._checks.hurry(*endpoint)

    def _advise(self, url: int) -> None:
        out = any(verdict & _OUT for verdict in self._others.verdicts(url, T_VERDICT))
        for pool, name in self._endpoints.get(url, ()):
            self._outliers.advise(pool, name, out=out)
