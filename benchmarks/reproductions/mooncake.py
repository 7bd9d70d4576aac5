"""Mooncake's four ways to schedule prompts, on its conversation trace."""

from typing import ClassVar, Final

from benchmarks.reproductions.reproduction import Effort, Reproduction, simulated, table
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.serving import pending
from penstock.core.request import Request
from penstock.core.ticket import Ticket
from penstock.sim.experiment import Result

# Mean time to first token. Qin et al., Mooncake (FAST 2025), 16 nodes of 8 A800.
PUBLISHED_S: Final = {
    "random": 19.65,
    "load only": 5.27,
    "local caches": 3.58,
    "global cache": 3.07,
}
_INSTANCES: Final = 8  # of the sixteen nodes that prefill
# A node's DRAM holds what its instances computed: a terabyte at 320 KB a token.
_KV_TOKENS: Final = 3_000_000
_INDEX_BLOCKS: Final = 1_000_000
# 800 Gb/s of RDMA between nodes, half of it reached, at 320 KB a token.
_TRANSFER_TOKENS_PER_S: Final = 156_000.0

# How fast an instance prefills beside Llama-3-70B on two A100, whose coefficients are known. The
# paper's model and its speed are not published; this is the one parameter that was fitted.
_SPEEDS: Final = (1.0, 1.3, 2.0)
_NEAREST: Final = 1.3


class GlobalCache(FittedPolicy):
    """Mooncake's algorithm 1: what another instance holds of the prefix can be fetched.

    TTFT = T_queue + min(T_prefill(prompt, own hit), T_transfer + T_prefill(prompt, best hit)).
    """

    name: ClassVar[str] = ""  # found by its module and class, not by a name

    def __init__(self) -> None:
        super().__init__(_INDEX_BLOCKS)
        self._store: Endpoint = Endpoint("store")

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        prompt = request.prompt_tokens
        best = self.index.matches(request, [self._store])[0]
        times = []
        for hit, endpoint in zip(hits, eligible, strict=True):
            model = self.model(endpoint)
            fetched = max(best - hit, 0) / _TRANSFER_TOKENS_PER_S + model.prefill_s(
                max(prompt - best, 0), prompt
            )
            own = model.prefill_s(max(prompt - hit, 0), prompt)
            times.append(model.queue_s(pending(endpoint)) + min(own, fetched))
        return least_of(eligible, times, env)

    def on_start(self, ticket: Ticket) -> None:
        best = self.index.insert(ticket.request, self._store)
        super().on_start(ticket)
        fetched = min(max(best - ticket.hit_tokens, 0), ticket.prefill_tokens)
        ticket.hit_tokens += fetched
        ticket.prefill_tokens -= fetched
        ticket.endpoint.tokens.pending_prefill -= fetched


_POLICIES: Final[dict[str, object]] = {
    "random": "random",
    "load only": {"name": "token-load", "prefix_blocks": 1},
    "local caches": {"name": "ttft", "prefix_blocks": _INDEX_BLOCKS},
    "global cache": f"{__name__}:GlobalCache",
}


def run(effort: Effort) -> list[str]:
    """The table."""
    if effort.trace is None:
        raise ValueError("this one needs a trace: --trace conversation_trace.jsonl")
    rows = []
    for name, published in PUBLISHED_S.items():
        results = [_simulated(name, str(effort.trace), speed, effort) for speed in _SPEEDS]
        nearest = results[_SPEEDS.index(_NEAREST)]
        rows.append(
            [
                name,
                f"{published:.2f} s",
                *(f"{result.interval('ttft').mean:.2f} s" for result in results),
                f"{nearest.interval('ttft p99').mean:.1f} s",
                f"{nearest.interval('hit rate').mean:.1%}",
            ]
        )
    heads = [
        "scheduling",
        "published mean TTFT",
        *(f"ours, speed {speed:g}" for speed in _SPEEDS),
        f"p99, speed {_NEAREST:g}",
        "hit rate",
    ]
    return table(heads, rows)


def _simulated(name: str, trace: str, speed: float, effort: Effort) -> Result:
    engine: dict[str, object] = {
        "profile": "llama-70b-a100",
        "kv_tokens": _KV_TOKENS,
        "block_tokens": 512,
    }
    if name == "global cache":
        engine["store"] = _TRANSFER_TOKENS_PER_S
    group = {"count": _INSTANCES, "speed": speed, "model": "engine", "engine": engine}
    return simulated(
        {
            "arrivals": {"kind": "recorded"},
            "prompts": {"trace": trace, "prefill_only": True},
            "servers": [group],
            "policies": [_POLICIES[name]],
            "run": {"replications": 3, "warm_up": 0.0},
        },
        effort,
    ).results[0]


MOONCAKE: Final = Reproduction("mooncake", "Mooncake's four schedulers", run, needs_trace=True)
