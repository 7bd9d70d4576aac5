"""Laws of the policies that count tokens, and what the marginal cost recovers."""

from random import Random
from typing import Any

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy import create, policies
from penstock.core.policy.serving.marginal_cost import MarginalCost
from penstock.core.policy.support.engine_model import EngineModel, FleetModel
from penstock.core.policy.support.serving import ServingPolicy
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket
from tests.contract.pools import endpoints_of_weights, env, made
from tests.contract.test_picking import end

SERVING = [name for name, cls in policies().items() if issubclass(cls, ServingPolicy)]
every_serving_policy = pytest.mark.parametrize("name", SERVING)
OFF: dict[str, Any] = {
    f"{term}_weight": 0.0
    for term in ("queue", "prefill", "decode", "followers", "disturbance", "slowdown", "eviction")
} | {"noise": 0.0, "explore": 0.0}


def prompt(blocks: list[int], tokens: int = 0, output: int = 100) -> Request:
    """Blocks of 16 tokens."""
    return Request(
        blocks=blocks,
        block_tokens=16,
        prompt_tokens=tokens or 16 * len(blocks),
        output_tokens=output,
    )


def made_serving(name: str, endpoints: list[Endpoint], **options: object) -> ServingPolicy:
    policy = made(name, **options)
    assert isinstance(policy, ServingPolicy)
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    return policy


def test_all_of_them_are_found() -> None:
    assert set(SERVING) == {
        "cache-aware",
        "e2",
        "kv-cost",
        "lmetric",
        "marginal-cost",
        "prefix-sticky",
        "scored",
        "token-load",
        "ttft",
    }


@every_serving_policy
def test_a_long_prefix_returns_to_its_endpoint_on_an_idle_pool(name: str) -> None:
    options = {"explore": 0.0} if name == "marginal-cost" else {}
    endpoints = endpoints_of_weights([1.0] * 8)
    policy = made_serving(name, endpoints, **options)
    chance = env()
    blocks = list(range(1, 500))
    home = policy.pick(prompt(blocks), endpoints, chance)
    assert home is not None
    Ticket(home, policy, prompt(blocks), 0.0).settle(DONE, 1.0)
    for turn in range(20):
        assert policy.pick(prompt([*blocks, 1000 + turn]), endpoints, chance) is home


@every_serving_policy
def test_different_prompts_are_spread(name: str) -> None:
    endpoints = endpoints_of_weights([1.0] * 8)
    policy = made_serving(name, endpoints)
    chance = env()
    for number in range(160):
        request = prompt([number * 1000 + block for block in range(1, 100)])
        picked = policy.pick(request, endpoints, chance)
        assert picked is not None
        Ticket(picked, policy, request, 0.0)
    assert max(endpoint.load() for endpoint in endpoints) <= 40


@every_serving_policy
@pytest.mark.parametrize("seed", range(5))
def test_tokens_return_to_zero_however_requests_end(name: str, seed: int) -> None:
    """Retries, errors, failures, clients that leave, members that come and go."""
    dice = Random(seed)
    chance = env(seed)
    policy = made(name)
    pool = Pool("p", policy)
    members = [Endpoint(f"e{i}") for i in range(6)]
    pool.replace_endpoints(members)
    running: list[Ticket] = []
    for number in range(400):
        chance.now += 0.01
        if number % 50 == 49:
            pool.replace_endpoints(dice.sample(members, 4))
        request = prompt(list(range(dice.randrange(5), 40)), dice.choice([0, 300, 5000]))
        if dice.random() < 0.1:
            request = Request()  # not understood
        picked = pool.pick(request, chance)
        assert picked is not None
        running.append(Ticket(picked, policy, request, chance.now))
        if len(running) > 20:
            ticket = running.pop(dice.randrange(len(running)))
            ticket.output_tokens = dice.randrange(300)
            end(ticket, dice, chance.now)
    for ticket in running:
        end(ticket, dice, chance.now)
    for endpoint in members:
        assert (
            endpoint.tokens.pending_prefill,
            endpoint.tokens.held,
            endpoint.tokens.decoding,
        ) == (0, 0, 0)


