"""Tokens by model: bounded in number, and kept over a worker's restart."""

import os
from collections.abc import Iterator

import pytest

from penstock.dataplane.board.layout import (
    M_ANSWERS,
    M_CACHED_TOKENS,
    M_OUTPUT_TOKENS,
    M_POOL,
    M_PROMPT_TOKENS,
    MODEL_ROWS,
)
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.board.model_counters import (
    MODELS_PER_POOL,
    OTHER_MODELS,
    ModelCounters,
    name_at,
)


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(2, endpoint_rows=2, pool_rows=2)
    yield made
    os.close(made.fd)


def counted(board: Board, worker: int = 0) -> dict[tuple[int, str], list[int]]:
    """Answers, prompt, cached and output tokens by pool row and model."""
    found = {}
    for row in range(MODEL_ROWS):
        at = board.model(worker, row)
        if board.cells[at + M_POOL]:
            key = (board.cells[at + M_POOL] - 1, name_at(board, at).decode())
            cells = (M_ANSWERS, M_PROMPT_TOKENS, M_CACHED_TOKENS, M_OUTPUT_TOKENS)
            found[key] = [board.cells[at + cell] for cell in cells]
    return found


def test_pools_and_workers_count_apart_and_what_is_not_known_counts_nothing(board: Board) -> None:
    ModelCounters(board, 0, 0).count("größer/7B", 10, 4, 2)
    ModelCounters(board, 1, 0).count("größer/7B", 5, -1, -1)
    ModelCounters(board, 1, 1).count("b", -1, -1, 9)
    assert counted(board) == {(0, "größer/7B"): [1, 10, 4, 2], (1, "größer/7B"): [1, 5, 0, 0]}
    assert counted(board, 1) == {(1, "b"): [1, 0, 0, 9]}


def test_a_worker_that_is_started_again_goes_on(board: Board) -> None:
    for _ in range(3):
        ModelCounters(board, 0, 0).count("a", 1, 1, 1)
    assert counted(board) == {(0, "a"): [3, 3, 3, 3]}


def test_clients_cannot_fill_the_board_with_names(board: Board) -> None:
    models = ModelCounters(board, 0, 0)
    for number in range(500):
        models.count(f"model-{number}", 1, 0, 1)
    ModelCounters(board, 1, 0).count("mine", 1, 0, 1)
    found = counted(board)
    assert len(found) == MODELS_PER_POOL + 2
    assert found[0, OTHER_MODELS][0] == 500 - MODELS_PER_POOL
    assert found[1, "mine"][0] == 1


def test_a_long_name_is_cut_between_characters(board: Board) -> None:
    ModelCounters(board, 0, 0).count("ä" * 100 + "\ud800", 1, 1, 1)
    ModelCounters(board, 0, 0).count("a" + "ä" * 100, 1, 1, 1)
    assert set(counted(board)) == {(0, "ä" * 64), (0, "a" + "ä" * 63)}


def test_rows_of_a_removed_pool_are_free_again(board: Board) -> None:
    ModelCounters(board, 0, 0).count("a", 1, 1, 1)
    ModelCounters(board, 1, 0).count("a", 1, 1, 1)
    board.clear_pool(0, 0)
    assert set(counted(board)) == {(1, "a")}


def test_a_real_model_has_its_row_however_many_made_up_names_came_first(board: Board) -> None:
    """Engines such as llama.cpp answer to any name; what the endpoints list is known."""
    models = ModelCounters(board, 0, 0)
    for number in range(40):
        models.count(f"made-up-{number}", 1, 0, 1)
    models.known = frozenset(("real",))
    models.count("real", 10, 0, 2)
    found = counted(board)
    assert found[0, "real"] == [1, 10, 0, 2]
    assert sum(each[0] for each in found.values()) == 41  # nothing is lost


def test_a_name_of_which_nothing_is_known_earns_a_row_by_its_answers(board: Board) -> None:
    models = ModelCounters(board, 0, 0)
    for number in range(40):
        models.count(f"made-up-{number}", 1, 0, 1)
    for _ in range(10):
        models.count("real", 1, 0, 1)
    for number in range(1000):
        models.count(f"another-{number}", 1, 0, 1)
    found = counted(board)
    assert found[0, "real"][0] == 9  # the first went to all others
    assert len(found) == MODELS_PER_POOL + 1
    assert sum(each[0] for each in found.values()) == 1050
