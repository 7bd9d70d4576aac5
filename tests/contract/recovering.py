"""Pools in which one endpoint has a bad time and comes back, and who got how much meanwhile."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.core.policy import Policy, policies
from penstock.core.policy.support.serving import ServingPolicy
from penstock.core.snapshot import PolicyChoice
from penstock.sim.scenario_file import scenario_of
from penstock.sim.world import build_world

# Everything that hears what becomes of requests learns from it.
LEARNING = [name for name, cls in policies().items() if cls.observes]


class Picks:
    """What a policy picked, and when."""

    def __init__(self, picked: list[tuple[float, int]]) -> None:
        self._picked = picked

    def share(self, server: int, since_s: float, until_s: float) -> float:
        """Of the requests in that time, those that the server got."""
        orders = Counter(self._orders(since_s, until_s))
        return orders[server] / max(sum(orders.values()), 1)

    def count(self, server: int, since_s: float, until_s: float) -> int:
        """How many the server got in that time."""
        return Counter(self._orders(since_s, until_s))[server]

    def _orders(self, since_s: float, until_s: float) -> Iterator[int]:
        return (order for at, order in self._picked if since_s <= at < until_s)


def played(name: str, scenario: dict[str, Any], seed: int = 1) -> Picks:
    """What was picked in a scenario by the policy of that name."""
    world = build_world(scenario_of(scenario), PolicyChoice(name), seed)
    balancer = world.balancers[0]
    picks: list[int] = []
    balancer.picks = picks
    world.run()
    return Picks(list(zip(balancer.picked_at, picks, strict=True)))


def pool_of(
    cls: type[Policy], speeds: Sequence[float], incidents: list[dict[str, Any]], lasts_s: float
) -> dict[str, Any]:
    """Traffic that suits the policy, to endpoints of these speeds: conversations of several turns,
    or plain requests."""
    made: dict[str, Any] = {
        "incidents": incidents,
        "run": {"duration": f"{lasts_s:g}s", "replications": 1, "drain": "0s"},
    }
    if issubclass(cls, ServingPolicy):
        return made | {
            "servers": [
                {"model": "engine", "engine": {"profile": "llama-70b-h100"}, "speed": speed}
                for speed in speeds
            ],
            "arrivals": {"rate": len(speeds)},
            "reports": {"scrape": "1s"},
            "prompts": {
                "tenants": [
                    {
                        "name": "chat",
                        "groups": 0,
                        "turns": 3,
                        "input": {"mean": 1000, "cv2": 0.3},
                        "output": {"mean": 30, "cv2": 0.3},
                        "think": {"mean": "2s"},
                    }
                ]
            },
        }
    return made | {
        "servers": [{"model": "sharing", "speed": speed} for speed in speeds],
        "arrivals": {"load": 0.4},
        "service": {"law": "exponential", "mean": "50ms"},
    }