@every_serving_policy
def test_reports_correct_what_others_have_there(name: str) -> None:
    endpoints = endpoints_of_weights([1.0])
    policy = made_serving(name, endpoints)
    Ticket(endpoints[0], policy, prompt([1, 2]), 0.0)
    report = LoadReport(3.0, kv_tokens=100, kv_capacity=1000)
    policy.on_report(endpoints[0], report)
    endpoint = endpoints[0]
    assert (
        endpoint.tokens.held,
        endpoint.tokens_elsewhere.held,
        endpoint.reported.kv_capacity,
    ) == (32, 68, 1000)
    assert endpoint.reported.at == 3.0


RECOVERED: dict[str, dict[str, float]] = {
    "token-load": {"queue_weight": 1.0, "prefill_weight": 1.0},
    "ttft": {"queue_weight": 1.0, "prefill_weight": 1.0},
    "lmetric": {"prefill_weight": 1.0, "disturbance_weight": 1.0},
    "kv-cost": {"queue_weight": 1.0, "prefill_weight": 1.0, "decode_weight": 1.0},
    "least-request": {"slowdown_weight": 1.0},
}


@pytest.mark.parametrize("name", RECOVERED)
@pytest.mark.parametrize("seed", range(40))
def test_the_marginal_cost_without_some_terms_is_another_policy(name: str, seed: int) -> None:
    """Under equal, linear models it picks the same endpoint, whatever the loads and the hits."""
    dice = Random(seed)
    endpoints = endpoints_of_weights([1.0] * 5)
    other = create(name)
    other.rebuild(endpoints)
    restricted = MarginalCost(**{**OFF, **RECOVERED[name]})
    output = 50
    fleet = restricted.model(endpoints[0]).fleet
    fleet.token_s = 1e-4
    fleet.disturbance_s = fleet.token_s  # φ = 1
    fleet.batch_s = 1e-3
    if name == "kv-cost":
        fleet.kv_s = fleet.token_s / output  # a KV token costs what a prompt token does
        fleet.batch_s = 0.0
    for endpoint in endpoints:
        endpoint.in_flight = endpoint.tokens.decoding = dice.randrange(20)
        endpoint.tokens.pending_prefill = dice.randrange(20_000)
        endpoint.tokens.held = dice.randrange(100_000)
    blocks = list(range(1, 200))
    for endpoint in endpoints:
        known = prompt(blocks[: dice.randrange(200)])
        if known.blocks:
            restricted.index.insert(known, endpoint)
            if isinstance(other, ServingPolicy):
                other.index.insert(known, endpoint)
    request = prompt(blocks, 4000, output)
    wanted = other.pick(request, endpoints, env())
    assert wanted is not None
    found = restricted.pick(request, endpoints, env())
    if name == "least-request":
        assert found is not None
        assert found.load() == wanted.load()  # ties are broken in different ways
    else:
        assert found is wanted


def test_evictions_alone_are_what_e2_explores_by() -> None:
    endpoints = endpoints_of_weights([1.0] * 3)
    marginal = MarginalCost(**{**OFF, "eviction_weight": 1.0})
    e2 = create("e2")
    assert isinstance(e2, ServingPolicy)
    for policy in (marginal, e2):
        shared = prompt(list(range(50)))
        for _ in range(3):  # some reuse, and the same work everywhere
            for endpoint in endpoints:
                Ticket(endpoint, policy, shared, 0.0).settle(DONE, 0.1)
        for number, endpoint in enumerate(endpoints):
            blocks = [1000 * (number + 1) + block for block in range(20 * number)]
            if blocks:
                policy.index.insert(prompt(blocks), endpoint)
            endpoint.reported.kv_capacity = 1600
    request = prompt([], 3000)
    assert marginal.pick(request, endpoints, env()) is endpoints[0]
    assert e2.pick(request, endpoints, env()) is endpoints[0]


def test_the_marginal_cost_learns_which_endpoint_is_slow() -> None:
    endpoints = endpoints_of_weights([1.0, 1.0])
    policy = MarginalCost(explore=0.0)
    now = 0.0
    for number in range(60):
        for endpoint, rate in zip(endpoints, (2000.0, 20_000.0), strict=True):
            request = prompt([], 500 + 100 * (number % 7))
            ticket = Ticket(endpoint, policy, request, now)
            ticket.status = 200
            ticket.first_byte(now + 0.01 + request.prompt_tokens / rate)
            ticket.output_tokens = 11
            ticket.settle(DONE, ticket.first_byte_at + 0.2)
            now += 5.0
    # A pace scales the 10 ms that come with every prompt as well.
    assert policy.model(endpoints[0]).prefill_s(1000, 1000) == pytest.approx(0.51, rel=0.1)
    assert policy.model(endpoints[1]).prefill_s(1000, 1000) == pytest.approx(0.06, rel=0.3)
    assert policy.model(endpoints[0]).step_s == pytest.approx(0.02, rel=0.1)
    assert policy.pick(prompt([], 4000), endpoints, env()) is endpoints[1]


