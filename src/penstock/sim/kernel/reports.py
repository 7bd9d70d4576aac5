"""How balancers hear of load: probes that policies ask for, exchange between balancers, weights."""

from penstock.core.endpoint import Endpoint
from penstock.core.measure.load_report import LoadReport
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Clock, Event

# Requests; prompt tokens that wait; requests whose answer has begun; prompt tokens computed.
_Counts = tuple[int, int, int, int]


class LoadExchange(Event):
    """Every ``interval_s`` the balancers tell one another their load, heard ``delay_s`` later.

    Sets ``Endpoint.elsewhere``, and of tokens what live workers tell one another. Without an
    exchange each balancer knows its own requests only.
    """

    def __init__(
        self, clock: Clock, balancers: list[SimulatedBalancer], interval_s: float, delay_s: float
    ) -> None:
        super().__init__()
        if not (interval_s > 0.0 and delay_s >= 0.0):
            raise ValueError(f"reports need an interval above 0, not {interval_s!r}, {delay_s!r}")
        self._clock: Clock = clock
        self._balancers: list[SimulatedBalancer] = balancers
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
    """What each balancer counted at each endpoint when it was made."""

    def __init__(self, balancers: list[SimulatedBalancer]) -> None:
        super().__init__()
        self._balancers: list[SimulatedBalancer] = balancers
        self._counts: list[list[_Counts]] = [_counts(b.pool.endpoints) for b in balancers]

    def fire(self) -> None:
        told = self._counts
        for number, balancer in enumerate(self._balancers):
            endpoints = balancer.pool.endpoints
            own = told[number] if balancer.counts_own else _counts(endpoints)
            for order, endpoint in enumerate(endpoints):
                totals = [
                    sum(column) for column in zip(*[each[order] for each in told], strict=True)
                ]
                requests, pending, decoding, prefilled = own[order]
                endpoint.elsewhere = totals[0] - requests
                endpoint.tokens_elsewhere.pending_prefill = totals[1] - pending
                endpoint.tokens_elsewhere.decoding = totals[2] - decoding
                endpoint.tokens_elsewhere.prefilled = totals[3] - prefilled


class Poll(Event):
    """Every ``interval_s`` one balancer asks each server how many requests it has.

    Sets ``Endpoint.elsewhere`` to what others have there, heard at once. Balancers poll in their
    own time, so they do not all see the same state.
    """

    def __init__(self, clock: Clock, balancer: SimulatedBalancer, interval_s: float) -> None:
        super().__init__()
        if not interval_s > 0.0:
            raise ValueError(f"a poll needs an interval above 0, not {interval_s!r}")
        self._clock: Clock = clock
        self._balancer: SimulatedBalancer = balancer
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

    def __init__(self, clock: Clock, balancers: list[SimulatedBalancer], interval_s: float) -> None:
        super().__init__()
        if not interval_s > 0.0:
            raise ValueError(f"a scrape needs an interval above 0, not {interval_s!r}")
        self._clock: Clock = clock
        self._balancers: list[SimulatedBalancer] = balancers
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

    def __init__(self, clock: Clock, balancers: list[SimulatedBalancer], interval_s: float) -> None:
        super().__init__()
        if not interval_s > 0.0:
            raise ValueError(f"weights need an interval above 0, not {interval_s!r}")
        self._clock: Clock = clock
        self._balancers: list[SimulatedBalancer] = balancers
        self._interval_s: float = interval_s

    def fire(self) -> None:
        reports = [server.report() for server in self._balancers[0].servers]
        known = [_capacity(report) for report in reports if _capacity(report) > 0.0]
        if known:
            usual = sum(known) / len(known)
            for balancer in self._balancers:
                for order, report in enumerate(reports):
                    capacity = _capacity(report)
                    told = (capacity if capacity > 0.0 else usual) / usual
                    balancer.set_weight(order, (balancer.weight(order) + told) / 2.0)
                balancer.refresh()
        self._clock.heap.schedule(self, self._clock.now + self._interval_s)


def _capacity(report: LoadReport) -> float:
    return report.rate / report.utilisation if report.utilisation > 0.0 else 0.0


def _counts(endpoints: list[Endpoint]) -> list[_Counts]:
    return [
        (e.in_flight, e.tokens.pending_prefill, e.tokens.decoding, e.tokens.prefilled)
        for e in endpoints
    ]
