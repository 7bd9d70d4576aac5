"""An endpoint whose cache is cold is given prefixes that many share, and nothing else is."""

from collections import deque
from collections.abc import Callable
from itertools import count

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy import policies
from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.policy.support.serving import ServingPolicy
from penstock.core.policy.support.warming import WARMING_S, Warming
from penstock.core.request import Request
from penstock.core.snapshot import PolicyChoice
from penstock.core.ticket import CONNECT_FAILED, DONE, Ticket
from penstock.sim.scenario_file import scenario_of
from penstock.sim.world import build_world
from tests.contract.pools import endpoints_of_weights, env
from tests.contract.test_serving import SERVING, every_serving_policy, made_serving, prompt

SHARED = list(range(1, 126))  # 2,000 tokens
STEP_S = 0.05
_number = count(1000)

# The fourth of four engines takes part from the middle on.
JOINED = scenario_of(
    {
        "arrivals": {"rate": 20},
        "servers": [{"count": 4, "model": "engine", "engine": {"profile": "llama-3-8b-h100"}}],
        "prompts": {
            "tenants": [
                {
                    "name": "all",
                    "groups": 1,
                    "system_tokens": 2000,
                    "turns": 1,
                    "input": {"mean": 100},
                    "output": {"mean": 150},
                }
            ]
        },
        "incidents": [
            {"at": "0s", "servers": [3], "drain": True},
            {"at": "30s", "servers": [3], "drain": False},
        ],
        "run": {"duration": "60s"},
    }
)


def beginning() -> Request:
    """The first turn of a conversation that begins with what all share."""
    return prompt([*SHARED, *(next(_number) for _ in range(6))])


class Traffic:
    """One request every step, eight of them under way; answers begin after one step."""

    def __init__(
        self, policy: ServingPolicy, endpoints: list[Endpoint], request: Callable[[], Request]
    ) -> None:
        self.policy = policy
        self.endpoints = endpoints
        self.request = request
        self.chance: Env = env()
        self.running: deque[Ticket] = deque()

    def send(self, requests: int) -> list[Endpoint]:
        picked = []
        for _ in range(requests):
            self.chance.now += STEP_S
            if self.running:
                self.running[-1].first_byte(self.chance.now)
            if len(self.running) == 8:
                self.running.popleft().settle(DONE, self.chance.now)
            request = self.request()
            endpoint = self.policy.pick(request, self.endpoints, self.chance)
            assert endpoint is not None
            self.running.append(Ticket(endpoint, self.policy, request, self.chance.now))
            picked.append(endpoint)
        return picked

    def end(self) -> None:
        while self.running:
            self.running.popleft().settle(DONE, self.chance.now)

    def join(self, endpoint: Endpoint) -> None:
        self.endpoints = [*self.endpoints, endpoint]
        self.policy.replace_members(self.endpoints)
        self.policy.rebuild(self.endpoints)


def made_traffic(name: str, request: Callable[[], Request] = beginning) -> Traffic:
    options = {"explore": 0.0} if name == "marginal-cost" else {}
    endpoints = endpoints_of_weights([1.0] * 3)
    return Traffic(made_serving(name, endpoints, **options), endpoints, request)


# Those that learn how fast endpoints are need endpoints that take their time: see below.
LEARNING = [name for name in SERVING if issubclass(policies()[name], FittedPolicy)]


@pytest.mark.parametrize("name", [name for name in SERVING if name not in LEARNING])
def test_a_new_endpoint_gets_its_share_of_what_all_begin_with(name: str) -> None:
    traffic = made_traffic(name)
    traffic.send(100)
    new = Endpoint("new")
    traffic.join(new)
    share = traffic.send(400).count(new) / 400
    assert share > 0.5 / 4


