"""Outlier detection at work: from counts on the board to ejected endpoints on the board."""

import os
from random import Random
from typing import Any

import pytest

from penstock.control.endpoints.attempt_columns import AttemptColumns
from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.world.rows import Rows
from penstock.core.health.health import DOWN, UP
from penstock.core.health.outlier_records import EndpointCounts
from penstock.core.snapshot import Outlier, Snapshot
from penstock.dataplane.board.layout import (
    L_1XX_TO_5XX,
    L_BLAMELESS_5XX,
    L_BROKEN,
    L_CONNECT_FAILURES,
    L_CONSECUTIVE_FAILURES,
    L_EXCUSED,
    L_FAILURES,
    L_GARBAGE,
    L_GATEWAY_ERRORS,
    L_HEARD_US,
    L_QUIET_SINCE_US,
    L_RESETS,
    L_RUN_5XX,
    L_RUN_GATEWAY,
    L_RUN_GATEWAY_ERRORS,
    L_RUN_LOCAL,
    S_EJECTED,
)
from penstock.dataplane.board.memory import Board, create_board
from tests.unit.control.conftest import Clock
from tests.unit.control.worlds import pool, world

_OK = L_1XX_TO_5XX + 1
_LOCAL_RUNS = (L_CONSECUTIVE_FAILURES, L_RUN_GATEWAY, L_RUN_LOCAL)
_ERROR_RUNS = (L_CONSECUTIVE_FAILURES, L_RUN_GATEWAY, L_RUN_5XX, L_RUN_GATEWAY_ERRORS)


class Site:
    """One pool of three endpoints, requests played by writing what workers count."""

    def __init__(self, board: Board, events: Events, clock: Clock) -> None:
        self.board = board
        self.clock = clock
        self.rows = Rows(board, clock)
        self.states = EndpointStates(board, events, clock, clock)
        self.detection = OutlierDetection(board, self.states, clock)
        self.snapshot: Snapshot = world()
        self.run(Outlier())

    def run(self, outlier: Outlier, *names: str) -> None:
        names = names or ("e0", "e1", "e2")
        spec = world([pool("a", *names, outlier=outlier)], generation=self.snapshot.generation + 1)
        self.snapshot = self.rows.place(spec)
        self.rows.configure(self.snapshot)
        self.states.add_new(self.snapshot.pools)
        self.states.configure(self.snapshot.pools)
        self.detection.configure(self.snapshot)

    def refuse(self, row: int, times: int, *, worker: int = 0) -> None:
        """The endpoint refuses so many connections in a row."""
        at = self.board.load(row, worker)
        for cell in (L_CONNECT_FAILURES, L_FAILURES, *_LOCAL_RUNS):
            self.board.cells[at + cell] += times

    def answer_badly(self, row: int, times: int) -> None:
        """The endpoint answers 502 so many times in a row, after a connection that was refused."""
        at = self.board.load(row, 0)
        for cell in (L_1XX_TO_5XX + 4, L_FAILURES, L_GATEWAY_ERRORS, *_ERROR_RUNS):
            self.board.cells[at + cell] += times
        self.board.cells[at + L_RUN_LOCAL] = 0

    def cut(self, row: int, times: int) -> None:
        """The endpoint breaks off responses that had begun well."""
        at = self.board.load(row, 0)
        for cell in (_OK, L_RESETS, L_BROKEN, L_FAILURES):
            self.board.cells[at + cell] += times

    def answer(self, row: int, times: int, *, worker: int = 0) -> None:
        at = self.board.load(row, worker)
        self.board.cells[at + _OK] += times
        for cell in range(L_CONSECUTIVE_FAILURES, L_RUN_GATEWAY_ERRORS + 1):
            self.board.cells[at + cell] = 0

    def refresh(self, after: float = 0.1) -> None:
        self.clock.now += after
        self.detection.refresh()

    def ejected(self) -> list[int]:
        cells = self.board.cells
        return [row for row in range(3) if cells[self.board.state(row) + S_EJECTED]]


@pytest.fixture
def site(board: Board, events: Events, clock: Clock) -> Site:
    made = Site(board, events, clock)
    made.refresh()
    return made


def test_failures_in_a_row_eject_and_time_lets_in_again(site: Site, events: Events) -> None:
    site.refuse(1, 5)
    site.refresh()
    assert site.ejected() == [1]
    site.refresh(after=29.0)
    assert site.ejected() == [1]
    site.refresh(after=2.0)
    assert site.ejected() == []
    assert [event.kind for event in events.recent(9)] == [
        "endpoint.ejected",
        "endpoint.readmitted",
    ]


def test_failures_seen_by_several_workers_add_up(site: Site) -> None:
    site.refuse(2, 3, worker=0)
    site.refuse(2, 2, worker=1)
    site.refresh()
    assert site.ejected() == [2]


def test_one_worker_that_only_sees_failures_is_enough(site: Site) -> None:
    site.refuse(2, 5, worker=0)
    site.answer(2, 3, worker=1)
    site.refresh()
    assert site.ejected() == [2]


