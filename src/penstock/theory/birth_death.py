"""What one customer more costs, where customers come and go one at a time."""

from collections.abc import Sequence
from math import exp, log

from penstock.theory.steady import require_positive


def marginal_costs(
    arrival_rate: float, departure_rates: Sequence[float], costs: Sequence[float]
) -> list[float]:
    """By how much one customer more, on top of n, raises the sum of all costs to come.

    With n present they leave at ``departure_rates[n]`` and cost ``costs[n]`` per unit of time. No
    one enters who finds the last of these states full. The answer's entry n is g(n+1) - g(n) of
    the solution g of Poisson's equation λ(g(n+1)-g(n)) - μ_n(g(n)-g(n-1)) = mean cost - cost_n;
    there is one entry less than states. For M/M/1 and a cost of n it is (n+1)/(μ-λ).

    Source: Asmussen and Glynn, Stochastic Simulation (2007), IV.4; flows between n and n+1 balance.
    """
    require_positive(arrival_rate=arrival_rate)
    states = len(departure_rates)
    if states < 2 or len(costs) != states:
        raise ValueError(
            f"costs and departure rates of the same states, not {len(costs)} and {states}"
        )
    if min(departure_rates[1:]) <= 0.0:
        raise ValueError("someone must leave from every state but the first")
    logs = [0.0]
    for rate in departure_rates[1:]:
        logs.append(logs[-1] + log(arrival_rate / rate))
    most = max(logs)
    shares = [exp(value - most) for value in logs]
    mode = shares.index(max(shares))
    mean = sum(share * cost for share, cost in zip(shares, costs, strict=True)) / sum(shares)
    found = [0.0] * (states - 1)
    below = 0.0  # Σ_{k≤n} π_k·(mean - cost_k) / π_n: errors die out while π grows
    for n in range(mode):
        below = mean - costs[n] + below * departure_rates[n] / arrival_rate
        found[n] = below / arrival_rate
    above = 0.0  # Σ_{k>n} π_k·(cost_k - mean) / π_n: and, backwards, where it falls
    for n in range(states - 2, mode - 1, -1):
        above = (costs[n + 1] - mean + above) * arrival_rate / departure_rates[n + 1]
        found[n] = above / arrival_rate
    return found
