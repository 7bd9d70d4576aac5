"""Probes of a simulated balancer whose policy asks servers for their load; they travel as requests
and answers do."""

from random import Random

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.pool.pool import Pool
from penstock.sim.kernel.events import Clock, Event
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.server import Server


class Prober:
    """Of one balancer. ``servers[i]`` answers for ``pool.endpoints[i]``; delays are one way."""

    def __init__(
        self,
        clock: Clock,
        pool: Pool,
        env: Env,
        servers: list[Server],
        request_delay: Law | None,
        response_delay: Law | None,
        network: Random,
    ) -> None:
        self._clock: Clock = clock
        self._pool: Pool = pool
        self._env: Env = env
        self._servers: list[Server] = servers
        self._request_delay: Law | None = request_delay
        self._response_delay: Law | None = response_delay
        self._network: Random = network

    def send_due(self) -> None:
        """Ask whom the policy wants asked."""
        for endpoint in self._pool.policy.probes_wanted(self._env):
            probe = _Probe(self, endpoint, self._servers[endpoint.order])
            self._travel(probe, self._request_delay)

    def answer(self, probe: "_Probe") -> None:
        """It reached its server, which answers."""
        self._travel(probe, self._response_delay)

    def take(self, endpoint: Endpoint, report: LoadReport) -> None:
        """The answer is back."""
        self._pool.policy.on_report(endpoint, report)

    def _travel(self, probe: "_Probe", delay: Law | None) -> None:
        if delay is None:
            probe.fire()
        else:
            self._clock.heap.schedule(probe, self._clock.now + delay.draw(self._network))


class _Probe(Event):
    """A question on its way to a server, or the answer on its way back."""

    def __init__(self, prober: Prober, endpoint: Endpoint, server: Server) -> None:
        super().__init__()
        self._prober: Prober = prober
        self._endpoint: Endpoint = endpoint
        self._server: Server = server
        self._answer: LoadReport | None = None

    def fire(self) -> None:
        answer = self._answer
        if answer is not None:
            self._prober.take(self._endpoint, answer)
        elif not self._server.down:
            self._answer = self._server.report()
            self._prober.answer(self)
