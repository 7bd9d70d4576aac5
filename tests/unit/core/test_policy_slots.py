"""Engines with slots: a request beyond them waits for an answer to end whole, and that counts."""

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.measure.load_report import LoadReport
from penstock.core.measure.tokens import Progress
from penstock.core.policy.serving.marginal_cost import MarginalCost
from penstock.core.policy.support.slots import Slots
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket
from penstock.sim.experiment import Comparison, compare
from penstock.sim.scenario_file import scenario_of
from tests.contract.pools import env


def request(output: int = 100, prompt: int = 64) -> Request:
    return Request(prompt_tokens=prompt, output_tokens=output)


class Written(Progress):
    """So many tokens of an answer."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def tokens(self) -> int:
        return self._tokens


def engine(name: str = "e", slots: int = 2) -> Endpoint:
    endpoint = Endpoint(name)
    endpoint.reported.most_running = slots
    return endpoint


class TestWaits:
    """Of ``Slots`` alone."""

    slots: Slots

    @pytest.fixture(autouse=True)
    def fresh(self) -> None:
        self.slots = Slots()

    def sent(self, endpoint: Endpoint, output: int, written: int = 0) -> Ticket:
        ticket = Ticket(endpoint, MarginalCost(), request(output), 0.0)
        ticket.progress = Written(written)
        self.slots.start(ticket)
        return ticket

    def test_nobody_waits_while_a_slot_is_free(self) -> None:
        endpoint = engine(slots=2)
        assert self.slots.tokens_before(endpoint, 50) == 0
        self.sent(endpoint, 100)
        assert self.slots.tokens_before(endpoint, 50) == 0

    def test_the_next_waits_for_the_soonest_of_the_answers_at_hand(self) -> None:
        endpoint = engine(slots=2)
        self.sent(endpoint, 100, written=30)
        self.sent(endpoint, 100, written=80)
        assert self.slots.tokens_before(endpoint, 50) == 20

    def test_those_that_wait_take_slots_first_in_first_out(self) -> None:
        """Slots free after 20 and 70: the first to wait runs until 60, the next until 80."""
        endpoint = engine(slots=2)
        self.sent(endpoint, 100, written=30)
        self.sent(endpoint, 100, written=80)
        self.sent(endpoint, 40)
        assert self.slots.tokens_before(endpoint, 50) == 60
        self.sent(endpoint, 20)
        assert self.slots.tokens_before(endpoint, 50) == 70

    def test_an_answer_that_ended_frees_its_slot(self) -> None:
        endpoint = engine(slots=2)
        first = self.sent(endpoint, 100)
        self.sent(endpoint, 100, written=80)
        first.settle(DONE, 1.0)
        self.slots.end(first)
        assert self.slots.tokens_before(endpoint, 50) == 0

    def test_requests_of_others_count_as_answers_half_written(self) -> None:
        endpoint = engine(slots=2)
        endpoint.elsewhere = 2
        assert self.slots.tokens_before(endpoint, 50) == 25
        endpoint.elsewhere = 3
        assert self.slots.tokens_before(endpoint, 50) == 25  # the one that waits has the other
        endpoint.elsewhere = 4
        assert self.slots.tokens_before(endpoint, 50) == 75

    def test_an_engine_that_tells_no_slots_has_no_such_wait(self) -> None:
        endpoint = Endpoint("e")
        for _ in range(20):
            self.sent(endpoint, 100)
        assert self.slots.tokens_before(endpoint, 50) == 0

    def test_who_was_sent_when_all_were_taken_is_known(self) -> None:
        endpoint = engine(slots=1)
        first, second = self.sent(endpoint, 100), self.sent(endpoint, 100)
        assert (self.slots.waited(first), self.slots.waited(second)) == (False, True)


def costs(policy: MarginalCost, endpoints: list[Endpoint]) -> list[dict[str, float]]:
    return [terms for _, terms in policy.explain(request(), endpoints, env())]


def prepared(*endpoints: Endpoint) -> MarginalCost:
    policy = MarginalCost(explore=0.0)
    policy.replace_members(list(endpoints))
    policy.rebuild(list(endpoints))
    return policy


def test_a_report_of_the_slots_is_believed() -> None:
    endpoint = Endpoint("e")
    policy = prepared(endpoint)
    policy.on_report(endpoint, LoadReport(0.0, most_running=4))
    assert endpoint.reported.most_running == 4
    policy.on_report(endpoint, LoadReport(1.0))  # one that tells nothing of them, as ORCA
    assert endpoint.reported.most_running == 4


def test_an_engine_whose_slots_are_taken_costs_the_wait_for_one() -> None:
    full, free = engine("full", slots=1), engine("free", slots=2)
    policy = prepared(full, free)
    for endpoint in (full, free):
        Ticket(endpoint, policy, request(), 0.0).first_byte(0.1)
    waits, begins = costs(policy, [full, free])
    assert waits["slot_s"] > 0.5  # 100 tokens
    assert waits["queue_s"] == pytest.approx(begins["queue_s"] + waits["slot_s"])
    assert "slot_s" not in begins
    assert waits["slowdown_s"] == 0.0
    assert policy.pick(request(), [full, free], env()) is free


def test_first_tokens_that_waited_for_a_slot_teach_nothing_of_prompts() -> None:
    endpoint = engine(slots=1)
    policy = prepared(endpoint)
    first = Ticket(endpoint, policy, request(), 0.0)
    second = Ticket(endpoint, policy, request(), 0.0)
    first.first_byte(0.1)
    known = policy.fleet.base_s, policy.fleet.token_s
    second.first_byte(30.0)
    assert (policy.fleet.base_s, policy.fleet.token_s) == known


def fleet(reports: bool, sequences: int) -> Comparison:
    engines = {
        "profile": "llama-3-8b-h100",
        "max_sequences": sequences,
        "reports_sequences": reports,
        "kv_tokens": 32_768,
    }
    tenant = {
        "name": "chat",
        "groups": 20,
        "system_tokens": 1000,
        "input": {"mean": 300, "cv2": 0.5},
        "output": {"mean": 200, "cv2": 1.0},
    }
    return compare(
        scenario_of(
            {
                "arrivals": {"rate": 6.0},
                "prompts": {"tenants": [tenant]},
                "servers": [{"model": "engine", "engine": engines, "count": 4}],
                "policies": ["marginal-cost"],
                "reports": {"scrape": "1s"},
                "run": {"customers": 600, "replications": 1, "warm_up": 0.1, "seed": 7},
            }
        ),
        processes=1,
    )


def mean_ttft_s(reports: bool, sequences: int) -> float:
    [result] = fleet(reports, sequences).results
    return result.interval("ttft").mean


def test_a_fleet_with_few_slots_answers_sooner_when_they_are_told() -> None:
    """Simulated: half the mean time to first token and less, on the same traffic."""
    assert mean_ttft_s(True, 4) < 0.5 * mean_ttft_s(False, 4)


def test_a_fleet_whose_slots_are_never_all_taken_is_served_as_without() -> None:
    assert mean_ttft_s(True, 256) == mean_ttft_s(False, 256)
