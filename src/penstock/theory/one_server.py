"""One server with an unlimited queue."""

from math import exp, inf, log

from penstock.theory.steady import Steady, Unstable, from_wait, require_cv2, require_positive


def mm1(arrival_rate: float, service_rate: float) -> Steady:
    """M/M/1: Poisson arrivals, exponential service, first come first served. W = 1/(μ-λ).

    Source: Kleinrock, Queueing Systems I (1975), 3.2. Raises Unstable when λ ≥ μ.
    """
    require_positive(arrival_rate=arrival_rate, service_rate=service_rate)
    _require_stable("M/M/1", arrival_rate / service_rate)
    wait = arrival_rate / service_rate / (service_rate - arrival_rate)
    return from_wait(arrival_rate, 1.0 / service_rate, 1, wait)


def mm1_response_quantile(arrival_rate: float, service_rate: float, quantile: float) -> float:
    """The ``quantile`` (0 to below 1) of M/M/1's time in system, which is exponential of mean W.

    The 0.99 quantile is ln(100)·W = 4.60517·W. Source: Kleinrock (1975), 5.7.
    """
    if not 0.0 <= quantile < 1.0:
        raise ValueError(f"quantile must be in [0, 1), not {quantile!r}")
    return -log(1.0 - quantile) * mm1(arrival_rate, service_rate).response


def mg1(arrival_rate: float, mean_service: float, cv2: float) -> Steady:
    """M/G/1, first come first served: Wq = ρ·S·(1+cv²)/(2(1-ρ)), whatever the law of service.

    Source: Pollaczek (1930) and Khinchine (1932). Raises Unstable when λS ≥ 1.
    """
    require_positive(arrival_rate=arrival_rate, mean_service=mean_service)
    require_cv2(cv2)
    load = arrival_rate * mean_service
    _require_stable("M/G/1", load)
    wait = load * mean_service * (1.0 + cv2) / (2.0 * (1.0 - load))
    return from_wait(arrival_rate, mean_service, 1, wait)


def md1(arrival_rate: float, mean_service: float) -> Steady:
    """M/D/1: constant service; half the wait of M/M/1. Raises Unstable when λS ≥ 1."""
    return mg1(arrival_rate, mean_service, 0.0)


def processor_sharing(arrival_rate: float, mean_service: float) -> Steady:
    """M/G/1 processor sharing: W = S/(1-ρ) whatever the law of service; nobody waits.

    ``wait`` is the time lost to sharing, W-S. Source: Kleinrock, Queueing Systems II (1976), 4.4.
    """
    require_positive(arrival_rate=arrival_rate, mean_service=mean_service)
    load = arrival_rate * mean_service
    _require_stable("M/G/1 processor sharing", load)
    return from_wait(arrival_rate, mean_service, 1, mean_service * load / (1.0 - load))


def processor_sharing_given(arrival_rate: float, mean_service: float, work: float) -> float:
    """The mean time in system of a customer that brings ``work``: work/(1-ρ), linear and fair.

    Source: Kleinrock (1976), 4.4.
    """
    require_positive(work=work)
    return work / (1.0 - processor_sharing(arrival_rate, mean_service).utilisation)


def erlang_m1(arrival_rate: float, service_rate: float, stages: int) -> Steady:
    """E_k/M/1: gaps between arrivals are the sum of ``stages`` exponentials, of mean 1/λ in all.

    Wq = σ/(μ(1-σ)), σ being the root in (0, 1) of σ = (kλ/(kλ+μ(1-σ)))^k.
    Source: Kleinrock (1975), 6.4 (G/M/1). Raises Unstable when λ ≥ μ.
    """
    require_positive(arrival_rate=arrival_rate, service_rate=service_rate, stages=stages)
    _require_stable(f"E{stages}/M/1", arrival_rate / service_rate)
    stage_rate = stages * arrival_rate
    low, high = 0.0, 1.0
    for _ in range(200):  # bisection: f(s) - s is positive below the root and negative above
        middle = (low + high) / 2.0
        transform = exp(-stages * log(1.0 + service_rate * (1.0 - middle) / stage_rate))
        if transform > middle:
            low = middle
        else:
            high = middle
    wait = low / (service_rate * (1.0 - low))
    return from_wait(arrival_rate, 1.0 / service_rate, 1, wait)


def _require_stable(model: str, utilisation: float) -> None:
    if not utilisation < 1.0 or utilisation == inf:
        raise Unstable(model, utilisation)