@pytest.mark.parametrize("name", LEARNING)
def test_so_it_does_where_the_policy_learns_how_fast_endpoints_are(name: str) -> None:
    world = build_world(JOINED, PolicyChoice(name), seed=1)
    picks: list[int] = []
    world.balancers[0].picks = picks
    world.run()
    late = picks[len(picks) // 2 :]
    assert late.count(3) / len(late) > 0.5 / 4


@pytest.mark.parametrize("name", ["cache-aware", "prefix-sticky", "scored", "token-load"])
def test_without_seeding_it_would_get_nothing(name: str) -> None:
    traffic = made_traffic(name)
    traffic.send(100)
    new = Endpoint("new")
    traffic.join(new)
    traffic.policy.warming = Warming()  # which knows of nobody
    assert new not in traffic.send(400)


@every_serving_policy
def test_an_engine_that_restarted_gets_its_share_again(name: str) -> None:
    traffic = made_traffic(name)
    traffic.send(200)
    cold = traffic.endpoints[0]
    traffic.policy.on_report(cold, LoadReport(at=traffic.chance.now, cold=True))
    share = traffic.send(400).count(cold) / 400
    assert share > 0.5 / 3


@every_serving_policy
def test_a_conversation_that_goes_on_stays_where_it_is(name: str) -> None:
    said = list(range(1, 500))

    def turn() -> Request:
        said.append(next(_number))
        return prompt(list(said))

    traffic = made_traffic(name, turn)
    home = traffic.send(1)[0]
    traffic.end()
    for _ in range(20):
        assert traffic.send(1) == [home]
        traffic.end()
    traffic.join(Endpoint("new"))
    for _ in range(20):
        assert traffic.send(1) == [home]
        traffic.end()


def seeded(traffic: Traffic) -> list[str]:
    """Who counts as holding what it does not hold, of all that the policy would weigh."""
    explained = traffic.policy.explain(beginning(), traffic.endpoints, traffic.chance)
    return [endpoint.name for endpoint, terms in explained if "seeded_tokens" in terms]


def warmed_up(name: str = "token-load") -> tuple[Traffic, Endpoint]:
    """A fleet with a hot prefix, and an endpoint that has just joined it."""
    traffic = made_traffic(name)
    traffic.send(100)
    new = Endpoint("new")
    traffic.join(new)
    return traffic, new


@every_serving_policy
def test_who_is_seeded_can_be_explained_and_explaining_changes_nothing(name: str) -> None:
    traffic, new = warmed_up(name)
    request = beginning()
    for _ in range(2):
        explained = dict(traffic.policy.explain(request, traffic.endpoints, traffic.chance))
        assert explained[new]["cached_tokens"] == 0.0
        assert explained[new]["seeded_tokens"] == 16.0 * len(SHARED)
        assert seeded(traffic) == ["new"]


def test_one_prompt_at_a_time_is_computed_for_it() -> None:
    traffic, new = warmed_up()
    ticket = Ticket(new, traffic.policy, prompt(list(range(9000, 9100))), traffic.chance.now)
    assert seeded(traffic) == []
    ticket.first_byte(traffic.chance.now)
    assert seeded(traffic) == ["new"]
    ticket.settle(DONE, traffic.chance.now)


def test_one_that_has_more_to_do_than_the_others_is_not_seeded() -> None:
    traffic, new = warmed_up()
    new.elsewhere = 9
    assert seeded(traffic) == []


def test_one_whose_cache_has_no_room_is_not_seeded() -> None:
    traffic, new = warmed_up()
    ticket = Ticket(new, traffic.policy, prompt(list(range(9000, 9050))), traffic.chance.now)
    ticket.settle(DONE, traffic.chance.now)
    new.reported.kv_capacity = 2096 + 800  # both
    assert seeded(traffic) == ["new"]
    new.reported.kv_capacity -= 1
    assert seeded(traffic) == []


def test_after_a_minute_it_is_one_of_them() -> None:
    traffic, _ = warmed_up()
    assert seeded(traffic) == ["new"]
    traffic.chance.now += WARMING_S + STEP_S
    assert seeded(traffic) == []


def test_one_that_refuses_all_does_not_draw_them_all() -> None:
    traffic, new = warmed_up()
    Ticket(new, traffic.policy, beginning(), traffic.chance.now).settle(
        CONNECT_FAILED, traffic.chance.now
    )
    assert seeded(traffic) == []
    traffic.chance.now += 5.0
    assert seeded(traffic) == ["new"]


def test_endpoints_that_are_there_from_the_beginning_are_not_seeded() -> None:
    traffic = made_traffic("token-load")
    traffic.send(100)
    assert seeded(traffic) == []
