"""What policies learned goes from the workers of one version to those of the next."""

import json

from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.snapshot import PolicyChoice
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.worker.learned import learned_of, take_learned
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.world import world


def fitted(policy: str = "marginal-cost") -> Stage:
    return Stage(world(pool_of(0, kind="llm", policy=PolicyChoice(policy))))


def pools(stage: Stage) -> dict[str, LivePool]:
    assert stage.worker.running is not None
    return stage.worker.running.pools


def policy_of(stage: Stage) -> FittedPolicy:
    policy = pools(stage)["main"].policy
    assert isinstance(policy, FittedPolicy)
    return policy


def test_the_next_workers_know_how_fast_engines_are() -> None:
    with fitted() as old, fitted() as new:
        assert learned_of(pools(old)) == {}
        for number in range(30):
            policy_of(old).fleet.learn_first_token(number, 500, 500, 0.2 + number * 0.01)
        told = json.loads(json.dumps(learned_of(pools(old))))
        assert take_learned(pools(new), told) == ["main"]
        assert policy_of(new).fleet.coefficients() == policy_of(old).fleet.coefficients()


def test_what_another_policy_or_version_learned_is_passed_over() -> None:
    with fitted() as old, fitted("ttft") as other, fitted() as new:
        policy_of(old).fleet.learn_first_token(1, 500, 500, 0.2)
        told = json.loads(json.dumps(learned_of(pools(old))))
        assert take_learned(pools(other), told) == []
        told["main"]["version"] += 1
        assert take_learned(pools(new), told) == []
        wrong = {"main": {**told["main"], "version": 1, "state": {"samples": "many"}}}
        assert take_learned(pools(new), wrong) == []
        assert take_learned(pools(new), {"gone": told["main"], "main": []}) == []
        assert policy_of(new).fleet.learned() == {}