def test_those_to_come_wait_for_what_a_prompt_takes() -> None:
    """Each arrival in the wait W is later by the prompt's work, those during it by half of it."""
    endpoints = endpoints_of_weights([1.0, 1.0])
    policy = MarginalCost(**{**OFF, "followers_weight": 1.0})
    chance = env()
    for _ in range(4000):  # 20 a second, for longer than is remembered
        chance.now += 0.05
        picked = policy.pick(prompt([], 16), endpoints, chance)
        assert picked is not None
        Ticket(picked, policy, prompt([], 16), chance.now).settle(DONE, chance.now)
    fleet = policy.model(endpoints[0]).fleet
    fleet.token_s = 1e-4
    endpoints[1].tokens.pending_prefill = 3000
    assert policy.pick(prompt([], 2000), endpoints, chance) is endpoints[0]
    each_s = 20.0 / 2
    idle = policy.terms(prompt([], 2000), endpoints[0], 0)
    assert idle.followers == pytest.approx(each_s * 0.2 * 0.1, rel=0.02)
    busy = policy.terms(prompt([], 2000), endpoints[1], 0)
    assert busy.followers == pytest.approx(each_s * 0.2 * (0.3 + 0.1), rel=0.02)
    assert policy.terms(prompt([], 2000), endpoints[1], 2000).followers == 0.0
    chance.now += 3600.0
    policy.pick(prompt([], 16), endpoints, chance)
    assert policy.terms(prompt([], 2000), endpoints[1], 0).followers == pytest.approx(0.0)


def test_arrivals_at_other_workers_count_by_the_load_that_they_make() -> None:
    endpoints = endpoints_of_weights([1.0, 1.0])
    alone, one_of_four = MarginalCost(explore=0.0), MarginalCost(explore=0.0)
    chance = env()
    request = prompt([], 2000)
    for policy in (alone, one_of_four):
        Ticket(endpoints[0], policy, request, chance.now)
    for policy, elsewhere in ((alone, 0), (one_of_four, 3)):
        for endpoint in endpoints:
            endpoint.in_flight = 1
            endpoint.elsewhere = elsewhere
        policy.pick(request, endpoints, chance)
    seen = alone.terms(request, endpoints[1], 0).followers
    assert seen > 0.0
    assert one_of_four.terms(request, endpoints[1], 0).followers == pytest.approx(4 * seen)


def test_answers_beside_which_prompts_are_computed_are_expected_to_be_slower() -> None:
    fleet = FleetModel()
    busy, quiet = EngineModel(fleet), EngineModel(fleet)
    for number in range(200):
        prompts = float(number % 5 * 20)
        busy.learn_step(
            4.0, 1000.0, 100.0 + prompts, 0.03 + 5e-5 * (100.0 + prompts), float(number)
        )
        quiet.learn_step(4.0, 1000.0, 0.0, 0.03, float(number))
    assert quiet.decode_s(4, 1000.0) == pytest.approx(0.03, rel=0.02)
    assert busy.decode_s(4, 1000.0) == pytest.approx(0.03 + 5e-5 * 140.0, rel=0.05)


def test_the_marginal_cost_leaves_out_a_cache_that_is_full() -> None:
    endpoints = endpoints_of_weights([1.0, 1.0])
    policy = MarginalCost(explore=0.0)
    endpoints[0].reported.kv_capacity = 1000
    endpoints[0].tokens_elsewhere.held = 900
    endpoints[1].tokens.pending_prefill = 50_000
    assert policy.pick(prompt([], 500), endpoints, env()) is endpoints[1]


def slow_to_begin_and_slow_to_go_on(
    policy: MarginalCost, first: Endpoint, second: Endpoint
) -> None:
    """The first endpoint takes 2 s to a token, the second 0.5 s for each further one."""
    fleet = policy.model(first).fleet
    policy.model(first).prefill_pace.value = 2.0 / (100 * fleet.token_s)
    policy.model(second).decode_pace.value = 0.5 / fleet.step_s


