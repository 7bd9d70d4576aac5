"""Weighted round robin by what endpoints report: requests per second over utilisation.

    weight = configured weight · rate / utilisation

An endpoint that serves more at the same utilisation gets more, so that all come to be equally busy
whatever their hardware. A report counts from ``blackout_s`` after the first of a series on, for a
cold server looks idle, and until it is ``expires_s`` old; an endpoint without a usable one has the
mean of the others', and with fewer than two usable ones only the configured weights count. New
weights take effect every ``update_s``. Between them it is ``static-edf``.
Source: gRFC A58, client-side weighted round robin (10 s, 3 min, 1 s); reports as in ORCA. Errors
are left to outlier detection.

O(log n) per pick, O(n) every ``update_s`` and for a list other than the pool's.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Option
from penstock.core.policy.plain.static_edf import StaticEdf
from penstock.core.policy.support.memory import pruned
from penstock.core.request import Request


class _Reported:
    """The series of an endpoint's reports: its first and its last."""

    def __init__(self) -> None:
        self.ratio: float = 0.0  # rate over utilisation
        self.first_at: float = 0.0
        self.last_at: float = float("-inf")


class ReportedWeight(StaticEdf):
    name: ClassVar[str] = "reported-weight"
    options: ClassVar[tuple[Option, ...]] = (
        Option("blackout_s", 10.0, "seconds of reports before they count", minimum=0.0),
        Option("expires_s", 180.0, "age in seconds at which a report is dropped", minimum=0.001),
        Option("update_s", 1.0, "seconds between changes of weights", minimum=0.01),
    )

    def __init__(
        self, blackout_s: float = 10.0, expires_s: float = 180.0, update_s: float = 1.0
    ) -> None:
        super().__init__()
        self._blackout_s: float = blackout_s
        self._expires_s: float = expires_s
        self._update_s: float = update_s
        self._reported: dict[Endpoint, _Reported] = {}
        self._now: float = 0.0
        self._mean: float = 0.0  # of usable ratios; 0: too few

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        if report.rate <= 0.0 or report.utilisation <= 0.0:
            return
        reported = self._reported.get(endpoint)
        if reported is None:
            reported = _Reported()
            self._reported[endpoint] = reported
        if report.at - reported.last_at >= self._expires_s:
            reported.first_at = report.at
        reported.last_at = report.at
        reported.ratio = report.rate / report.utilisation

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._reported = pruned(self._reported, endpoints)
        total = 0.0
        usable = 0
        for endpoint in endpoints:
            ratio = self._usable_ratio(endpoint)
            if ratio > 0.0:
                total += ratio
                usable += 1
        self._mean = total / usable if usable >= 2 else 0.0
        super().rebuild(endpoints)

    def weight_of(self, endpoint: Endpoint) -> float:
        if self._mean == 0.0:
            return endpoint.weight
        ratio = self._usable_ratio(endpoint)
        return endpoint.weight * (ratio if ratio > 0.0 else self._mean)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if self._reported and env.now - self._now >= self._update_s:
            self._now = env.now
            self.rebuild(self._endpoints)
        return super().pick(request, eligible, env)

    def beliefs(self) -> dict[str, dict[str, float]]:
        return {e.name: {"weight": self.weight_of(e)} for e in self._endpoints}

    def _usable_ratio(self, endpoint: Endpoint) -> float:
        """Rate over utilisation, or 0 where no report counts."""
        reported = self._reported.get(endpoint)
        if reported is None or self._now - reported.last_at >= self._expires_s:
            return 0.0
        if self._now - reported.first_at < self._blackout_s:
            return 0.0
        return reported.ratio
