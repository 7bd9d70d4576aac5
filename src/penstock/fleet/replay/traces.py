"""Published request traces (see ``penstock.sim.trace``) as workloads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path

from penstock.fleet.replay.session import Message, Session, Text, Turn, Workload
from penstock.fleet.replay.text import BLOCK_TOKENS
from penstock.sim.trace import TraceError as TraceError  # part of what load_trace promises
from penstock.sim.trace import TraceRequest, read_trace

# The service time taken out of the gap between a request and the one that continues it, to get at
# the user's thinking: what a 70B model at moderate load needs for each token.
NOMINAL_TOKEN_S = 0.02

# A first block that all requests share (the service's own system prompt) makes no conversation.
_MIN_CONTINUED_BLOCKS = 2


def load_trace(
    path: Path, *, limit: int | None = None, rate_scale: float = 1.0, think: bool = False
) -> Workload:
    """The trace as a workload, by timestamp or, with ``think``, as conversations.

    Args:
        limit: take only that many requests from the beginning.
        rate_scale: how many times faster requests arrive than they did.
        think: a request that continues an earlier one's prompt is sent the traced pause after
            the earlier answer instead of at its timestamp.

    Raises:
        TraceError: the file is neither format. OSError: it cannot be read.
    """
    requests = list(islice(read_trace(path), limit))
    if think:
        sessions = _conversations(requests, rate_scale)
        kind = "think time"
    else:
        sessions = [_alone(request, rate_scale) for request in requests]
        kind = "timestamps"
    pace = "" if rate_scale == 1.0 else f", {rate_scale:g}× the rate"
    description = f"{path.name}: {len(requests)} requests by {kind}{pace}"
    return Workload(description, tuple(sorted(sessions, key=lambda session: session.start_s)))


def _alone(request: TraceRequest, rate_scale: float) -> Session:
    return Session(request.at_s / rate_scale, (_turn(request, 0.0),))


def _turn(request: TraceRequest, wait_s: float) -> Turn:
    prompt = Message("user", Text(request.blocks, request.input_tokens))
    return Turn(wait_s, (prompt,), request.output_tokens)


def _conversations(requests: Sequence[TraceRequest], rate_scale: float) -> list[Session]:
    """Chains of requests, each of which continues the prompt of the one before it."""
    chains: list[list[TraceRequest]] = []
    chain_ending_in: dict[int, int] = {}  # hash of a prompt's full blocks → its chain
    for request in requests:
        prefixes = _prefix_hashes(request.blocks)
        chain = None
        for length in range(len(prefixes), _MIN_CONTINUED_BLOCKS - 1, -1):
            chain = chain_ending_in.pop(prefixes[length - 1], None)
            if chain is not None:
                chains[chain].append(request)
                break
        if chain is None:
            chain = len(chains)
            chains.append([request])
        # The last block is rarely full, and then has another id in the continuation.
        full = request.input_tokens // BLOCK_TOKENS
        if full >= _MIN_CONTINUED_BLOCKS:
            chain_ending_in[prefixes[full - 1]] = chain
    return [_conversation(chain, rate_scale) for chain in chains]


def _conversation(chain: Sequence[TraceRequest], rate_scale: float) -> Session:
    turns = [_turn(chain[0], 0.0)]
    for earlier, later in pairwise(chain):
        answering_s = earlier.output_tokens * NOMINAL_TOKEN_S
        think_s = max(0.0, later.at_s - earlier.at_s - answering_s)
        turns.append(_turn(later, think_s))
    return Session(chain[0].at_s / rate_scale, tuple(turns), closed=True, whole_prompts=True)


def _prefix_hashes(blocks: Sequence[int]) -> list[int]:
    hashes: list[int] = []
    running = 0
    for block in blocks:
        running = hash((running, block))
        hashes.append(running)
    return hashes