def test_a_failure_share_ejects_at_the_sweep_only(site: Site) -> None:
    site.run(Outlier(consecutive_failures=0))  # that detector is off
    for _ in range(20):
        site.refuse(0, 4)
        site.answer(1, 4)
        site.refresh()
    assert site.ejected() == []
    site.refresh(after=10.0)
    assert site.ejected() == [0]


def test_a_switched_off_detection_lets_everybody_in(site: Site) -> None:
    site.refuse(1, 5)
    site.refresh()
    site.run(Outlier(enabled=False))
    site.refresh()
    assert site.ejected() == []
    site.refuse(1, 50)
    site.refresh()
    assert site.ejected() == []


def test_an_ejection_outlives_a_reload(site: Site) -> None:
    site.refuse(1, 5)
    site.refresh()
    site.run(Outlier(consecutive_failures=7))
    site.refresh()
    assert site.ejected() == [1]


def test_the_dead_workers_counts_do_not_speak_for_anybody(site: Site) -> None:
    """Zeroing the run of a dead worker is no success and no failure."""
    site.refuse(1, 4)
    site.refresh()
    site.board.cells[site.board.load(1, 0) + L_CONSECUTIVE_FAILURES] = 0
    site.refresh(after=1.5)
    assert site.ejected() == []


def test_endpoints_that_nobody_can_connect_to_are_out_until_somebody_can(
    site: Site, events: Events
) -> None:
    site.refuse(0, 3, worker=0)
    site.refuse(0, 2, worker=1)
    site.refuse(1, 5)
    site.refresh()
    assert site.ejected() == [0, 1]  # a tenth of three would be one
    names = [(spec.name, endpoint.name) for spec, endpoint in site.detection.unreachable()]
    assert names == [("a", "e0"), ("a", "e1")]
    site.detection.reached("a", "e0")
    assert site.ejected() == [1]
    assert events.recent(1)[0].message.endswith("connections to it succeed again")
    site.detection.reached("a", "e2")
    site.detection.reached("gone", "e0")
    assert site.ejected() == [1]


def test_one_that_a_reload_removed_while_it_was_tried_is_nobody(site: Site) -> None:
    site.refuse(0, 5)
    site.refresh()
    site.run(Outlier(), "e1", "e2")
    site.detection.reached("a", "e0")
    assert site.detection.unreachable() == []


def test_an_endpoint_that_one_worker_reaches_is_held_to_the_share(site: Site) -> None:
    site.refuse(0, 5)
    site.refresh()
    site.refuse(1, 5, worker=0)
    site.answer(1, 3, worker=1)
    site.refresh()
    assert site.ejected() == [0]
    assert site.detection.refused("a") == 1


def test_responses_and_local_failures_are_told_apart(site: Site) -> None:
    site.run(Outlier(split_local_failures=True, max_ejected_share=1.0))
    site.refresh()
    site.refuse(1, 4)
    site.answer_badly(1, 4)
    site.refresh()
    assert site.ejected() == []  # together they would be eight in a row
    site.refuse(2, 5)
    site.refresh()
    assert site.ejected() == [2]
    site.answer_badly(1, 1)
    site.refresh()
    assert site.ejected() == [1, 2]
    assert site.states.of("a", "e1").ejected is not None
    assert {kind: n for kind, n in site.detection.ejections("a").items() if n} == {
        "consecutive_failures": 1,
        "consecutive_local_failures": 1,
    }


def test_gateway_failures_are_local_ones_too_unless_these_are_split_off(site: Site) -> None:
    asked = Outlier(consecutive_failures=0, consecutive_gateway_failures=4)
    site.run(asked)
    site.refresh()
    site.refuse(1, 2)
    site.answer_badly(1, 2)
    site.refresh()
    assert site.ejected() == [1]
    assert site.detection.ejections("a")["consecutive_gateway_failures"] == 1


def test_a_response_that_breaks_off_is_one_failed_request(site: Site) -> None:
    site.run(Outlier(consecutive_failures=0))
    site.refresh()
    site.cut(1, 60)
    site.refresh(after=10.0)
    assert site.states.of("a", "e1").ejected is not None
    reason = site.states.of("a", "e1").cause.reason
    assert reason.startswith("100% of 60 requests failed")


@pytest.mark.parametrize("split", [False, True])
def test_what_is_not_supported_or_excused_is_no_failure_of_any_kind(
    site: Site, split: bool
) -> None:
    local_share = 0.5 if split else 0.0
    site.run(
        Outlier(
            split_local_failures=split,
            failure_share=0.5,
            local_failure_share=local_share,
            failure_share_min_requests=10,
            max_ejected_share=1.0,
        )
    )
    site.refresh()
    at = site.board.load(0, 0)
    for cell in (L_1XX_TO_5XX + 4, L_BLAMELESS_5XX):  # 501
        site.board.cells[at + cell] += 100
    at = site.board.load(1, 0)
    for cell in (L_GARBAGE, L_EXCUSED):
        site.board.cells[at + cell] += 100
    site.refresh(after=11.0)
    assert site.ejected() == []


