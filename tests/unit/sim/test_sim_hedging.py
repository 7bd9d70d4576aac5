"""Hedges in the simulator: the rules of pools, and what they come to."""

from penstock.core.endpoint import Endpoint
from penstock.core.hedge import HedgeRules
from penstock.core.policy import create
from penstock.core.request import Request
from penstock.core.snapshot import Hedge, PolicyChoice
from penstock.core.ticket import Ticket
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.faults import Pause
from penstock.sim.kernel.hedging import Hedging
from penstock.sim.kernel.server import FifoServer
from penstock.sim.scenario_file import scenario_of
from penstock.sim.world import build_world
from tests.unit.sim.worlds import SmallWorld

AFTER_S = 0.2


def small(budget_share: float = 1.0, **settings: float) -> SmallWorld:
    clock = Clock()
    world = SmallWorld(clock, [FifoServer("a", clock), FifoServer("b", clock)], **settings)  # type: ignore[arg-type]
    world.balancer.hedging = Hedging(HedgeRules(Hedge(AFTER_S, 0.0, budget_share)))
    ticket = Ticket(Endpoint("before"), create("round-robin"), Request(prompt_tokens=9), 0.0)
    world.balancer.hedging.rules.asked(ticket, 0.0)
    clock.at(Pause(world.servers[0], 5.0), 0.0)
    return world


def settled(world: SmallWorld) -> list[int]:
    return [endpoint.in_flight for endpoint in world.pool.endpoints]


def test_the_first_to_answer_wins_and_the_other_is_taken_off_its_server() -> None:
    world = small()
    [(at_s, _)] = world.play([0.1], [0.05])
    assert round(at_s, 3) == round(0.1 + AFTER_S + 0.05, 3)
    assert (world.recorder.count, world.recorder.refused) == (1, 0)
    assert [server.present for server in world.servers] == [0, 0]
    assert settled(world) == [0, 0]
    hedging = world.balancer.hedging
    assert hedging is not None
    assert (hedging.made, hedging.won) == (1, 1)


def test_without_a_budget_it_waits() -> None:
    world = small(budget_share=0.0)
    [(at_s, how)] = world.play([0.1], [0.05])
    assert (round(at_s, 3), how) == (5.05, "200")
    assert world.balancer.hedging is not None
    assert world.balancer.hedging.denied > 0


def test_a_client_that_leaves_takes_both_with_it() -> None:
    world = small(timeout_s=0.3)
    ends = world.play([0.1], [0.5])
    assert [how for _, how in ends] == ["timeout"]
    assert [server.present for server in world.servers] == [0, 0]
    assert settled(world) == [0, 0]


def chats(**more: object) -> dict[str, object]:
    """Eight engines, one of which stands still now and then."""
    tenant = {
        "name": "chat",
        "groups": 0,
        "turns": 3,
        "input": {"mean": 1000, "cv2": 0.3},
        "output": {"mean": 10, "cv2": 0.3},
        "think": {"mean": "2s"},
    }
    stalls = [{"at": f"{at}s", "servers": [0], "pause": "4s"} for at in range(12, 50, 8)]
    return {
        "name": "stalls",
        "servers": [{"count": 8, "model": "engine", "engine": {"profile": "llama-70b-h100"}}],
        "arrivals": {"rate": 8},
        "prompts": {"tenants": [tenant]},
        "reports": {"scrape": "1s"},
        "policies": ["marginal-cost"],
        "incidents": stalls,
        "run": {"duration": "50s", "warm_up": 0.2},
        **more,
    }


def test_an_engine_that_stands_still_now_and_then_makes_few_wait_for_it() -> None:
    late = []
    for more in ({}, {"hedge": "on"}):
        world = build_world(scenario_of(chats(**more)), PolicyChoice("marginal-cost"), 1)
        world.run()
        recorder = world.recorder
        assert recorder.first_bytes is not None
        late.append(recorder.first_bytes.share_above(1.5) * recorder.first_bytes.total())
        assert recorder.vain_tokens <= 0.05 * recorder.computed_tokens
    assert late[0] >= 4
    assert late[1] <= 0.5 * late[0]


def test_a_slow_engine_does_not_draw_the_requests_that_hedges_took_off_it() -> None:
    """``least-request`` would send the next one to whoever has fewest."""
    slow = [{"at": "0s", "servers": [0], "speed": 0.1}]
    p99 = []
    for more in ({}, {"hedge": "on"}):
        made = chats(incidents=slow, policies=["least-request"], **more)
        world = build_world(scenario_of(made), PolicyChoice("least-request"), 1)
        world.run()
        assert world.recorder.first_bytes is not None
        p99.append(world.recorder.first_bytes.quantile(0.99))
    assert p99[1] <= 0.7 * p99[0]
