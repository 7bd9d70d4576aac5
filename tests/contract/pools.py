"""What the contract tests are made of: endpoints, requests, and shares of picks."""

from collections import Counter
from random import Random

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Policy, create
from penstock.core.policy.support.hashing import rehash
from penstock.core.request import Request


def endpoints_of_weights(weights: list[float]) -> list[Endpoint]:
    """Endpoints called e0, e1, … with these weights, numbered as a pool numbers them."""
    made = [Endpoint(f"e{i}", weight=weight) for i, weight in enumerate(weights)]
    for order, endpoint in enumerate(made):
        endpoint.order = order
    return made


def made(name: str, **options: object) -> Policy:
    """A policy of that name, with a smaller table than usual where filling it would take long."""
    return create(name, {"table_size": 4099, **options} if name == "maglev" else options)


def env(seed: int = 1, now: float = 0.0) -> Env:
    return Env(Random(seed), now)


def keyed(i: int) -> Request:
    """The i-th of many requests with different keys and sources."""
    return Request(source=f"192.0.2.{i}", key_hash=rehash(i, 1))


def picks(policy: Policy, eligible: list[Endpoint], count: int, seed: int = 1) -> list[Endpoint]:
    """What is picked for ``count`` requests, one at a time, each done before the next."""
    chance = env(seed)
    picked = [policy.pick(keyed(i), eligible, chance) for i in range(count)]
    return [endpoint for endpoint in picked if endpoint is not None]


def shares(picked: list[Endpoint]) -> dict[str, float]:
    """The share of picks by endpoint name."""
    counts = Counter(endpoint.name for endpoint in picked)
    return {name: count / len(picked) for name, count in counts.items()}
