"""Outlier detection: who is ejected, why, for how long, and who never is."""

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from penstock.core.outlier import (
    DETECTORS,
    EndpointCounts,
    OutlierChange,
    OutlierDetector,
    Tally,
)
from penstock.core.snapshot import Outlier

ROOMY = Outlier(max_ejected_share=1.0)
SPLIT = Outlier(max_ejected_share=1.0, split_local_failures=True)


@dataclass
class Counted:
    """What an endpoint did, by how each attempt ended."""

    successes: int = 0
    errors: int = 0  # 5xx that are none of the next
    gateway_errors: int = 0
    unanswered: int = 0
    unreached: int = 0  # of these, for want of a connection


class Pool:
    """Endpoints with growing counts, fed to a detector ten times a second."""

    def __init__(self, size: int, settings: Outlier = ROOMY) -> None:
        self.now = 1000.0
        self.names = [f"e{i}" for i in range(size)]
        self.counted = {name: Counted() for name in self.names}
        self.consecutive = dict.fromkeys(self.names, 0)
        self.down: set[str] = set()
        self.detector = OutlierDetector(settings, self.now)
        self.observe()

    def serve(
        self,
        name: str,
        *,
        successes: int = 0,
        failures: int = 0,
        gateway: int = 0,
        unanswered: int = 0,
        unreached: int = 0,
    ) -> None:
        counted = self.counted[name]
        counted.successes += successes
        counted.errors += failures
        counted.gateway_errors += gateway
        counted.unanswered += unanswered + unreached
        counted.unreached += unreached

    def observe(self, after: float = 0.1) -> list[OutlierChange]:
        self.now += after
        return self.detector.observe(self.now, [self._counts(name) for name in self.names])

    def _counts(self, name: str) -> EndpointCounts:
        counted = self.counted[name]
        responses = counted.successes + counted.errors + counted.gateway_errors
        errors = counted.errors + counted.gateway_errors
        local = counted.unanswered
        every = Tally(responses + local, errors + local, self.consecutive[name])
        gateway = Tally(responses + local, counted.gateway_errors + local)
        apart = Tally()
        if self.detector.settings.split_local_failures:
            every = Tally(responses, errors, self.consecutive[name])
            gateway = Tally(responses, counted.gateway_errors)
            apart = Tally(responses + local, local)
        unreached = Tally(responses + local, counted.unreached)
        return EndpointCounts(name, every, gateway, apart, name not in self.down, unreached)

    def ejected(self) -> set[str]:
        return {name for name in self.names if self.detector.is_ejected(name)}


def test_five_failures_in_a_row_eject_at_once_with_a_reason() -> None:
    pool = Pool(3)
    pool.serve("e1", failures=4)
    assert pool.observe() == []
    pool.serve("e1", failures=1)
    (change,) = pool.observe()
    assert (change.name, change.ejected) == ("e1", True)
    assert change.reason == "5 failures in a row; out for 30 s"
    assert change.until == pool.now + 30.0


def test_a_success_between_breaks_the_run() -> None:
    pool = Pool(3)
    pool.serve("e1", failures=4)
    pool.observe()
    pool.serve("e1", successes=1)
    pool.observe()
    pool.serve("e1", failures=4)
    assert pool.observe() == []


def test_a_run_that_one_worker_sees_counts_although_others_succeed() -> None:
    pool = Pool(3)
    pool.serve("e1", successes=3, failures=5)
    pool.consecutive["e1"] = 5
    assert [change.name for change in pool.observe()] == ["e1"]


def test_gateway_failures_may_be_held_to_another_number() -> None:
    settings = Outlier(consecutive_gateway_failures=3, max_ejected_share=1.0)
    pool = Pool(3, settings)
    pool.serve("e1", gateway=2)
    assert pool.observe() == []
    pool.serve("e1", failures=1)  # a 500 is none of them
    assert pool.observe() == []
    pool.serve("e1", successes=1)
    pool.observe()
    pool.serve("e1", gateway=2, unanswered=1)
    (change,) = pool.observe()
    assert change.reason == "3 gateway failures in a row; out for 30 s"
    assert change.detector == "consecutive_gateway_failures"


