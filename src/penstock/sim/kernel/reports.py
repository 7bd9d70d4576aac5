"""How balancers hear of load: probes that policies ask for, exchange between balancers, weights."""

from penstock.core.endpoint import Endpoint
from penstock.core.load_report import LoadReport
from penstock.sim.kernel.balancer import Balancer
from penstock.sim.kernel.events import Clock, Event


class LoadExchange(Event):
    """Every ``interval_s`` the balancers tell one another their load, heard ``delay_s`` later.

    Sets ``Endpoint.elsewhere`` and ``prefill_elsewhere``. Without an exchange each balancer knows
    its own requests only.
    """

    def __init__(
        self, clock: Clock, balancers: list[Balancer], interval_s: float, delay_s: float
    ) -> None:
        super().__init__()
        if not (interval_s > 0.0 and delay_s >= 0.0):
            raise ValueError(f"reports need an interval above 0, not {interval_s!r}, {delay_s!r}")
        self._clock: Clock = clock
        self._balancers: list[Balancer] = balancers
        self._interval_s: float = interval_s
        self._delay_s: float = delay_s

    def fire(self) -> None:
        clock = self._clock
        report = _Loads(self._balancers)
        if self._delay_s > 0.0:
            clock.heap.schedule(report, clock.now + self._delay_s)
        else:
            report.fire()
        clock.heap.schedule(self, clock.now + self._interval_s)


class _Loads(Event):
    """What was in flight at each endpoint, and prompt tokens waited, from each balancer, when it
    was made."""

    def __init__(self, balancers: list[Balancer]) -> None:
        super().__init__()
        self._balancers: list[Balancer] = balancers
        self._requests: list[list[int]] = [_in_flight(b.pool.endpoints) for b in balancers]
        self._tokens: list[list[int]] = [_pending(b.pool.endpoints) for b in balancers]

    def fire(self) -> None:
        requests = [sum(column) for column in zip(*self._requests, strict=True)]
        tokens = [sum(column) for column in zip(*self._tokens, strict=True)]
        for number, balancer in enumerate(self._balancers):
            endpoints = balancer.pool.endpoints
            if balancer.counts_own:
                own_requests, own_tokens = self._requests[number], self._tokens[number]
            else:
                own_requests, own_tokens = _in_flight(endpoints), _pending(endpoints)
            for order, endpoint in enumerate(endpoints):
                endpoint.elsewhere = requests[order] - own_requests[order]
                endpoint.prefill_elsewhere = tokens[order] - own_tokens[order]


class Poll(Event):
    """Every ``interval_s`` one balancer asks each server how many requests it has.

    Sets ``Endpoint.elsewhere`` to what others have there, heard at once. Balancers poll in their
    own time, so they do not all see the same state.
    """

    def __init__(self, clock: Clock, balancer: Balancer, interval_s: float) -> None:
        super().__init__()
        if not interval_s > 0.0:
            raise ValueError(f"a poll needs an interval above 0, not {interval_s!r}")
        self._clock: Clock = clock
        self._balancer: Balancer = balancer
        self._interval_s: float = interval_s

    def fire(self) -> None:
        balancer = self._balancer
        for endpoint, server in zip(balancer.pool.endpoints, balancer.servers, strict=True):
            present = int(server.present)
            if balancer.counts_own:
                endpoint.elsewhere = max(0, present - endpoint.in_flight)
            else:
                endpoint.elsewhere = present - endpoint.in_flight
        self._clock.heap.schedule(self, self._clock.now + self._interval_s)


class Scrape(Event):
    """Every ``interval_s`` each server's report goes to each balancer's policy."""

    def __init__(self, clock: Clock, balancers: list[Balancer], interval_s: float) -> None:
        super().__init__()
        if not interval_s > 0.0:
            raise ValueError(f"a scrape needs an interval above 0, not {interval_s!r}")
        self._clock: Clock = clock
        self._balancers: list[Balancer] = balancers
        self._interval_s: float = interval_s

    def fire(self) -> None:
        reports = [server.report() for server in self._balancers[0].servers]
        for balancer in self._balancers:
            for endpoint, report in zip(balancer.pool.endpoints, reports, strict=True):
                balancer.pool.policy.on_report(endpoint, report)
        self._clock.heap.schedule(self, self._clock.now + self._interval_s)


class WeightFeed(Event):
    """Every ``interval_s`` weights move half way to the requests that each server does per unit
    of utilisation: w = q/u, the weighted round robin of Prequal's baseline (NSDI 2024, 2).
    """

    def __init__(self, clock: Clock, balancers: list[Balancer], interval_s: float) -> None:
        super().__init__()
        if not interval_s > 0.0:
            raise ValueError(f"weights need an interval above 0, not {interval_s!r}")
        self._clock: Clock = clock
        self._balancers: list[Balancer] = balancers
        self._interval_s: float = interval_s

    def fire(self) -> None:
        reports = [server.report() for server in self._balancers[0].servers]
        known = [_capacity(report) for report in reports if _capacity(report) > 0.0]
        if known:
            usual = sum(known) / len(known)
            for balancer in self._balancers:
                for endpoint, report in zip(balancer.pool.endpoints, reports, strict=True):
                    capacity = _capacity(report)
                    told = (capacity if capacity > 0.0 else usual) / usual
                    endpoint.weight = (endpoint.weight + told) / 2.0
                balancer.pool.refresh()
        self._clock.heap.schedule(self, self._clock.now + self._interval_s)


def _capacity(report: LoadReport) -> float:
    return report.rate / report.utilisation if report.utilisation > 0.0 else 0.0


def _in_flight(endpoints: list[Endpoint]) -> list[int]:
    return [endpoint.in_flight for endpoint in endpoints]


def _pending(endpoints: list[Endpoint]) -> list[int]:
    return [endpoint.pending_prefill for endpoint in endpoints]
