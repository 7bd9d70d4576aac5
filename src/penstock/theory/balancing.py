"""Several servers, each with its own queue, behind a balancer. Mean service is one unit of time."""

from math import inf

from penstock.theory._refined import correction
from penstock.theory._shortest_of_two import mean_present_of_two
from penstock.theory.one_server import erlang_m1, mg1
from penstock.theory.steady import Steady, Unstable, require_positive


def random_split(load: float, *, servers: int = 1, cv2: float = 1.0) -> Steady:
    """Every customer goes to one of ``servers`` at random, P(i) = 1/N: each is its own M/G/1.

    ``load`` is the utilisation of each server; ``present`` and ``queued`` count all servers.
    The response does not depend on N. Source: splitting of a Poisson process; Pollaczek-Khinchine.
    """
    require_positive(load=load, servers=servers)
    return _of_all(mg1(load, 1.0, cv2), servers)


def round_robin_split(load: float, servers: int) -> Steady:
    """Poisson arrivals dealt in turn to ``servers`` with exponential service: each is E_N/M/1.

    Source: every N-th arrival of a Poisson process; Kleinrock, Queueing Systems I (1975), 6.4.
    """
    require_positive(load=load, servers=servers)
    return _of_all(erlang_m1(load, 1.0, servers), servers)


def jsq_mean_field_tail(load: float, choices: int, length: int) -> float:
    """The share of servers with at least ``length`` customers, λ^((d^i-1)/(d-1)), as N → ∞.

    Source: Vvedenskaya, Dobrushin and Karpelevich (1996); Mitzenmacher (1996).
    """
    _check(load, choices)
    if length < 0:
        raise ValueError(f"length must be 0 or more, not {length!r}")
    exponent = length if choices == 1 else (choices**length - 1) // (choices - 1)
    return load**exponent if exponent < 10**6 else 0.0


def jsq_mean_field(load: float, choices: int) -> float:
    """The mean response when the shortest of ``choices`` random queues is joined, as N → ∞.

    E[T] = Σ_{i≥1} λ^((d^i-d)/(d-1)). With one choice it is M/M/1. Exact in the limit of many
    servers; for N servers it is low by a term of order 1/N.
    Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing (1996), 3.
    """
    _check(load, choices)
    total = 0.0
    length = 1
    while True:
        share = jsq_mean_field_tail(load, choices, length)
        total += share
        if share < 1e-18 * total or share == 0.0:
            return total / load
        length += 1


def jsq_finite(load: float, choices: int, servers: int, *, distinct: bool = True) -> float:
    """The mean response of the shortest of ``choices`` of finitely many ``servers``.

    The mean field and its first correction; what is left is of order 1/N². Draws after the first
    never repeat it, unless ``distinct`` is false. Source: Gast and Van Houdt (2018), see
    ``_refined``.
    """
    _check(load, choices)
    require_positive(servers=servers)
    tail = [1.0]
    while tail[-1] > 1e-15:
        tail.append(jsq_mean_field_tail(load, choices, len(tail)))
    added = correction(load, choices, tail, distinct=distinct)
    return jsq_mean_field(load, choices) + added / (load * servers)


def jsq_two(load: float) -> float:
    """The mean response when the shorter of two queues is joined; ``load`` is each server's.

    There is no closed form; the chain of (shorter queue, difference) is solved to about 1e-10.
    Source: Kingman (1961); Adan, Wessels and Zijm (1990). Slow near 1: milliseconds at .9.
    """
    require_positive(load=load)
    if not load < 1.0:
        raise Unstable("join the shorter of two queues", load)
    return mean_present_of_two(load) / (2.0 * load)


def _of_all(one: Steady, servers: int) -> Steady:
    return Steady(
        utilisation=one.utilisation,
        wait=one.wait,
        response=one.response,
        queued=one.queued * servers,
        present=one.present * servers,
    )


def _check(load: float, choices: int) -> None:
    require_positive(load=load)
    if choices < 1:
        raise ValueError(f"choices must be 1 or more, not {choices!r}")
    if not load < 1.0 or load == inf:
        raise Unstable(f"the shortest of {choices} random queues", load)
