"""Warnings about scenarios that can run but are hardly what was meant."""

from collections.abc import Iterator

from penstock.config.document.choice import reads_prompts
from penstock.config.document.protection import Admission
from penstock.core.policy import policy_class
from penstock.core.snapshot import PolicyChoice
from penstock.sim.outcome import policy_label
from penstock.sim.scenario import Scenario


def likely_mistakes(scenario: Scenario) -> Iterator[str]:
    """Warnings for people."""
    load = _offered_load(scenario)
    if load is not None and load >= 1.0 and not _is_bounded(scenario):
        yield (
            f"the offered load is {load:.3g} times the capacity and nothing bounds the queues: "
            "they grow as long as the run lasts, so the times depend on its length. Lower the "
            "load, or set a `timeout` of the clients, `room` of the servers, or `admission`"
        )
    for choice in scenario.policies:
        yield from _mistakes_of(scenario, choice)


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
    """Of the capacity; None where servers are engines, or clients wait for their answers."""
    if scenario.prompts is not None or scenario.arrivals.kind in ("closed", "recorded"):
        return None
    return scenario.arrivals.build(scenario.capacity).rate / scenario.capacity


def _is_bounded(scenario: Scenario) -> bool:
    return (
        scenario.timeout is not None
        or scenario.admission != Admission()
        or any(group.room for group in scenario.servers)
    )
