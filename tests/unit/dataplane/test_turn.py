"""The laws of the table of turns, over all its rows."""

from itertools import product

import pytest

from penstock.dataplane.exchange.turn import (
    CLIENTS,
    CONNECT,
    CONNECTING,
    ENDPOINTS,
    FIRST_BYTE,
    NO_TIMER,
    OURS,
    READING,
    RELAYING,
    SENT,
    STREAM_IDLE,
    WAITING,
    Turn,
    turn_of,
)

PHASES = (READING, WAITING, CONNECTING, SENT, RELAYING)
ROWS = list(product(PHASES, *[(False, True)] * 4))


def row(phase: int, whole: bool, endpoint_full: bool, client_full: bool, waits: bool) -> Turn:
    return turn_of(phase, whole, endpoint_full, client_full, waits)


@pytest.mark.parametrize("state", ROWS)
def test_a_body_is_read_only_where_there_is_room_for_it(
    state: tuple[int, bool, bool, bool, bool],
) -> None:
    phase, whole, endpoint_full, _, _ = state
    if row(*state).takes_body and phase != READING:
        assert phase in (SENT, RELAYING)
        assert not whole
        assert not endpoint_full


@pytest.mark.parametrize("state", ROWS)
def test_an_answer_is_held_exactly_while_the_client_takes_no_more_of_it(
    state: tuple[int, bool, bool, bool, bool],
) -> None:
    phase, _, _, client_full, _ = state
    assert row(*state).takes_answer is not (phase in (SENT, RELAYING) and client_full)


@pytest.mark.parametrize("state", ROWS)
def test_the_timer_is_of_whose_turn_it_is(state: tuple[int, bool, bool, bool, bool]) -> None:
    turn = row(*state)
    assert (turn.timer == NO_TIMER) is (turn.whose != ENDPOINTS)


@pytest.mark.parametrize("state", ROWS)
def test_the_clients_turn_is_timed_by_what_it_is_to_do(
    state: tuple[int, bool, bool, bool, bool],
) -> None:
    """Else nothing would bound it: the front times a body that is read and bytes that wait."""
    _, _, _, client_full, _ = state
    turn = row(*state)
    if turn.whose == CLIENTS:
        assert turn.takes_body or client_full


@pytest.mark.parametrize(
    ("phase", "timer"), [(CONNECTING, CONNECT), (SENT, FIRST_BYTE), (RELAYING, STREAM_IDLE)]
)
def test_a_request_that_is_whole_is_timed_by_how_far_it_is(phase: int, timer: int) -> None:
    assert row(phase, True, False, False, False).timer == timer


def test_an_endpoint_that_takes_no_more_of_a_body_is_timed_as_for_its_answer() -> None:
    turn = row(SENT, False, True, False, False)
    assert (turn.whose, turn.timer, turn.takes_body) == (ENDPOINTS, FIRST_BYTE, False)


def test_who_waits_for_100_may_send_and_the_endpoint_is_timed() -> None:
    turn = row(SENT, False, False, False, True)
    assert (turn.whose, turn.timer, turn.takes_body) == (ENDPOINTS, FIRST_BYTE, True)


def test_nobody_is_timed_here_while_a_request_is_queued() -> None:
    assert row(WAITING, False, False, False, False).whose == OURS