def test_gateway_failures_are_not_looked_at_unless_asked_for() -> None:
    pool = Pool(3, Outlier(consecutive_failures=0, failure_share=0.0, max_ejected_share=1.0))
    pool.serve("e1", gateway=200)
    assert pool.observe() == []
    assert pool.observe(10.0) == []


def test_local_failures_that_are_split_off_are_none_of_the_others() -> None:
    pool = Pool(3, replace(SPLIT, consecutive_gateway_failures=1, consecutive_local_failures=0))
    pool.serve("e1", successes=1, unanswered=4)
    assert pool.observe() == []
    pool.serve("e1", failures=4)
    assert pool.observe() == []
    pool.serve("e1", failures=1)
    (change,) = pool.observe()
    assert change.reason == "5 failures in a row; out for 30 s"


def test_a_response_ends_a_run_of_local_failures_be_it_an_error() -> None:
    pool = Pool(3, SPLIT)
    pool.serve("e1", unanswered=4)
    pool.observe()
    pool.serve("e1", failures=1)
    pool.observe()
    pool.serve("e1", unanswered=4)
    assert pool.observe() == []
    pool.serve("e1", unanswered=1)
    (change,) = pool.observe()
    assert change.reason == "5 failures in a row without a whole response; out for 30 s"
    assert change.detector == "consecutive_local_failures"


def test_a_high_share_of_local_failures_ejects_at_the_sweep() -> None:
    pool = Pool(3, SPLIT)
    for _ in range(10):
        pool.serve("e2", successes=1, unanswered=9)
        assert pool.observe(0.5) == []
    (change,) = pool.observe(10.0)
    assert change.reason == "90% of 100 requests got no whole response; out for 30 s"
    assert change.detector == "local_failure_share"


def test_an_endpoint_that_answers_far_less_than_the_others_is_ejected() -> None:
    pool = Pool(10, SPLIT)
    for name in pool.names:
        pool.serve(name, successes=199, failures=1, unanswered=1)
    pool.serve("e4", unanswered=60)
    pool.serve("e4", successes=1)
    (change,) = pool.observe(10.0)
    assert (change.name, change.detector) == ("e4", "local_success_rate")
    assert change.reason.startswith("rate of whole responses 76.7% is under")


@pytest.mark.parametrize("split", [False, True])
def test_a_change_of_what_is_counted_is_no_failure(split: bool) -> None:
    """A reload that splits local failures off, or no longer does."""
    before, after = (ROOMY, SPLIT) if split else (SPLIT, ROOMY)
    pool = Pool(3, replace(before, consecutive_local_failures=0, local_failure_share=0.0))
    pool.serve("e1", successes=200, failures=3, unanswered=3)
    pool.observe()
    pool.detector.settings = after
    pool.consecutive["e1"] = 9
    assert pool.observe() == []
    assert pool.observe(10.0) == []
    pool.serve("e1", failures=5)
    assert [change.name for change in pool.observe()] == ["e1"]


def test_ejections_are_counted_by_detector() -> None:
    pool = Pool(3)
    pool.serve("e1", failures=5)
    pool.observe()
    assert pool.detector.ejections == {**dict.fromkeys(DETECTORS, 0), "consecutive_failures": 1}


def test_an_ejection_ends_and_old_failures_are_forgiven() -> None:
    pool = Pool(3)
    pool.serve("e1", failures=6)
    pool.consecutive["e1"] = 6
    pool.observe()
    assert pool.observe(29.0) == []
    (change,) = pool.observe(1.1)
    assert (change.name, change.ejected) == ("e1", False)
    pool.serve("e1", failures=4)
    pool.consecutive["e1"] = 10
    assert pool.observe() == []
    pool.serve("e1", failures=1)
    pool.consecutive["e1"] = 11
    assert [change.ejected for change in pool.observe()] == [True]


