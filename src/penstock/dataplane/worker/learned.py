"""What policies learned, asked of a worker and told to another, over an upgrade.

    {"pool": {"policy": "marginal-cost", "version": 1, "state": {…}}, …}

A state is a policy's own form; one of another policy, version or form is passed over, and learned
anew.
"""

from typing import Any

from penstock.dataplane.pool.live_pool import LivePool


def learned_of(pools: dict[str, LivePool]) -> dict[str, object]:
    """By pool, of those whose policy learned something."""
    found: dict[str, object] = {}
    for name, pool in pools.items():
        policy = pool.policy
        state = policy.to_hand_over()
        if state:
            kind = pool.spec.policy.name
            found[name] = {"policy": kind, "version": policy.learned_version, "state": state}
    return found


def take_learned(pools: dict[str, LivePool], told: dict[str, Any]) -> list[str]:
    """Go on from it; the pools that do."""
    taken: list[str] = []
    for name, known in told.items():
        pool = pools.get(name)
        if pool is None or not isinstance(known, dict):
            continue
        policy = pool.policy
        same = known.get("policy") == pool.spec.policy.name
        state = known.get("state")
        if not same or known.get("version") != policy.learned_version:
            continue
        if isinstance(state, dict):
            try:
                policy.take_over(state)
            except ValueError:
                continue
            taken.append(name)
    return taken
