"""An endpoint at work: what it takes over from the configuration and from the board."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.health.breaker import CLOSED, HALF_OPEN, OPEN
from penstock.core.policy.base import Policy
from penstock.core.request import Request
from penstock.core.snapshot import Breaker, Connections, Endpoint, EndpointTls, PoolTimeouts
from penstock.core.ticket import DONE, TIMEOUT, Ticket
from penstock.dataplane.board.layout import (
    R_AT_US,
    R_COLD,
    R_MOST_RUNNING,
    R_PREFIX_HITS,
    S_MAX_IN_FLIGHT,
)
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.endpoint.address_race import Address
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.wire.openai import CHAT, EMBEDDING


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(workers=1, endpoint_rows=1, pool_rows=1)
    yield made
    os.close(made.fd)


def endpoint_on(board: Board, worker: int = 0) -> LiveEndpoint:
    spec = Endpoint(name="e", host="127.0.0.1", port=9, row=0, max_in_flight=7)
    settings = ConnectionSettings(PoolTimeouts(), Connections())
    endpoint = LiveEndpoint(spec, "a", settings, board, worker, Loop(Env(Random(1))))
    endpoint.configure(spec, settings, [Address(2, ("127.0.0.1", 9))], None, EndpointTls())
    return endpoint


@pytest.mark.parametrize(("said", "bound"), [(0, 7), (31, 30), (1, 0)])
def test_the_bound_that_an_agent_asks_for_comes_before_the_configured_one(
    board: Board, said: int, bound: int
) -> None:
    endpoint = endpoint_on(board)
    board.cells[board.state(0) + S_MAX_IN_FLIGHT] = said
    endpoint.read_state()
    assert endpoint.max_in_flight == bound


def test_an_engine_that_tells_hits_alone_tells_misses_by_silence(board: Board) -> None:
    endpoint = endpoint_on(board)
    assert endpoint.habits.cached_tokens(CHAT, -1) == -1  # it may tell nothing ever
    assert endpoint.habits.cached_tokens(CHAT, 64) == 64
    assert endpoint.habits.cached_tokens(CHAT, -1) == 0
    assert endpoint.habits.cached_tokens(EMBEDDING, -1) == -1  # another answer, other habits


def test_the_silence_of_an_engine_that_tells_misses_tells_nothing(board: Board) -> None:
    endpoint = endpoint_on(board)
    endpoint.habits.cached_tokens(CHAT, 0)
    endpoint.habits.cached_tokens(CHAT, 64)
    assert endpoint.habits.cached_tokens(CHAT, -1) == -1


def test_an_engine_that_was_restarted_may_have_other_habits(board: Board) -> None:
    endpoint = endpoint_on(board)
    endpoint.habits.cached_tokens(CHAT, 64)
    board.cells[board.report(0) + R_COLD] += 1
    board.cells[board.report(0) + R_AT_US] = 1
    endpoint.take_report()
    assert endpoint.habits.cached_tokens(CHAT, -1) == -1


def test_how_many_requests_an_engine_serves_at_a_time_is_handed_to_policies(board: Board) -> None:
    endpoint = endpoint_on(board)
    board.cells[board.report(0) + R_MOST_RUNNING] = 4
    board.cells[board.report(0) + R_AT_US] = 1
    report = endpoint.take_report()
    assert report is not None
    assert report.most_running == 4


def test_an_engine_that_never_hit_is_known_by_its_counters_while_they_are_young(
    board: Board,
) -> None:
    endpoint = endpoint_on(board)
    at = board.report(0)
    for number, (hits, never) in enumerate([(-1, False), (0, True), (16, False), (0, True)]):
        board.cells[at + R_PREFIX_HITS] = hits
        board.cells[at + R_AT_US] = 1 + number
        endpoint.take_report()
        assert endpoint.habits.never_hit is never
    endpoint.expire_report(1e9, 5.0)
    assert not endpoint.habits.never_hit


class Raising(Policy):
    """A user's policy with a bug."""

    observes = True

    def on_end(self, ticket: Ticket) -> None:
        raise KeyError("a bug in a user's policy")


def attempt(endpoint: LiveEndpoint, policy: Policy, now: float) -> Ticket | None:
    """None when the endpoint's circuit breaker did not let it through."""
    ticket = Ticket(endpoint, policy, Request(), now)
    if not ticket.enters(now):
        return None
    return ticket


def test_a_trial_is_over_even_if_a_users_policy_raises_at_its_end(board: Board) -> None:
    endpoint = endpoint_on(board)
    endpoint.configure_breaker(Breaker(failures=1, open_s=5.0), None)
    assert endpoint.breaker is not None
    failing = attempt(endpoint, Policy(), 0.0)
    assert failing is not None
    failing.settle(TIMEOUT, 1.0)
    assert endpoint.breaker.state == OPEN
    trial = attempt(endpoint, Raising(), 6.0)
    assert trial is not None
    trial.status = 200
    with pytest.raises(KeyError, match="a bug"):
        trial.settle(DONE, 7.0)
    assert endpoint.breaker.state == CLOSED
    assert endpoint.in_flight == 0


def test_an_attempt_from_before_the_circuit_opened_does_not_decide_the_trial(
    board: Board,
) -> None:
    endpoint = endpoint_on(board)
    endpoint.configure_breaker(Breaker(failures=1, open_s=5.0), None)
    assert endpoint.breaker is not None
    policy = Policy()
    old, failing = attempt(endpoint, policy, 0.0), attempt(endpoint, policy, 0.0)
    assert old is not None
    assert failing is not None
    failing.settle(TIMEOUT, 1.0)
    assert attempt(endpoint, policy, 6.0) is not None
    old.status = 200
    old.settle(DONE, 7.0)
    assert endpoint.breaker.state == HALF_OPEN


def test_an_attempt_under_a_breaker_that_a_reload_replaced_tells_the_new_one_nothing(
    board: Board,
) -> None:
    endpoint = endpoint_on(board)
    endpoint.configure_breaker(Breaker(failures=2), None)
    old = attempt(endpoint, Policy(), 0.0)
    assert old is not None
    endpoint.configure_breaker(Breaker(failures=1), None)
    old.settle(TIMEOUT, 1.0)
    assert endpoint.breaker is not None
    assert endpoint.breaker.state == CLOSED


def test_what_one_worker_hears_of_an_endpoint_all_know() -> None:
    board = create_board(workers=2, endpoint_rows=1, pool_rows=1)
    first, second = endpoint_on(board), endpoint_on(board, worker=1)
    waiting = Ticket(first, Policy(), Request(prompt_tokens=10), 100.0)
    Ticket(second, Policy(), Request(prompt_tokens=10), 103.0)
    first.publish()
    second.publish()
    assert first.silence_s(110.0) == second.silence_s(110.0) == 7.0
    waiting.first_byte(112.0)
    first.publish()
    assert first.silence_s(115.0) == second.silence_s(115.0) == 3.0
    os.close(board.fd)


def test_a_worker_that_sent_nothing_learns_of_silence_from_the_others() -> None:
    board = create_board(workers=2, endpoint_rows=1, pool_rows=1)
    idle, other = endpoint_on(board), endpoint_on(board, worker=1)
    waiting = Ticket(other, Policy(), Request(prompt_tokens=10), 100.0)
    other.publish()
    assert idle.silence_s(105.0) == 5.0
    waiting.settle(DONE, 106.0)
    other.publish()
    assert idle.silence_s(107.0) == 0.0
    os.close(board.fd)
