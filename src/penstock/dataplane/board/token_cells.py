"""An endpoint's tokens under way (``core.signals.Tokens``) as workers tell each other of them."""

from penstock.core.signals import Tokens
from penstock.dataplane.board.layout import (
    L_DECODING,
    L_KV_TOKENS,
    L_PENDING_PREFILL,
    L_PREFILLED,
    O_DECODING,
    O_KV_TOKENS,
    O_PENDING_PREFILL,
    O_PREFILLED,
)


def write_tokens(cells: memoryview, at: int, tokens: Tokens) -> None:
    """Tell the others at once; ``at`` is the first of this worker's load cells."""
    cells[at + L_PENDING_PREFILL] = tokens.pending_prefill
    cells[at + L_KV_TOKENS] = tokens.held
    cells[at + L_DECODING] = tokens.decoding
    cells[at + L_PREFILLED] = tokens.prefilled


def tally_tokens(values: list[int], tokens: Tokens) -> None:
    """Put them among the numbers that are published with the sweep."""
    values[L_PENDING_PREFILL] = tokens.pending_prefill
    values[L_KV_TOKENS] = tokens.held
    values[L_DECODING] = tokens.decoding
    values[L_PREFILLED] = tokens.prefilled


def read_tokens(
    cells: memoryview, loads: range, own: Tokens, elsewhere: Tokens, others_at: int
) -> None:
    """What others count: the sums over all workers' load cells, without this one's own, and what
    other balancers have, whose cells begin at ``others_at``; -1: there are none."""
    pending = -own.pending_prefill
    held = -own.held
    decoding = -own.decoding
    prefilled = -own.prefilled
    for at in loads:
        pending += cells[at + L_PENDING_PREFILL]
        held += cells[at + L_KV_TOKENS]
        decoding += cells[at + L_DECODING]
        prefilled += cells[at + L_PREFILLED]
    if others_at >= 0:
        pending += cells[others_at + O_PENDING_PREFILL]
        held += cells[others_at + O_KV_TOKENS]
        decoding += cells[others_at + O_DECODING]
        prefilled += cells[others_at + O_PREFILLED]
    elsewhere.pending_prefill = pending
    elsewhere.held = held
    elsewhere.decoding = decoding
    elsewhere.prefilled = prefilled