def test_keeping_to_an_objective_is_worth_what_it_lets_an_answer_cost() -> None:
    """The endpoint of least cost misses it. One that meets it is taken, unless it costs more than
    that second on top."""
    endpoints = endpoints_of_weights([1.0, 1.0])
    for objective_s, output, taken in ((0.0, 50, 0), (1.0, 50, 1), (1.0, 100, 0)):
        policy = MarginalCost(explore=0.0, ttft_objective_s=objective_s)
        slow_to_begin_and_slow_to_go_on(policy, *endpoints)
        assert policy.pick(prompt([], 100, output), endpoints, env()) is endpoints[taken]


def test_where_not_all_answers_can_be_good_those_that_are_not_take_the_overflow() -> None:
    """One endpoint's answers are just fast enough, the other's too slow whatever comes."""
    endpoints = endpoints_of_weights([1.0, 1.0])
    for endpoint in endpoints:
        endpoint.elsewhere = endpoint.tokens_elsewhere.decoding = 19
    for ttft_s, token_s, taken in ((0.0, 0.0, 0), (2.0, 0.1, 1)):
        policy = MarginalCost(explore=0.0, ttft_objective_s=ttft_s, token_objective_s=token_s)
        fleet = policy.model(endpoints[0]).fleet
        fleet.step_s, fleet.batch_s = 0.02, 0.004
        policy.model(endpoints[1]).decode_pace.value = 2.0
        assert policy.pick(prompt([], 100, 100), endpoints, env()) is endpoints[taken]
        [_, told] = [terms for _, terms in policy.explain(prompt([], 100, 100), endpoints, env())]
        assert ("others_lost" in told) == (taken == 1)


def test_where_all_miss_the_objectives_the_least_cost_is_taken() -> None:
    """The endpoint that misses them by less costs more."""
    endpoints = endpoints_of_weights([1.0, 1.0])
    policy = MarginalCost(explore=0.0, ttft_objective_s=1e-6)
    slow_to_begin_and_slow_to_go_on(policy, *endpoints)
    assert policy.pick(prompt([], 100, 100), endpoints, env()) is endpoints[0]


def test_exploring_costs_no_prefix() -> None:
    endpoints = endpoints_of_weights([1.0] * 4)
    marginal = MarginalCost(explore=1.0)
    blocks = list(range(1, 200))
    marginal.index.insert(prompt(blocks), endpoints[2])
    chance = env()
    for turn in range(50):
        assert marginal.pick(prompt([*blocks, 1000 + turn]), endpoints, chance) is endpoints[2]
    fresh = [prompt([number * 1000 + block for block in range(1, 9)]) for number in range(1, 60)]
    explored = set()
    for request in fresh:
        picked = marginal.pick(request, endpoints, chance)
        assert picked is not None
        Ticket(picked, marginal, request, chance.now).settle(DONE, chance.now)
        explored.add(picked)
    assert explored == set(endpoints)


def test_only_the_unused_are_explored() -> None:
    """One that was thought to be slow is tried again; those in use are known and never taken."""
    endpoints = endpoints_of_weights([1.0] * 3)
    marginal = MarginalCost(explore=1.0)
    chance = env()
    marginal.model(endpoints[0]).prefill_pace.value = 100.0
    used: list[Endpoint] = []
    for _ in range(300):
        chance.now += 0.1
        picked = marginal.pick(prompt([], 500), endpoints, chance)
        assert picked is not None
        used.append(picked)
        Ticket(picked, marginal, prompt([], 500), chance.now).settle(DONE, chance.now)
    assert used.count(endpoints[0]) == 3  # at the beginning, and after 10 and 20 seconds


def test_what_decoding_costs_everywhere_makes_no_tie() -> None:
    """A long answer, dear on every endpoint, does not hide that one of them holds the prefix."""
    endpoints = endpoints_of_weights([1.0] * 2)
    marginal = MarginalCost(explore=0.0)
    blocks = list(range(1, 100))
    marginal.index.insert(prompt(blocks), endpoints[1])
    endpoints[1].in_flight = 1
    assert marginal.pick(prompt(blocks, output=100_000), endpoints, env()) is endpoints[1]
