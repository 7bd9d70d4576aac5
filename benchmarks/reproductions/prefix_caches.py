"""How many prompt tokens of a trace infinite caches would hold, by who gets which request."""

from pathlib import Path
from random import Random
from typing import Final

from benchmarks.reproductions.reproduction import Effort, Reproduction, table
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket
from penstock.sim.trace import BLOCK_TOKENS, TraceRequest, read_trace

UNBOUNDED: Final = 1 << 40
EXPECTED: Final = {
    ("one cache", "round-robin", 1): 0.3736,
    ("round robin", "round-robin", 8): 0.1390,
    ("round robin", "round-robin", 16): 0.1010,
    ("longest match", "cache-aware", 8): 0.3736,
}
_LONGEST_MATCH: Final = {
    "cache_threshold": 0.0,
    "balance_abs": UNBOUNDED,
    "prefix_blocks": UNBOUNDED,
}


def hit_rate(trace: list[TraceRequest], policy: str, endpoints: int) -> float:
    """The share of prompt tokens found in the cache of the endpoint that the policy picks."""
    options: dict[str, object] = dict(_LONGEST_MATCH) if policy == "cache-aware" else {}
    pool = Pool("trace", create(policy, options))
    pool.replace_endpoints([Endpoint(f"e{i}") for i in range(endpoints)])
    caches = PrefixIndex(UNBOUNDED)
    env = Env(Random(1))
    tokens = hits = 0
    for each in trace:
        request = Request(
            prompt_tokens=each.input_tokens, blocks=list(each.blocks), block_tokens=BLOCK_TOKENS
        )
        env.now = each.at_s
        endpoint = pool.pick(request, env)
        assert endpoint is not None
        hits += caches.insert(request, endpoint)
        tokens += each.input_tokens
        ticket = Ticket(endpoint, pool.policy, request, each.at_s)
        ticket.first_byte(each.at_s)
        ticket.settle(DONE, each.at_s)
    return hits / tokens


def run(effort: Effort) -> list[str]:
    """The table."""
    trace = load(effort.trace)
    rows = [
        [
            label,
            f"`{policy}`",
            str(endpoints),
            f"{expected:.4f}",
            f"{hit_rate(trace, policy, endpoints):.4f}",
        ]
        for (label, policy, endpoints), expected in EXPECTED.items()
    ]
    return table(["caches", "policy", "endpoints", "computed before", "ours"], rows)


def load(trace: Path | None) -> list[TraceRequest]:
    """The whole trace. Raises ValueError when no file was given."""
    if trace is None:
        raise ValueError("this one needs a trace: --trace conversation_trace.jsonl")
    return list(read_trace(trace))


PREFIX_CACHES: Final = Reproduction(
    "prefix-caches", "Prefix hits on a conversation trace", run, needs_trace=True
)
