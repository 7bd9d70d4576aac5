"""Static earliest deadline first: weighted round robin from a priority queue.

Every endpoint has a deadline; the earliest is picked and set back by 1/weight. Over any stretch an
endpoint's share is off its weight's by less than one pick. Source: Envoy, EdfScheduler; the
scheme is weighted fair queueing (A. Demers, S. Keshav, S. Shenker, SIGCOMM 1989).

O(log n) per pick, O(n) for a list other than the pool's.
"""

from heapq import heapify, heapreplace
from typing import ClassVar

from mypy_extensions import mypyc_attr

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Policy
from penstock.core.request import Request


@mypyc_attr(allow_interpreted_subclasses=True)
class StaticEdf(Policy):
    name: ClassVar[str] = "static-edf"

    def __init__(self) -> None:
        self._endpoints: list[Endpoint] = []
        self._index: dict[Endpoint, int] = {}
        self._steps: list[float] = []  # 1/weight, beside ``_endpoints``
        self._deadlines: list[float] = []
        self._heap: list[tuple[float, int]] = []  # deadline, index; may lag ``_deadlines``
        self._clock: float = 0.0  # the last deadline met

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        """Who stays keeps the part of the wait that is done, as a share of the new step."""
        index: dict[Endpoint, int] = {}
        steps: list[float] = []
        deadlines: list[float] = []
        for at, endpoint in enumerate(endpoints):
            weight = self.weight_of(endpoint)
            step = 1.0 / weight if weight > 0.0 else 1e18
            wait = 1.0
            before = self._index.get(endpoint, -1)
            if before >= 0:
                wait = (self._deadlines[before] - self._clock) / self._steps[before]
            index[endpoint] = at
            steps.append(step)
            deadlines.append(wait * step)
        self._endpoints = endpoints
        self._index = index
        self._steps = steps
        self._deadlines = deadlines
        self._heap = [(deadline, at) for at, deadline in enumerate(deadlines)]
        heapify(self._heap)
        self._clock = 0.0

    def weight_of(self, endpoint: Endpoint) -> float:
        """What the endpoint's share is to be in proportion to; asked by ``rebuild``."""
        return endpoint.weight

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if eligible is not self._endpoints:
            return self._pick_among(eligible)
        heap = self._heap
        while True:
            deadline, at = heap[0]
            due = self._deadlines[at]
            if due == deadline:
                break
            heapreplace(heap, (due, at))
        self._clock = due
        due += self._steps[at]
        self._deadlines[at] = due
        heapreplace(heap, (due, at))
        return eligible[at]

    def _pick_among(self, eligible: list[Endpoint]) -> Endpoint:
        best = eligible[0]
        best_at = -1
        earliest = float("inf")
        for endpoint in eligible:
            at = self._index.get(endpoint, -1)
            if at >= 0 and self._deadlines[at] < earliest:
                earliest = self._deadlines[at]
                best = endpoint
                best_at = at
        if best_at >= 0:
            self._deadlines[best_at] = earliest + self._steps[best_at]
        return best
