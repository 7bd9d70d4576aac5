"""A policy in the shadow knows what the pool's own knows, and nobody counts anything twice."""

from random import Random
from typing import Any

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.health.health import DOWN
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy import create
from penstock.core.policy.support.serving import ServingPolicy
from penstock.core.pool.pool import Pool
from penstock.core.pool.shadow import Shadow
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket


def pool_of(policy: str, *, count: int = 4, **options: Any) -> Pool:
    pool = Pool("p", create(policy, dict(options)))
    pool.replace_endpoints([Endpoint(f"e{i}") for i in range(count)])
    return pool


def shadow_of(pool: Pool, policy: str, **options: Any) -> Shadow:
    shadow = Shadow(policy, create(policy, dict(options)))
    shadow.follow(pool)
    return shadow


def prompt(dice: Random) -> Request:
    first = dice.randrange(8) * 1000
    blocks = list(range(first, first + dice.randrange(10, 60)))
    return Request(blocks=blocks, block_tokens=16, prompt_tokens=16 * len(blocks), output_tokens=50)


def test_the_same_policy_in_the_shadow_agrees_at_every_step() -> None:
    """It learned the same from attempts it was only told of, from endpoints of its own."""
    options: dict[str, Any] = {"explore": 0.0, "noise": 0.0}
    pool = pool_of("marginal-cost", **options)
    shadow = shadow_of(pool, "marginal-cost", **options)
    dice = Random(4)
    chance, own = Env(Random(1)), Env(Random(1))
    running: list[list[Ticket]] = []
    for number in range(300):
        chance.now = own.now = number * 0.05
        request = prompt(dice)
        would = shadow.pick(request, pool.eligible, own)
        picked = pool.pick(request, chance)
        assert picked is not None
        assert would is picked
        mirrored = shadow.open(picked, request, chance.now)
        ticket = Ticket(picked, pool.policy, request, chance.now)
        assert mirrored is not None
        running.append([ticket, mirrored])
        if len(running) > 6:
            for each in running.pop(0):
                each.status = 200
                each.first_byte(chance.now - 0.1)
                each.output_tokens = 40
                each.settle(DONE, chance.now)
    counted = [(e.tokens.pending_prefill, e.tokens.held, e.in_flight) for e in pool.endpoints]
    assert sum(in_flight for _, _, in_flight in counted) == len(running)
    for both in running:
        for each in both:
            each.settle(DONE, 100.0)
    assert all(
        (e.in_flight, e.tokens.pending_prefill, e.tokens.held) == (0, 0, 0) for e in pool.endpoints
    )


def test_it_seeds_an_endpoint_that_joins_as_the_pool_s_own_policy_does() -> None:
    pool = pool_of("token-load", count=3)
    shadow = shadow_of(pool, "token-load")
    chance, own = Env(Random(1)), Env(Random(1))
    picks = []
    for number in range(60):
        if number == 30:
            pool.replace_endpoints([*pool.endpoints, Endpoint("new")])
            shadow.follow(pool)
        blocks = [*range(1, 100), 1000 + number]
        request = Request(blocks=blocks, block_tokens=16, prompt_tokens=1600, output_tokens=50)
        would = shadow.pick(request, pool.eligible, own)
        picked = pool.pick(request, chance)
        assert picked is not None
        assert would is picked
        picks.append(picked.name)
        mirrored = shadow.open(picked, request, chance.now)
        assert mirrored is not None
        for each in (Ticket(picked, pool.policy, request, chance.now), mirrored):
            each.first_byte(chance.now)
            each.settle(DONE, chance.now)
    assert "new" in picks


def test_it_sees_who_is_eligible_and_what_was_tried() -> None:
    pool = pool_of("random", count=3)
    shadow = shadow_of(pool, "round-robin")
    first, second, third = pool.endpoints
    first.health = DOWN
    pool.refresh()
    shadow.follow(pool)
    chance = Env(Random(1))
    assert {shadow.pick(Request(), pool.eligible, chance) for _ in range(8)} == {second, third}
    assert {shadow.pick(Request(), [second], chance) for _ in range(8)} == {second}


def test_it_sees_the_live_load_and_adds_nothing_to_it() -> None:
    pool = pool_of("random", count=2)
    shadow = shadow_of(pool, "least-request")
    busy, idle = pool.endpoints
    Ticket(busy, pool.policy, Request(), 0.0)
    assert shadow.pick(Request(), pool.eligible, Env(Random(1))) is idle
    assert shadow.open(idle, Request(), 0.0) is None  # it does not learn
    learning = shadow_of(pool, "peak-ewma")
    assert learning.open(idle, Request(), 0.0) is not None
    assert (busy.load(), idle.load()) == (1, 0)


def test_an_endpoint_that_left_is_forgotten() -> None:
    pool = pool_of("random", count=3)
    shadow = shadow_of(pool, "ttft")
    gone, *others = pool.endpoints
    pool.replace_endpoints(others)
    shadow.follow(pool)
    assert shadow.open(gone, Request(prompt_tokens=5), 0.0) is None
    assert set(shadow.explain(Request(prompt_tokens=5), [gone, *others], Env(Random(1)))) == set(
        others
    )


def test_reports_are_believed_until_they_are_too_old() -> None:
    pool = pool_of("least-request", count=1)
    shadow = shadow_of(pool, "kv-cost")
    request = Request(prompt_tokens=10)
    only = pool.endpoints[0]
    chance = Env(Random(1))
    shadow.on_report(only, LoadReport(50.0, kv_tokens=320))

    def held() -> float:
        return shadow.explain(request, [only], chance)[only]["kv_blocks"]

    shadow.expire_reports(54.0, 5.0)
    assert held() > 0.0
    shadow.expire_reports(56.0, 5.0)
    assert held() == 0.0
    assert only.tokens_elsewhere.held == 0  # the live one is its own policy's


def test_it_believes_of_caches_what_the_pool_s_own_policy_heard_from_other_workers() -> None:
    pool = pool_of("cache-aware", count=2)
    shadow = shadow_of(pool, "token-load")
    alone = shadow_of(pool_of("least-request", count=2), "token-load")
    request = Request(blocks=[7, 8], block_tokens=16, prompt_tokens=32)
    policy = pool.policy
    assert isinstance(policy, ServingPolicy)
    holder = pool.endpoints[1]
    policy.index.learn(holder, 7, 16)
    assert shadow.pick(request, pool.eligible, Env(Random(1))) is holder
    assert alone.open(holder, request, 0.0) is None  # not of its pool
