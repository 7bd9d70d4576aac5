"""Endpoints with growing counts, judged by a detector ten times a second."""

from dataclasses import dataclass

from penstock.core.health.outlier import OutlierChange, OutlierDetector
from penstock.core.health.outlier_records import EndpointCounts, Tally
from penstock.core.snapshot import Outlier

ROOMY = Outlier(max_ejected_share=1.0)
SPLIT = Outlier(max_ejected_share=1.0, split_local_failures=True)


@dataclass
class Counted:
    """What an endpoint did, by how each attempt ended."""

    successes: int = 0
    errors: int = 0  # 5xx that are none of the next
    gateway_errors: int = 0
    unanswered: int = 0
    unreached: int = 0  # of these, for want of a connection


class Pool:
    """Endpoints with growing counts, fed to a detector ten times a second."""

    def __init__(self, size: int, settings: Outlier = ROOMY) -> None:
        self.now = 1000.0
        self.names = [f"e{i}" for i in range(size)]
        self.counted = {name: Counted() for name in self.names}
        self.consecutive = dict.fromkeys(self.names, 0)
        self.down: set[str] = set()
        self.detector = OutlierDetector(settings, self.now)
        self.observe()

    def serve(
        self,
        name: str,
        *,
        successes: int = 0,
        failures: int = 0,
        gateway: int = 0,
        unanswered: int = 0,
        unreached: int = 0,
    ) -> None:
        counted = self.counted[name]
        counted.successes += successes
        counted.errors += failures
        counted.gateway_errors += gateway
        counted.unanswered += unanswered + unreached
        counted.unreached += unreached

    def observe(self, after: float = 0.1) -> list[OutlierChange]:
        self.now += after
        return self.detector.observe(self.now, [self._counts(name) for name in self.names])

    def _counts(self, name: str) -> EndpointCounts:
        counted = self.counted[name]
        responses = counted.successes + counted.errors + counted.gateway_errors
        errors = counted.errors + counted.gateway_errors
        local = counted.unanswered
        every = Tally(responses + local, errors + local, self.consecutive[name])
        gateway = Tally(responses + local, counted.gateway_errors + local)
        apart = Tally()
        if self.detector.settings.split_local_failures:
            every = Tally(responses, errors, self.consecutive[name])
            gateway = Tally(responses, counted.gateway_errors)
            apart = Tally(responses + local, local)
        unreached = Tally(responses + local, counted.unreached)
        return EndpointCounts(name, every, gateway, apart, name not in self.down, unreached)

    def ejected(self) -> set[str]:
        return {name for name in self.names if self.detector.is_ejected(name)}
