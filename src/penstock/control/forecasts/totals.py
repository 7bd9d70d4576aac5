"""What pools were asked for since the board was made."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from penstock.control.elsewhere import DemandElsewhere
from penstock.core.snapshot import Pool
from penstock.dataplane.board.layout import (
    M_ANSWERS,
    M_OUTPUT_TOKENS,
    M_POOL,
    M_PROMPT_TOKENS,
    MODEL_ROWS,
    P_REQUESTS,
)
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.model_counters import name_at

REQUESTS: Final = "requests"
PROMPT_TOKENS: Final = "prompt_tokens"
OUTPUT_TOKENS: Final = "output_tokens"
QUANTITIES: Final = (REQUESTS, PROMPT_TOKENS, OUTPUT_TOKENS)
ALL_MODELS: Final = ""

_MODEL_CELLS: Final = (
    (REQUESTS, M_ANSWERS),
    *zip(QUANTITIES[1:], (M_PROMPT_TOKENS, M_OUTPUT_TOKENS), strict=True),
)


class Load(NamedTuple):
    """Of what a series is: a quantity of a pool, or of one model there."""

    model: str
    quantity: str


# Running totals. Of a single model the requests are those whose tokens its engine told.
Totals = dict[Load, int]


def totals_of(pools: Iterable[Pool], board: Board) -> dict[str, Totals]:
    """Of each pool by its name; tokens where it serves language models."""
    found: dict[str, Totals] = {}
    by_row: dict[int, Totals] = {}
    for pool in pools:
        totals = found[pool.name] = {
            Load(ALL_MODELS, REQUESTS): board.pool_sum(pool.row, P_REQUESTS)
        }
        if pool.kind == "llm":
            by_row[pool.row] = totals
            totals |= {Load(ALL_MODELS, quantity): 0 for quantity in QUANTITIES[1:]}
    if by_row:
        _add_models(by_row, board)
    return found


def add_elsewhere(totals: Totals, others: DemandElsewhere) -> None:
    """What other balancers were asked counts too, of the pool as a whole."""
    for quantity, count in zip(QUANTITIES, others[: len(QUANTITIES)], strict=True):
        load = Load(ALL_MODELS, quantity)
        if load in totals:
            totals[load] += count


def _add_models(by_row: dict[int, Totals], board: Board) -> None:
    for worker in range(board.workers):
        for row in range(MODEL_ROWS):
            at = board.model(worker, row)
            totals = by_row.get(board.cells[at + M_POOL] - 1)
            if totals is None:
                continue
            model = name_at(board, at).decode("utf-8", "replace")
            for quantity, cell in _MODEL_CELLS:
                count = board.cells[at + cell]
                of_model = Load(model, quantity)
                totals[of_model] = totals.get(of_model, 0) + count
                if quantity != REQUESTS:
                    totals[Load(ALL_MODELS, quantity)] += count