def test_an_endpoint_that_active_checks_find_well_again_is_let_in_at_once() -> None:
    pool = Pool(3)
    pool.serve("e1", failures=5)
    pool.observe()
    pool.down.add("e1")
    assert pool.observe() == []
    pool.down.clear()
    (change,) = pool.observe()
    assert (change.name, change.ejected) == ("e1", False)
    assert change.reason == "active checks found it well again"
    assert pool.observe() == []


def test_a_worker_that_still_remembers_a_run_ejects_nobody_by_that() -> None:
    """The worker's counter stays at 5 until it sends a request there."""
    pool = Pool(3)
    pool.serve("e1", failures=5)
    pool.consecutive["e1"] = 5
    pool.observe()
    pool.observe(31.0)
    assert pool.ejected() == set()
    assert [pool.observe() for _ in range(10)] == [[]] * 10


def test_every_further_ejection_lasts_longer_up_to_the_cap() -> None:
    pool = Pool(3, Outlier(base_ejection_s=30.0, max_ejection_s=70.0, max_ejected_share=1.0))
    lasted = []
    for _ in range(4):
        pool.serve("e1", failures=5)
        (change,) = pool.observe()
        lasted.append(round(change.until - change.at))
        pool.now = change.until
        pool.observe(0.0)
    assert lasted == [30, 60, 70, 70]


def test_good_conduct_shortens_the_next_ejection() -> None:
    pool = Pool(3)
    for _ in range(2):
        pool.serve("e1", failures=5)
        (change,) = pool.observe()
        pool.now = change.until
        pool.observe(0.0)
    for _ in range(30):
        pool.serve("e1", successes=1)
        pool.observe(10.0)
    pool.serve("e1", failures=5)
    (change,) = pool.observe()
    assert round(change.until - change.at) == 30


def test_a_high_share_of_failures_ejects_at_the_sweep() -> None:
    pool = Pool(3)
    for _ in range(10):
        pool.serve("e2", successes=1, failures=9)
        assert pool.observe(0.5) == []
    (change,) = pool.observe(10.0)
    assert change.name == "e2"
    assert change.reason.startswith("90% of 100 requests failed")


def test_few_requests_prove_nothing() -> None:
    pool = Pool(3)
    for _ in range(4):
        pool.serve("e2", successes=1, failures=9)
        pool.observe()
    assert pool.observe(10.0) == []


def test_the_window_of_shares_begins_anew_with_each_sweep() -> None:
    pool = Pool(3)
    for _ in range(8):
        pool.serve("e2", successes=1, failures=3)
        assert pool.observe(10.0) == []


def test_an_endpoint_far_worse_than_the_others_is_ejected_by_success_rate() -> None:
    pool = Pool(10)
    for name in pool.names:
        pool.serve(name, successes=199, failures=1)
    pool.serve("e4", successes=1, failures=60)
    (change,) = pool.observe(10.0)
    assert change.name == "e4"
    assert "success rate 76.6%" in change.reason


def test_equally_bad_endpoints_are_no_outliers() -> None:
    pool = Pool(10)
    for name in pool.names:
        pool.serve(name, successes=120, failures=80)
    assert pool.observe(10.0) == []


def test_at_most_the_given_share_is_out_but_one_always_may_be() -> None:
    pool = Pool(4, Outlier(max_ejected_share=0.1))
    for name in pool.names:
        pool.serve(name, failures=5)
    pool.observe()
    assert len(pool.ejected()) == 1
    assert pool.detector.refused == 3

    pool = Pool(20, Outlier(max_ejected_share=0.1))
    for name in pool.names:
        pool.serve(name, failures=5)
    pool.observe()
    assert len(pool.ejected()) == 2


