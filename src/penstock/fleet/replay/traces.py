"""Published request traces (see ``penstock.sim.trace``) as workloads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from penstock.fleet.replay.session import Message, Session, Text, Turn, Workload
from penstock.sim.trace import TraceError as TraceError  # part of what load_trace promises
from penstock.sim.trace import TraceRequest, read_trace
from penstock.sim.trace_conversations import TracedTurn, conversations


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
        sessions = [_conversation(turns, rate_scale) for turns in conversations(requests)]
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


def _conversation(turns: Sequence[TracedTurn], rate_scale: float) -> Session:
    return Session(
        turns[0].request.at_s / rate_scale,
        tuple(_turn(turn.request, turn.think_s) for turn in turns),
        closed=True,
        whole_prompts=True,
    )
