"""Which idle connections may take a request that cannot be sent twice."""

import pytest

from penstock.core.health.connection_reuse import EARLY_S, UNKNOWN_REST_S, ReuseHistory

KINDS = pytest.mark.parametrize("streamed", [False, True])


def proven(streamed: bool) -> ReuseHistory:
    history = ReuseHistory()
    for _ in range(4):
        history.answered(streamed)
    return history


@KINDS
def test_while_nothing_is_known_a_connection_rests_shortly(streamed: bool) -> None:
    assert ReuseHistory().rest_s(streamed) == UNKNOWN_REST_S


@KINDS
def test_an_endpoint_that_was_seen_to_keep_connections_needs_no_rest(streamed: bool) -> None:
    assert proven(streamed).rest_s(streamed) == 0.0


def test_keeping_them_after_one_kind_of_answer_proves_nothing_of_the_other() -> None:
    """llama.cpp closes after streamed answers and keeps connections after others."""
    assert proven(False).rest_s(True) == UNKNOWN_REST_S
    history = proven(False)
    history.ended(True, 0.0001)
    assert (history.rest_s(False), history.rest_s(True)) == (0.0, EARLY_S)


@KINDS
def test_one_end_right_after_an_answer_asks_for_a_long_proof(streamed: bool) -> None:
    history = proven(streamed)
    history.ended(streamed, 0.0001)
    for _ in range(31):
        assert history.rest_s(streamed) == EARLY_S
        history.answered(streamed)
    assert history.rest_s(streamed) == EARLY_S
    history.answered(streamed)
    assert history.rest_s(streamed) == 0.0


def test_an_idle_timeout_is_no_reason_to_rest() -> None:
    history = proven(True)
    history.ended(True, 5.0)
    assert history.rest_s(True) == 0.0


def test_a_connection_near_the_shortest_life_seen_is_too_old() -> None:
    history = ReuseHistory()
    assert not history.is_too_old(1000.0)
    history.ended(False, 5.0)
    assert history.is_too_old(4.0)
    assert not history.is_too_old(3.0)


def test_a_restart_that_ends_connections_early_is_forgotten() -> None:
    """Every connection ends then, also those that were idle for a moment."""
    history = ReuseHistory()
    history.ended(False, 1.2)
    for _ in range(4):
        history.ended(False, 5.0)
    assert not history.is_too_old(3.0)
    assert history.is_too_old(4.0)


def test_a_connection_that_outlived_the_shortest_life_seen_refutes_it() -> None:
    history = ReuseHistory()
    history.ended(False, 1.2)
    history.outlived(1.1)
    assert history.is_too_old(1.1)
    history.outlived(10.0)
    assert not history.is_too_old(9.0)