def test_all_that_cannot_be_reached_are_out_whatever_the_share() -> None:
    pool = Pool(5, Outlier(max_ejected_share=0.1))
    for name in ("e0", "e1", "e2"):
        pool.serve(name, unreached=5)
    pool.serve("e3", failures=5)
    changes = pool.observe()
    assert pool.ejected() == {"e0", "e1", "e2"} == set(pool.detector.unreachable())
    assert changes[0].reason == (
        "5 failures in a row, all to connect; out for 30 s or until one succeeds"
    )


def test_one_that_answered_in_between_was_reached() -> None:
    pool = Pool(5, Outlier(max_ejected_share=0.1))
    pool.serve("e0", unreached=5)
    pool.serve("e1", unreached=4, failures=1)
    pool.serve("e2", unreached=4, unanswered=1)
    pool.observe()
    assert pool.ejected() == {"e0"}
    assert pool.detector.refused == 2


@pytest.mark.parametrize(
    "settings",
    [
        Outlier(max_ejected_share=0.1, consecutive_failures=0, consecutive_gateway_failures=5),
        Outlier(max_ejected_share=0.1, split_local_failures=True),
    ],
)
def test_the_share_does_not_hold_for_them_whatever_finds_them(settings: Outlier) -> None:
    pool = Pool(4, settings)
    for name in ("e0", "e1", "e2"):
        pool.serve(name, unreached=5)
    pool.observe()
    assert pool.ejected() == {"e0", "e1", "e2"}


def test_one_that_is_reached_again_is_let_in_at_once() -> None:
    pool = Pool(3)
    pool.serve("e0", unreached=5)
    pool.serve("e1", failures=5)
    pool.observe()
    change = pool.detector.reached("e0", pool.now)
    assert change is not None
    assert (change.name, change.ejected) == ("e0", False)
    assert change.reason == "connections to it succeed again"
    assert pool.detector.reached("e0", pool.now) is None
    assert pool.detector.reached("e1", pool.now) is None  # that it can be was never in doubt
    assert pool.ejected() == {"e1"}
    assert pool.detector.unreachable() == []
    pool.serve("e0", unreached=4)
    assert pool.observe() == []


def test_the_last_one_that_could_serve_is_never_ejected() -> None:
    pool = Pool(1)
    pool.serve("e0", failures=50)
    assert pool.observe() == []

    pool = Pool(3)
    pool.down = {"e0", "e2"}
    pool.serve("e1", failures=50)
    assert pool.observe() == []

    pool = Pool(3)
    for name in pool.names:
        pool.serve(name, unreached=50)
    pool.observe()
    assert len(pool.ejected()) == 2


def test_counters_that_begin_anew_count_for_nothing() -> None:
    pool = Pool(3)
    pool.serve("e1", successes=1000, failures=500)
    pool.observe()
    pool.counted["e1"] = Counted(errors=3)
    assert pool.observe() == []
    assert pool.observe(10.0) == []


def test_a_supervisor_that_starts_late_judges_only_what_it_saw() -> None:
    pool = Pool(3)
    pool.serve("e1", failures=100)
    pool.consecutive["e1"] = 100
    pool.detector = OutlierDetector(ROOMY, pool.now)
    assert pool.observe() == []
    assert pool.observe(10.0) == []


def test_turning_detection_off_lets_everybody_in() -> None:
    pool = Pool(3)
    pool.serve("e1", failures=5)
    pool.observe()
    pool.detector.settings = Outlier(enabled=False)
    pool.serve("e2", failures=50)
    (change,) = pool.observe()
    assert (change.name, change.ejected) == ("e1", False)
    assert pool.ejected() == set()


def test_an_endpoint_that_leaves_the_pool_is_forgotten() -> None:
    pool = Pool(3)
    pool.serve("e1", failures=5)
    pool.observe()
    pool.names.remove("e1")
    pool.observe()
    pool.names.append("e1")
    pool.observe()
    assert not pool.detector.is_ejected("e1")
