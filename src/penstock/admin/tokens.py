"""Tokens of answers by pool, from the board's model rows."""

from typing import NamedTuple

from penstock.dataplane.board.layout import (
    M_ANSWERS,
    M_CACHED_TOKENS,
    M_OUTPUT_TOKENS,
    M_POOL,
    M_PROMPT_TOKENS,
    MODEL_ROWS,
)
from penstock.dataplane.board.memory import Board


class TokenCounts(NamedTuple):
    """Tokens of answers whose engine reported them; ``cached`` is a part of ``prompt``."""

    answers: int = 0
    prompt: int = 0
    cached: int = 0
    output: int = 0


_CELLS = (M_ANSWERS, M_PROMPT_TOKENS, M_CACHED_TOKENS, M_OUTPUT_TOKENS)  # as in TokenCounts


def tokens_by_pool(board: Board) -> dict[int, TokenCounts]:
    """By the pool's row, over all workers and models."""
    found: dict[int, TokenCounts] = {}
    for worker in range(board.workers):
        for row in range(MODEL_ROWS):
            at = board.model(worker, row)
            pool = board.cells[at + M_POOL] - 1
            if pool >= 0:
                seen = [board.cells[at + cell] for cell in _CELLS]
                total = found.get(pool, TokenCounts())
                found[pool] = TokenCounts(*map(sum, zip(total, seen, strict=True)))
    return found
