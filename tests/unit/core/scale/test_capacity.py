"""How many endpoints a load needs."""

import pytest

from penstock.core.policy.support.engine_model import FleetModel
from penstock.core.scale.capacity import Places
from penstock.core.scale.demand import Demand, Sight
from penstock.core.scale.engine_capacity import EngineCapacity
from penstock.core.scale.members import DOWN, SERVING, STARTING, Member, first_to_go
from penstock.core.scale.regret import Regret
from penstock.core.scale.staffing import fewest_places
from penstock.core.scale.start_times import StartTimes
from penstock.theory import fewest_servers, square_root_staffing


class TestPlaces:
    @pytest.mark.parametrize("offered", [0.1, 1.0, 9.5, 80.0, 399.0])
    def test_as_many_as_the_closed_form_says(self, offered: float) -> None:
        assert fewest_places(offered, 0.05) == fewest_servers(offered, 0.05)

    def test_square_root_staffing_for_many(self) -> None:
        assert fewest_places(10_000.0, 0.2) == square_root_staffing(10_000.0, 0.2)

    def test_no_load_needs_none(self) -> None:
        assert fewest_places(0.0, 0.05) == 0

    def test_waiting_is_not_taken_for_work(self) -> None:
        places = Places(10, 0.05)
        places.learn_service(0.5, Sight(0.0, Demand(40.0), in_flight=20.0), 4)
        for _ in range(50):
            places.learn_service(8.0, Sight(0.0, Demand(200.0), in_flight=40.0, queued=90.0), 4)
        assert places.service_s == 0.5

    def test_before_anything_was_measured_what_is_there_counts(self) -> None:
        places = Places(10, 0.05)
        assert places.needed(Demand(40.0)) == 0
        assert places.needed_at_least(Sight(0.0, Demand(40.0), in_flight=31.0)) == 4


def engine(**objectives: float) -> EngineCapacity:
    fleet = FleetModel()
    fleet.token_s, fleet.base_s = 1e-4, 0.02
    fleet.step_s, fleet.batch_s, fleet.kv_s, fleet.disturbance_s = 0.01, 1e-4, 1e-7, 5e-5
    return EngineCapacity(fleet, 0.05, **objectives)  # type: ignore[arg-type]


class TestEngines:
    LOAD = Demand(20.0, 20.0 * 2000.0, 20.0 * 250.0)

    def test_a_tighter_objective_needs_more(self) -> None:
        numbers = [engine(ttft_s=ttft).needed(self.LOAD) for ttft in (3.0, 1.5, 0.8, 0.4)]
        assert numbers == sorted(numbers)
        assert numbers[0] < numbers[-1]
        assert engine(token_s=0.012).needed(self.LOAD) > engine(token_s=0.03).needed(self.LOAD)

    def test_the_number_is_the_fewest_that_keeps_the_objectives(self) -> None:
        model = engine(ttft_s=1.0, token_s=0.02)
        number = model.needed(self.LOAD)
        assert model.late_share(self.LOAD, number) <= 0.05
        assert model.step_s(self.LOAD, number) <= 0.02
        fewer = number - 1
        late = model.late_share(self.LOAD, fewer) > 0.05
        assert late or model.step_s(self.LOAD, fewer) > 0.02

    def test_the_step_is_that_of_the_batch_which_it_brings_about(self) -> None:
        model = engine()
        step_s = model.step_s(self.LOAD, 8)
        fleet, batch = model.fleet, step_s * self.LOAD.output_tokens / 8
        held = batch * (2000.0 + 125.0)
        beside = step_s * self.LOAD.prompt_tokens / 8
        assert fleet.step_at_s(batch, held, beside) == pytest.approx(step_s)

    def test_kv_cache_bounds_what_runs_at_a_time(self) -> None:
        small = engine()
        small.kv_capacity = 20_000
        assert small.needed(self.LOAD) > engine().needed(self.LOAD)

    def test_an_objective_that_none_can_keep_asks_for_what_is_stable(self) -> None:
        assert engine(ttft_s=0.001).needed(self.LOAD) == 6  # prompts are 4 engines' work

    def test_no_traffic_needs_none(self) -> None:
        assert engine(ttft_s=1.0).needed(Demand()) == 0


class TestWhomToRemove:
    def test_the_one_whose_loss_costs_least(self) -> None:
        members = [
            Member("busy", SERVING, streams=9),
            Member("warm", SERVING, streams=1, cached_tokens=900),
            Member("cold", SERVING, streams=1, cached_tokens=10),
            Member("starting", STARTING),
            Member("down", DOWN),
        ]
        names = [each.name for each in first_to_go(members, 4)]
        assert names == ["down", "starting", "cold", "warm"]

    def test_the_actuators_own_order_comes_first(self) -> None:
        members = [Member(f"set-{n}", SERVING, streams=n, turn=-n) for n in range(3)]
        assert [each.name for each in first_to_go(members, 2)] == ["set-2", "set-1"]

    def test_nobody_that_it_cannot_remove(self) -> None:
        assert first_to_go([Member("fixed", SERVING, removable=False)], 1) == []


def test_the_lead_time_is_a_quantile_of_start_times_seen() -> None:
    starts = StartTimes(60.0, 0.9)
    assert starts.lead_s() == 60.0
    for seconds in range(1, 11):
        starts.add(float(seconds))
    assert starts.lead_s() == 10.0


def test_regret_is_what_the_advice_would_have_changed() -> None:
    regret = Regret(4)
    regret.look(0.0, 4, 4, 2)
    regret.advise(2, 0.0, 60.0)
    regret.look(100.0, 4, 4, 2)
    assert (regret.endpoint_s, regret.advised_endpoint_s) == (400.0, 200.0)
    regret.advise(6, 100.0, 60.0)
    regret.look(150.0, 4, 4, 5)
    regret.look(200.0, 4, 4, 5)
    assert regret.broken_s == 100.0
    assert regret.advised_broken_s == 50.0
