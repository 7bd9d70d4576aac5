"""Conversations in a published trace: which requests continue which, and how long users thought."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from penstock.sim.trace import BLOCK_TOKENS, TraceRequest

# The service time taken out of the gap between a request and the one that continues it, to get at
# the user's thinking: what a 70B model at moderate load needs for each token.
NOMINAL_TOKEN_S: Final = 0.02

# A first block that all requests share (the service's own system prompt) makes no conversation.
_MIN_CONTINUED_BLOCKS: Final = 2


class TracedTurn(NamedTuple):
    """``number`` is the request's in the trace; ``think_s`` the pause after the earlier answer."""

    number: int
    request: TraceRequest
    think_s: float


def conversations(requests: Sequence[TraceRequest]) -> list[list[TracedTurn]]:
    """Chains of requests, each of which continues the prompt of the one before it.

    In the order of their first requests; every request is in exactly one.
    """
    chains: list[list[int]] = []
    chain_ending_in: dict[int, int] = {}  # hash of a prompt's full blocks → its chain
    for number, request in enumerate(requests):
        prefixes = _prefix_hashes(request.blocks)
        chain = None
        for length in range(len(prefixes), _MIN_CONTINUED_BLOCKS - 1, -1):
            chain = chain_ending_in.pop(prefixes[length - 1], None)
            if chain is not None:
                chains[chain].append(number)
                break
        if chain is None:
            chain = len(chains)
            chains.append([number])
        # The last block is rarely full, and then has another id in the continuation.
        full = request.input_tokens // BLOCK_TOKENS
        if full >= _MIN_CONTINUED_BLOCKS:
            chain_ending_in[prefixes[full - 1]] = chain
    return [_turns(chain, requests) for chain in chains]


def _turns(chain: Sequence[int], requests: Sequence[TraceRequest]) -> list[TracedTurn]:
    turns = [TracedTurn(chain[0], requests[chain[0]], 0.0)]
    for before, number in pairwise(chain):
        earlier, later = requests[before], requests[number]
        answering_s = earlier.output_tokens * NOMINAL_TOKEN_S
        think_s = max(0.0, later.at_s - earlier.at_s - answering_s)
        turns.append(TracedTurn(number, later, think_s))
    return turns


def _prefix_hashes(blocks: Sequence[int]) -> list[int]:
    hashes: list[int] = []
    running = 0
    for block in blocks:
        running = hash((running, block))
        hashes.append(running)
    return hashes
