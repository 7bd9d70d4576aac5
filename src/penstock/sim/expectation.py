"""The closed form of a scenario under a policy, where there is one."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from penstock import theory
from penstock.config.document.protection import Admission
from penstock.core.snapshot import PolicyChoice
from penstock.sim.scenario import Scenario, ServerGroup
from penstock.theory import Steady, Unstable

_SCAN_LIMIT = 16  # endpoints up to which least-request looks at all


@dataclass(frozen=True)
class Expectation:
    """What theory says. ``metrics`` are named as in the report; ``exact`` is false for limits and
    approximations. Without a steady state ``metrics`` is empty and ``model`` says so.
    """

    model: str
    metrics: dict[str, float]
    exact: bool = True


def expectation(scenario: Scenario, policy: PolicyChoice) -> Expectation | None:
    """The closed form, or None when none is known for this."""
    if not _is_plain(scenario):
        return None
    try:
        if scenario.server_count == 1 or policy.name == "random":
            return _independent_queues(scenario)
        if _is_textbook(scenario):
            return _balanced(scenario, policy)
    except Unstable as error:
        return Expectation(f"unstable: {error}", {})
    return None


def _is_plain(scenario: Scenario) -> bool:
    """Nothing but arrivals, service and queues: what the models are about."""
    arrivals = scenario.arrivals
    network = scenario.network
    return (
        arrivals.kind in ("poisson", "deterministic", "gamma", "weibull", "hyper-exponential")
        and scenario.timeout is None
        and scenario.retry is None
        and scenario.sessions is None
        and not scenario.incidents
        and not scenario.spares_endpoints
        and scenario.admission == Admission()
        and network.request is None
        and network.response is None
        and not any(
            g.antagonist or g.max_in_flight or g.backup or g.priority for g in scenario.servers
        )
    )


def _is_textbook(scenario: Scenario) -> bool:
    """Equal servers of one slot, Poisson arrivals, exponential service, one balancer."""
    first = scenario.servers[0]
    return (
        scenario.arrivals.kind == "poisson"
        and scenario.service.law == "exponential"
        and scenario.balancers == 1
        and all(
            (g.speed, g.slots, g.room, g.model) == (first.speed, 1, 0, "fifo")
            for g in scenario.servers
        )
        and len({weight_of(g) for g in scenario.servers}) == 1
    )


def _balanced(scenario: Scenario, policy: PolicyChoice) -> Expectation | None:
    servers = scenario.server_count
    mean_s = scenario.service.build().mean / scenario.servers[0].speed
    load = _arrival_rate(scenario) * mean_s / servers
    if policy.name == "round-robin":
        steady = theory.round_robin_split(load, servers)
        return _of_mean(f"E{servers}/M/1 at each of {servers} servers", steady.response, mean_s)
    if policy.name == "least-request" and servers == 2:
        return _of_mean("join the shorter of two queues", theory.jsq_two(load), mean_s)
    choices = 0
    if policy.name == "power-of-two":
        choices = int(policy.options.get("choices", 2))
    elif policy.name == "least-request" and servers > _SCAN_LIMIT:
        choices = 2
    if choices == 0 or choices > servers // 2:
        return None
    limit = theory.jsq_mean_field(load, choices)
    model = f"shortest of {choices} queues, the limit of many servers"
    return _of_mean(model, limit, mean_s, exact=False)


def _independent_queues(scenario: Scenario) -> Expectation | None:
    """Each server by itself: a Poisson stream split by weight, or the one server there is."""
    arrivals = scenario.arrivals.build(scenario.capacity)
    total_weight = sum(g.count * weight_of(g) for g in scenario.servers)
    response = wait = blocked = 0.0
    exact = True
    models: list[str] = []
    if scenario.arrivals.kind != "poisson" and scenario.server_count > 1:
        return None
    for group in scenario.servers:
        share = weight_of(group) / total_weight
        found = _one_queue(scenario, group, arrivals.rate * share)
        if found is None:
            return None
        model, steady, is_exact = found
        exact = exact and is_exact
        models.append(model)
        admitted = share * group.count * (1.0 - steady.blocked)
        response += admitted * steady.response
        wait += admitted * steady.wait
        blocked += share * group.count * steady.blocked
    metrics = {"mean": response / (1.0 - blocked)}
    if not (len(models) == 1 and "sharing" in models[0]):
        metrics["wait"] = wait / (1.0 - blocked)
    if blocked:
        metrics["errors"] = blocked
    if models == ["M/M/1"]:
        metrics |= dict(_exponential_quantiles(metrics["mean"]))
    count = scenario.server_count
    model = " and ".join(dict.fromkeys(models))
    return Expectation(
        f"{model} at each of {count} servers" if count > 1 else model, metrics, exact
    )


def _one_queue(
    scenario: Scenario, group: ServerGroup, rate: float
) -> tuple[str, Steady, bool] | None:
    law = scenario.service.build()
    mean_s = law.mean / group.speed
    slots, room = group.slots, group.room
    poisson = scenario.arrivals.kind == "poisson"
    exponential = scenario.service.law == "exponential"
    if group.model == "sharing":
        plain = slots == 1 and room == 0 and poisson
        return ("M/G/1 sharing", theory.processor_sharing(rate, mean_s), True) if plain else None
    if room:
        if not (poisson and exponential) or room < slots:
            return None
        return f"M/M/{slots}/{room}", theory.mmck(rate, 1.0 / mean_s, slots, room), True
    if law.cv2 == inf:
        return None
    if not poisson:
        cv2 = 0.0 if scenario.arrivals.cv2 is None else scenario.arrivals.cv2
        approximate = theory.allen_cunneen(
            rate, mean_s, slots, arrival_cv2=cv2, service_cv2=law.cv2
        )
        return f"Allen–Cunneen, G/G/{slots}", approximate, False
    if exponential:
        return f"M/M/{slots}", theory.mmc(rate, 1.0 / mean_s, slots), True
    if slots == 1:
        return "M/G/1", theory.mg1(rate, mean_s, law.cv2), True
    approximate = theory.allen_cunneen(rate, mean_s, slots, arrival_cv2=1.0, service_cv2=law.cv2)
    return f"Allen–Cunneen, M/G/{slots}", approximate, False


def _of_mean(model: str, response: float, mean_s: float, *, exact: bool = True) -> Expectation:
    """From a response in units of the mean service."""
    return Expectation(model, {"mean": response * mean_s, "wait": (response - 1.0) * mean_s}, exact)


def _exponential_quantiles(mean: float) -> Iterator[tuple[str, float]]:
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)):
        yield name, theory.mm1_response_quantile(1.0, 1.0 + 1.0 / mean, q)


def _arrival_rate(scenario: Scenario) -> float:
    return scenario.arrivals.build(scenario.capacity).rate


def weight_of(group: ServerGroup) -> float:
    """Of each server of the group, as its endpoint has it."""
    return group.capacity if group.weight == "capacity" else float(group.weight)
