"""Looks through endpoints for the one with the least load per weight."""

from mypy_extensions import i64

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env


def score(endpoint: Endpoint, bias: float, ahead: int) -> float:
    """``(load + ahead)^bias / weight``: less is better."""
    load = float(endpoint.load() + ahead)
    if bias != 1.0:
        load = load**bias
    return load / endpoint.weight if endpoint.weight > 0.0 else float("inf")


def load_terms(endpoint: Endpoint, bias: float, ahead: int) -> dict[str, float]:
    """``score`` and what it is made of, for people."""
    terms = {"load": float(endpoint.load()), "weight": endpoint.weight}
    terms["cost"] = score(endpoint, bias, ahead)
    return terms


def fewest_from(endpoints: list[Endpoint], start: int) -> int:
    """Index of the smallest load, looking round from ``start``; the first met wins a tie.

    Started behind the last pick, it serves endpoints of equal load in rotation.
    """
    count: i64 = len(endpoints)
    index: i64 = start if start < count else 0
    best = index
    least = endpoints[index].load()
    for _ in range(count - 1):
        if least == 0:
            break
        index += 1
        if index == count:
            index = 0
        load = endpoints[index].load()
        if load < least:
            least = load
            best = index
    return best


def least_score(endpoints: list[Endpoint], bias: float, ahead: int, env: Env) -> Endpoint:
    """The endpoint of least ``score``; ties are drawn in proportion to weight."""
    return least_of(endpoints, [score(endpoint, bias, ahead) for endpoint in endpoints], env)


def least_of(endpoints: list[Endpoint], scores: list[float], env: Env) -> Endpoint:
    """The endpoint whose score is least; ties are drawn in proportion to weight."""
    least = scores[0]
    tied = 0.0
    ties = 0
    first: i64 = 0
    count: i64 = len(scores)
    for index in range(count):
        each = scores[index]
        if each > least:
            continue
        if each < least:
            least = each
            ties = 0
            tied = 0.0
        if ties == 0:
            first = index
        ties += 1
        tied += endpoints[index].weight
    if ties <= 1:
        return endpoints[first]
    point = env.random() * tied
    for index in range(first, count):
        if scores[index] == least:
            point -= endpoints[index].weight
            if point < 0.0:
                return endpoints[index]
    return endpoints[first]