def test_an_endpoint_that_no_worker_hears_is_ejected_until_one_does(site: Site) -> None:
    site.run(Outlier(silence_s=30.0))
    first, second = (site.board.load(1, worker) for worker in range(2))
    began = site.clock.now
    site.board.cells[first + L_QUIET_SINCE_US] = int(began * 1e6)
    site.board.cells[second + L_QUIET_SINCE_US] = int((began + 5.0) * 1e6)
    site.refresh(after=31.0)
    assert site.ejected() == []  # one of them has heard it 26 s ago
    site.refresh(after=5.0)
    assert site.ejected() == [1]
    for cell in (L_HEARD_US, L_QUIET_SINCE_US):
        site.board.cells[first + cell] = int((began + 36.5) * 1e6)
    site.refresh(after=1.0)
    assert site.ejected() == []


def test_an_endpoint_that_owes_nothing_is_not_silent(site: Site) -> None:
    site.run(Outlier(silence_s=30.0))
    site.refresh(after=1000.0)
    assert site.ejected() == []


def test_of_an_endpoint_that_another_balancer_has_out_one_failure_is_enough(
    site: Site, events: Events
) -> None:
    site.detection.advise("a", "e1", out=True)
    site.refresh()
    assert site.ejected() == [], "advice alone ejects nobody"
    site.refuse(0, 1)
    site.refresh()
    assert site.ejected() == []
    site.refuse(1, 1)
    site.refresh()
    assert site.ejected() == [1]
    assert "1 failures in a row, and another balancer has it out" in events.recent(1)[0].message


def test_advice_that_is_taken_back_counts_no_longer(site: Site) -> None:
    site.detection.advise("a", "e1", out=True)
    site.detection.advise("a", "e1", out=False)
    site.refuse(1, 1)
    site.refresh()
    assert site.ejected() == []


@pytest.mark.parametrize(
    "outlier",
    [
        Outlier(interval_s=2.0, base_ejection_s=1.0, failure_share_min_requests=5),
        Outlier(interval_s=3.0, base_ejection_s=2.0, split_local_failures=True),
        Outlier(interval_s=2.0, base_ejection_s=1.0, consecutive_failures=3, silence_s=1.0),
    ],
    ids=["shares", "split", "silence"],
)
@pytest.mark.parametrize("seed", range(4))
def test_looking_at_those_in_trouble_alone_finds_what_looking_at_all_finds(
    outlier: Outlier, seed: int, board: Board, events: Events, clock: Clock
) -> None:
    other = create_board(board.workers, endpoint_rows=board.endpoint_rows, pool_rows=4)
    sites = [Site(board, events, clock), Site(other, events, clock)]
    for each in sites:
        each.run(outlier)
    rng = Random(seed)
    changes = 0
    for _ in range(400):
        for _ in range(rng.randrange(3)):
            happens(sites, rng)
        clock.now += rng.choice((0.1, 0.1, 0.4))
        before = sites[0].ejected()
        sites[0].detection.refresh()
        sites[1].detection._seen = None  # so it looks at all
        sites[1].detection.refresh()
        assert sites[0].ejected() == sites[1].ejected()
        changes += sites[0].ejected() != before
    assert sites[0].detection.ejections("a") == sites[1].detection.ejections("a")
    assert changes > 4
    os.close(other.fd)


def happens(sites: list[Site], rng: Random) -> None:
    """The same at both."""
    row, times, worker = rng.randrange(3), rng.randrange(1, 4), rng.randrange(2)
    match rng.randrange(8):
        case 0 | 1:
            for each in sites:
                each.answer(row, times * 3, worker=worker)
        case 2 | 3:
            for each in sites:
                each.refuse(row, times, worker=worker)
        case 4:
            for each in sites:
                each.answer_badly(row, times)
        case 5:
            for each in sites:
                each.cut(row, times)
        case 6:
            health = rng.choice((UP, DOWN))
            for each in sites:
                each.states.set_health("a", f"e{row}", health, "checked")
        case 7:
            silent = rng.random() < 0.7
            for each in sites:
                at = each.board.load(row, 0)
                now_us = round(each.clock.now * 1e6)
                each.board.cells[at + L_QUIET_SINCE_US] = now_us if silent else 0
                each.board.cells[at + L_HEARD_US] = 0 if silent else now_us


def test_a_thousand_endpoints_in_order_are_not_looked_at_one_by_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    counts = AttemptColumns.counts

    def noted(columns: AttemptColumns, row: int, name: str, **given: Any) -> EndpointCounts:
        looked.append(name)
        return counts(columns, row, name, **given)

    monkeypatch.setattr(AttemptColumns, "counts", noted)
    for _ in range(5):
        for row in range(3):
            site.answer(row, 100)
        site.refresh(after=1.0)
    assert looked == []
    site.refuse(1, 1)
    site.refresh()
    assert set(looked) == {"e1"}
