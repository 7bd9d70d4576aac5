"""Warnings about scenarios that can run but are hardly what was meant."""

from collections.abc import Iterator
from math import ceil, floor, log10, sqrt
from typing import Final

from penstock.config.document.choice import reads_prompts
from penstock.config.document.protection import Admission
from penstock.core.policy import policy_class
from penstock.core.snapshot import PolicyChoice
from penstock.sim.outcome import policy_label
from penstock.sim.report.wording import duration
from penstock.sim.scenario import Scenario

_SETTLED: Final = 5.0  # relaxation times; after 1.5 of them means were a fifth too short


def likely_mistakes(scenario: Scenario) -> Iterator[str]:
    """Warnings for people."""
    load = _offered_load(scenario)
    if load is not None and load >= 1.0 and not _is_bounded(scenario):
        yield (
            f"the offered load is {load:.3g} times the capacity and nothing bounds the queues: "
            "they grow as long as the run lasts, so the times depend on its length. Lower the "
            "load, or set a `timeout` of the clients, `room` of the servers, or `admission`"
        )
    elif load is not None and not _is_bounded(scenario):
        yield from _too_short(scenario, load)
    for choice in scenario.policies:
        yield from _mistakes_of(scenario, choice)


def _too_short(scenario: Scenario, load: float) -> Iterator[str]:
    """A run begins with empty queues, which fill for as long as a queue remembers: the relaxation
    time of M/M/1 (Cohen, The Single Server Queue, II.2), in the slowest server."""
    slowest = min(group.capacity for group in scenario.servers)
    settles_s = scenario.service.build().mean / slowest / (1.0 - sqrt(load)) ** 2
    rate = load * scenario.capacity
    run_s = scenario.run.duration or scenario.customers / rate
    if run_s < _SETTLED * settles_s:
        enough = _rounded_up(_SETTLED * settles_s * rate)
        yield (
            f"at a load of {load:.3g} a queue takes about {duration(settles_s)} to settle, and a "
            f"run lasts {duration(run_s)}: times come out too short where the policy lets queues "
            f"grow. {enough:,} requests (`--customers {enough}`) are enough"
        )


def _rounded_up(count: float) -> int:
    """To two digits."""
    unit = int(10.0 ** max(0, floor(log10(count)) - 1))
    return ceil(count / unit) * unit


def _mistakes_of(scenario: Scenario, choice: PolicyChoice) -> Iterator[str]:
    label = policy_label(choice)
    if scenario.prompts is not None:
        return  # whose conversations are keys as well
    if reads_prompts(choice):
        yield (
            f"the policy {label!r} decides by prompts, and there are none: it goes by load alone. "
            "`prompts` and servers of `model: engine` make some"
        )
    elif scenario.keys is None and _hashes(choice):
        yield (
            f"the policy {label!r} decides by the client's key, and requests have none. `keys: "
            "{count: 10000}` gives them one"
        )


def _hashes(choice: PolicyChoice) -> bool:
    """Whether the policy itself hashes by a key; those that hand requests on may not."""
    policy = policy_class(choice.name)
    hands_on = any(option.name in ("policy", "policies") for option in policy.options)
    return bool(policy.key) and not hands_on


def _offered_load(scenario: Scenario) -> float | None:
    """Of the capacity; None where nothing queues, servers are engines, or clients wait."""
    if scenario.sessions is not None or scenario.prompts is not None:
        return None
    if scenario.arrivals.kind in ("closed", "recorded"):
        return None
    return scenario.arrivals.build(scenario.capacity).rate / scenario.capacity


def _is_bounded(scenario: Scenario) -> bool:
    return (
        scenario.timeout is not None
        or scenario.admission != Admission()
        or any(group.room for group in scenario.servers)
    )
