"""Join the idle queue: an endpoint that fell idle waits in a queue for the next request.

A request goes to the endpoint that has been idle longest, and only when none is idle to one that
``otherwise`` names: a random one, as published, or the better of two. Nothing is compared on a
request's path. Source: Y. Lu et al., "Join-Idle-Queue: a novel load balancing algorithm for
dynamically scalable web services", Performance Evaluation 2011.

Idleness is what this process sees end; load elsewhere is looked at when an endpoint's turn comes.
Weights count only where no endpoint is idle. O(1) per pick (each endpoint enters the queue once
per request it ended), O(n) for a list other than the pool's.
"""

from collections import deque
from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option, Policy
from penstock.core.policy.plain.random import draw
from penstock.core.policy.support.sampler import Sampler
from penstock.core.request import Request
from penstock.core.ticket import Ticket


class JoinIdleQueue(Policy):
    name: ClassVar[str] = "join-idle-queue"
    observes: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "otherwise",
            "random",
            "who is picked when no endpoint is idle",
            choices=("random", "power-of-two"),
        ),
    )

    def __init__(self, otherwise: str = "random") -> None:
        self._two: bool = otherwise == "power-of-two"
        self._endpoints: list[Endpoint] = []
        self._sampler: Sampler = Sampler([])
        self._idle: deque[Endpoint] = deque()
        self._queued: dict[Endpoint, bool] = {}  # of every eligible endpoint: is it in ``_idle``

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._sampler = Sampler(endpoints)
        before = self._queued
        self._queued = dict.fromkeys(endpoints, False)
        waiting = [endpoint for endpoint in self._idle if endpoint in self._queued]
        self._idle = deque()
        for endpoint in waiting:
            self._join(endpoint)
        for endpoint in endpoints:
            if not before.get(endpoint, False):
                self._join(endpoint)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if eligible is not self._endpoints:
            return self._pick_among(eligible, env)
        while self._idle:
            endpoint = self._idle.popleft()
            self._queued[endpoint] = False
            if endpoint.load() == 0:
                return endpoint
        at = self._sampler.one(env)
        if self._two:
            other = self._sampler.another(at, env)
            if eligible[other].load() < eligible[at].load():
                at = other
        return eligible[at]

    def on_end(self, ticket: Ticket) -> None:
        self._join(ticket.endpoint)

    def _join(self, endpoint: Endpoint) -> None:
        if endpoint.load() == 0 and not self._queued.get(endpoint, True):
            self._queued[endpoint] = True
            self._idle.append(endpoint)

    def _pick_among(self, eligible: list[Endpoint], env: Env) -> Endpoint:
        idle = [endpoint for endpoint in eligible if endpoint.load() == 0]
        return draw(idle or eligible, env)
