"""Several equal servers behind one queue."""

from math import exp

from penstock.theory.steady import Steady, Unstable, from_wait, require_cv2, require_positive


def erlang_b(offered: float, servers: int) -> float:
    """The share lost by ``servers`` without a queue, offered ``offered`` = λ/μ Erlangs.

    B(0) = 1, B(c) = aB(c-1)/(c+aB(c-1)). Source: Erlang (1917); the recursion is standard.
    """
    require_positive(offered=offered)
    if servers < 0:
        raise ValueError(f"servers must be 0 or more, not {servers!r}")
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked


def erlang_c(offered: float, servers: int) -> float:
    """The share of customers that wait in M/M/c, offered ``offered`` = λ/μ Erlangs.

    C = B/(1-ρ(1-B)). Source: Erlang (1917). Raises Unstable when the servers cannot keep up.
    """
    require_positive(offered=offered, servers=servers)
    utilisation = offered / servers
    if not utilisation < 1.0:
        raise Unstable(f"M/M/{servers}", utilisation)
    blocked = erlang_b(offered, servers)
    return blocked / (1.0 - utilisation * (1.0 - blocked))


def mmc(arrival_rate: float, service_rate: float, servers: int) -> Steady:
    """M/M/c: Wq = C(c, λ/μ)/(cμ-λ). Raises Unstable when λ ≥ cμ.

    Source: Kleinrock, Queueing Systems I (1975), 3.5.
    """
    require_positive(arrival_rate=arrival_rate, service_rate=service_rate, servers=servers)
    waits = erlang_c(arrival_rate / service_rate, servers)
    wait = waits / (servers * service_rate - arrival_rate)
    return from_wait(arrival_rate, 1.0 / service_rate, servers, wait)


def mmc_wait_exceeds(
    arrival_rate: float, service_rate: float, servers: int, duration: float
) -> float:
    """P(wait > duration) = C·e^(-(cμ-λ)·duration) in M/M/c. Source: Kleinrock (1975), 3.5."""
    if not duration >= 0.0:
        raise ValueError(f"duration must be 0 or more, not {duration!r}")
    waits = erlang_c(arrival_rate / service_rate, servers)
    return waits * exp(-(servers * service_rate - arrival_rate) * duration)


def mmck(arrival_rate: float, service_rate: float, servers: int, capacity: int) -> Steady:
    """M/M/c/K: at most ``capacity`` customers in the system, the rest are turned away.

    Stable at any load. Waits and numbers are of those admitted.
    Source: Gross and Harris, Fundamentals of Queueing Theory, 2.5.
    """
    require_positive(arrival_rate=arrival_rate, service_rate=service_rate, servers=servers)
    if capacity < servers:
        raise ValueError(f"capacity must be at least the servers ({servers}), not {capacity!r}")
    offered = arrival_rate / service_rate
    weights = [1.0]
    for present in range(1, capacity + 1):
        weights.append(weights[-1] * offered / min(present, servers))
        if weights[-1] > 1e200:  # only their ratios matter
            weights = [weight * 1e-200 for weight in weights]
    total = sum(weights)
    shares = [weight / total for weight in weights]
    blocked = shares[-1]
    admitted = arrival_rate * (1.0 - blocked)
    mean_present = sum(present * share for present, share in enumerate(shares))
    queued = sum(
        (present - servers) * share for present, share in enumerate(shares[servers:], servers)
    )
    return Steady(
        utilisation=admitted / (servers * service_rate),
        wait=queued / admitted,
        response=mean_present / admitted,
        queued=queued,
        present=mean_present,
        blocked=blocked,
    )


def allen_cunneen(
    arrival_rate: float,
    mean_service: float,
    servers: int,
    *,
    arrival_cv2: float,
    service_cv2: float,
) -> Steady:
    """G/G/c, approximately: the wait of M/M/c times (ca²+cs²)/2. Exact for M/M/c and M/G/1.

    Source: Allen, Probability, Statistics and Queueing Theory (1990), 5.4. Raises Unstable when
    λS ≥ c.
    """
    require_positive(arrival_rate=arrival_rate, mean_service=mean_service, servers=servers)
    require_cv2(arrival_cv2)
    require_cv2(service_cv2)
    exponential = mmc(arrival_rate, 1.0 / mean_service, servers)
    wait = exponential.wait * (arrival_cv2 + service_cv2) / 2.0
    return from_wait(arrival_rate, mean_service, servers, wait)
