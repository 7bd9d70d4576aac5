"""Outlier detection: who is ejected, why, and for how long."""

import pytest
from msgspec.structs import replace

from penstock.core.health.outlier import DETECTORS, OutlierChange, OutlierDetector
from penstock.core.health.outlier_records import EndpointCounts, Tally
from penstock.core.snapshot import Outlier
from tests.unit.core.outliers import ROOMY, SPLIT, Counted, Pool


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


class TestSilence:
    """Requests wait for a byte of the first of three endpoints, which sends none."""

    settings = Outlier(silence_s=30.0, base_ejection_s=60.0)

    def judged(
        self, detector: OutlierDetector, now: float, silent_s: float, heard_at: float = 0.0
    ) -> list[OutlierChange]:
        counts = [EndpointCounts(name, Tally(), Tally(), Tally()) for name in ("e0", "e1", "e2")]
        counts[0].silent_s = silent_s
        counts[0].heard_at = heard_at
        return detector.observe(now, counts)

    def ejecting(self) -> OutlierDetector:
        detector = OutlierDetector(self.settings, 0.0)
        assert not self.judged(detector, 100.0, 29.0)
        (change,) = self.judged(detector, 101.0, 30.0)
        assert change.ejected
        assert change.detector == "silence"
        assert change.reason == "silent for 30 s, though requests wait for it; out for 60 s"
        return detector

    def test_it_is_ejected_and_let_in_when_it_is_heard(self) -> None:
        detector = self.ejecting()
        assert not self.judged(detector, 102.0, 31.0, heard_at=71.0)
        (change,) = self.judged(detector, 103.0, 0.0, heard_at=102.5)
        assert not change.ejected
        assert change.reason == "it is heard again"

    def test_that_nobody_waits_any_more_is_no_sign_of_life(self) -> None:
        detector = self.ejecting()
        assert not self.judged(detector, 102.0, 0.0, heard_at=71.0)
        assert detector.is_ejected("e0")

    def test_it_is_out_for_longer_when_it_is_still_silent_after_that(self) -> None:
        detector = self.ejecting()
        changes = self.judged(detector, 161.0, 90.0)
        assert [change.ejected for change in changes] == [False, True]
        assert changes[1].until == 161.0 + 120.0

    def test_it_is_not_looked_at_unless_that_is_asked_for(self) -> None:
        assert not self.judged(OutlierDetector(Outlier(), 0.0), 100.0, 1000.0)
