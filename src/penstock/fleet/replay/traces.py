"""Published request traces as workloads.

- Mooncake (``kvcache-ai/Mooncake``): JSON lines with ``timestamp`` in milliseconds,
  ``input_length``, ``output_length`` and ``hash_ids``, one for each 512-token block of the prompt.
- Azure (``Azure/AzurePublicDataset``, 2023 and 2024): CSV with ``TIMESTAMP``, ``ContextTokens``,
  ``GeneratedTokens``; no prefixes are known, every prompt is its own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.fleet.replay.session import Message, Session, Text, Turn, Workload
from penstock.fleet.replay.text import BLOCK_TOKENS

# The service time taken out of the gap between a request and the one that continues it, to get at
# the user's thinking: what a 70B model at moderate load needs for each token.
NOMINAL_TOKEN_S = 0.02

# A first block that all requests share (the service's own system prompt) makes no conversation.
_MIN_CONTINUED_BLOCKS = 2


class TraceError(Exception):
    """The file is not a trace in a known format. The message says where."""


class TraceRequest(NamedTuple):
    at_s: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...]


class _MooncakeLine(msgspec.Struct):
    timestamp: float
    input_length: int
    output_length: int
    hash_ids: list[int]


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


def read_trace(path: Path) -> Iterator[TraceRequest]:
    """The requests in the file's order, times from its first. Raises TraceError, OSError."""
    with path.open(newline="") as file:
        first = file.readline()
        file.seek(0)
        if first.lstrip().startswith("{"):
            yield from _from_zero(_read_mooncake(file, path))
        elif first.startswith("TIMESTAMP,ContextTokens,GeneratedTokens"):
            yield from _from_zero(_read_azure(file, path))
        else:
            raise TraceError(
                f"{path}: line 1 is neither a JSON object (Mooncake) nor the header "
                "TIMESTAMP,ContextTokens,GeneratedTokens (Azure)"
            )


def _read_mooncake(lines: Iterable[str], path: Path) -> Iterator[TraceRequest]:
    decoder = msgspec.json.Decoder(_MooncakeLine)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            parsed = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise TraceError(f"{path}: line {number}: {error}") from error
        if len(parsed.hash_ids) * BLOCK_TOKENS < parsed.input_length:
            raise TraceError(
                f"{path}: line {number}: {len(parsed.hash_ids)} hash_ids are too few for "
                f"{parsed.input_length} tokens in blocks of {BLOCK_TOKENS}"
            )
        yield TraceRequest(
            parsed.timestamp / 1000,
            max(1, parsed.input_length),
            max(1, parsed.output_length),
            tuple(parsed.hash_ids),
        )


def _read_azure(lines: Iterable[str], path: Path) -> Iterator[TraceRequest]:
    for number, row in enumerate(csv.DictReader(lines), 2):
        try:
            # Python reads at most six digits of a second, the 2023 trace has seven.
            stamp, _, zone = row["TIMESTAMP"].partition("+")
            at = datetime.fromisoformat(stamp[:26] + ("+" + zone if zone else ""))
            inputs, outputs = int(row["ContextTokens"]), int(row["GeneratedTokens"])
        except (TypeError, ValueError) as error:
            raise TraceError(f"{path}: line {number}: {error}") from error
        inputs = max(1, inputs)
        # Negative seeds belong to no Mooncake block.
        seeds = tuple(-(number << 16) - block for block in range(-(-inputs // BLOCK_TOKENS)))
        yield TraceRequest(at.timestamp(), inputs, max(1, outputs), seeds)


def _from_zero(requests: Iterable[TraceRequest]) -> Iterator[TraceRequest]:
    origin: float | None = None
    for request in requests:
        origin = request.at_s if origin is None else origin
        yield request._replace(at_s=request.at_s - origin)


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
