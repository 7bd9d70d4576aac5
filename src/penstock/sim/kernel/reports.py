"""How balancers hear of load: probes that policies ask for, exchange between balancers, weights."""

from penstock.core.endpoint import Endpoint
from penstock.core.measure.load_report import LoadReport
from penstock.core.prefixes.prefix_index import PrefixJournal
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Clock, Event

# Requests; prompt tokens that wait; requests whose answer has begun; prompt tokens computed; tokens
# in the cache.
_Counts = tuple[int, int, int, int, int]
_Routed = tuple[int, int, int]  # an endpoint's order, a block, and its tokens


class LoadExchange(Event):
    """Every ``interval_s`` the balancers tell one another their load, heard ``delay_s`` later.

    Sets ``Endpoint.elsewhere``, and of tokens what live workers tell one another. Without an
    exchange each balancer knows its own requests only. With ``routes`` they tell as well what
    those that share a store do: which prefixes went where, and tokens in caches.
    """

    def __init__(
        self,
        clock: Clock,
        balancers: list[SimulatedBalancer],
        interval_s: float,
        delay_s: float,
        *,
        routes: bool = False,
    ) -> None:
        super().__init__()
        if not (interval_s > 0.0 and delay_s >= 0.0):
            raise ValueError(f"reports need an interval above 0, not {interval_s!r}, {delay_s!r}")
        self._clock: Clock = clock
        self._balancers: list[SimulatedBalancer] = balancers
        self._interval_s: float = interval_s
        self._delay_s: float = delay_s
        self._routes: list[_Routes] = [_Routes(each) for each in balancers] if routes else []

    def fire(self) -> None:
        clock = self._clock
        report = _Loads(self._balancers, self._routes)
        if self._delay_s > 0.0:
            clock.heap.schedule(report, clock.now + self._delay_s)
        else:
            report.fire()
        clock.heap.schedule(self, clock.now + self._interval_s)


class _Loads(Event):
    """What each balancer counted at each endpoint when it was made."""

    def __init__(self, balancers: list[SimulatedBalancer], routes: "list[_Routes]") -> None:
        super().__init__()
        self._balancers: list[SimulatedBalancer] = balancers
        self._counts: list[list[_Counts]] = [_counts(b.pool.endpoints) for b in balancers]
        self._shared: bool = len(routes) > 0
        self._routed: list[list[_Routed]] = [each.take() for each in routes]

    def fire(self) -> None:
        told = self._counts
        totals = [_total(told, order) for order in range(len(told[0]))]
        for number, balancer in enumerate(self._balancers):
            endpoints = balancer.pool.endpoints
            own = told[number] if balancer.counts_own else _counts(endpoints)
            for order, endpoint in enumerate(endpoints):
                total = totals[order]
                requests, pending, decoding, prefilled, held = own[order]
                endpoint.elsewhere = total[0] - requests
                elsewhere = endpoint.tokens_elsewhere
                elsewhere.pending_prefill = total[1] - pending
                elsewhere.decoding = total[2] - decoding
                elsewhere.prefilled = total[3] - prefilled
                if self._shared:
                    elsewhere.held = total[4] - held
            self._learn(number, balancer)

    def _learn(self, number: int, balancer: SimulatedBalancer) -> None:
        """What the others sent where."""
        index = balancer.pool.policy.prefix_index
        if index is None:
            return
        endpoints = balancer.pool.endpoints
        for teller, routed in enumerate(self._routed):
            if teller != number:
                for order, block, tokens in routed:
                    index.learn(endpoints[order], block, tokens)


class _Routes(PrefixJournal):
    """What one balancer sent where since it last told the others."""

    def __init__(self, balancer: SimulatedBalancer) -> None:
        self._routed: list[_Routed] = []
        index = balancer.pool.policy.prefix_index
        if index is not None:
            index.journal = self

    def added(self, endpoint: Endpoint, blocks: list[int], sizes: list[int]) -> None:
        for number, block in enumerate(blocks):
            self._routed.append((endpoint.order, block, sizes[number]))

    def take(self) -> list[_Routed]:
        """All of it, once."""
        routed = self._routed
        self._routed = []
        return routed


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
    found: list[_Counts] = []
    for each in endpoints:
        tokens = each.tokens
        found.append(
            (
                each.in_flight,
                tokens.pending_prefill,
                tokens.decoding,
                tokens.prefilled,
                tokens.held,
            )
        )
    return found


def _total(told: list[list[_Counts]], order: int) -> _Counts:
    """Of an endpoint, over all balancers."""
    requests = pending = decoding = prefilled = held = 0
    for counts in told:
        each = counts[order]
        requests += each[0]
        pending += each[1]
        decoding += each[2]
        prefilled += each[3]
        held += each[4]
    return requests, pending, decoding, prefilled, held
