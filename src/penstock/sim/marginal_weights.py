"""Weights for the control variates of exponential queues: the mean cost of one more request.

They are computed from the theoretical model of the system. If that model or the simulator were
wrong, they would explain less; the expectation of the controls stays 0 (``kernel.weighed_sums``).
"""

from collections.abc import Callable
from itertools import accumulate
from math import exp, lgamma, log

from penstock import theory
from penstock.sim.kernel.weighed_sums import Weights

_NEVER = 36.0  # e^-36 is less than a double tells from 0 beside 1


def one_server_tail(load: float, value: float) -> Weights:
    """Of the share of M/M/1's responses above ``value``: a customer who finds n stays for n+1
    services, longer than ``value`` if no more than n would have ended by then (Poisson)."""
    states = int(_NEVER / -log(load) + 2.0 * value)
    ended = [exp(n * log(value) - value - lgamma(n + 1.0)) for n in range(states)]
    above = list(accumulate(ended))
    return _cut(_weights(load, 1, above), int(2.0 * value))


def many_servers(rate: float, servers: int, cost: Callable[[int], float]) -> Weights:
    """Of the mean of ``cost(number found)`` in M/M/c of service rate 1."""
    behind = int(_NEVER / log(servers / rate))
    states = servers + behind + 1
    return _cut(_weights(rate, servers, [cost(n) for n in range(states)]), states - behind // 2)


def bounded_queue(
    rate: float, servers: int, capacity: int, cost: Callable[[int], float]
) -> Weights:
    """Of the mean of ``cost(number found)`` in M/M/c/K of service rate 1."""
    return _weights(rate, servers, [cost(n) for n in range(capacity + 1)])


def _weights(rate: float, servers: int, costs: list[float]) -> Weights:
    leave = [float(min(n, servers)) for n in range(len(costs))]
    work = [rate * more for more in theory.marginal_costs(rate, leave, costs)]
    work.append(0.0)  # no one enters who finds the last state full
    return Weights([later + now for later, now in zip(work, costs, strict=True)], work)


def _cut(weights: Weights, entries: int) -> Weights:
    """Without the end of the tables, which feels that the states end there."""
    return Weights(weights.arrivals[:entries], weights.work[:entries])
