"""Two fleets of emulated engines, alike but for the policy of the pool in front of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.process import HostProcess

POLICIES = ("marginal-cost", "round-robin")
POOL_HEADER = "x-demo-pool"

# A 70B model on two H100, twice as fast as it is, so that a short run shows something. The cache
# holds about six system prompts with their conversations; the traffic has sixteen.
MODEL = "emulated-70b"
SPEEDUP = 2.0
_PROFILE = "llama-70b-h100"
_KV_TOKENS = 32_000

ENGINES = ("engine-1", "engine-2", "engine-3", "engine-4")
VICTIM = ENGINES[0]


class Fleet:
    """The engines of one pool; the victim is a process of its own."""

    def __init__(self) -> None:
        self.victim = HostProcess([_spec(VICTIM)])
        self._others = HostProcess([_spec(name) for name in ENGINES if name != VICTIM])

    async def start(self, cleanup: AsyncExitStack) -> None:
        """Raises RuntimeError when a process does not start."""
        for host in (self.victim, self._others):
            cleanup.push_async_callback(host.stop)
        await asyncio.gather(self.victim.start(), self._others.start())

    def pool(self, policy: str) -> dict[str, object]:
        """The pool's part of the balancer's configuration."""
        urls = {**self.victim.urls, **self._others.urls}
        return {
            "kind": "llm",
            "policy": policy,
            "endpoints": [{"name": name, "url": url} for name, url in urls.items()],
            "health_check": {
                "path": "/health",
                "interval": "500ms",
                "fast_interval": "250ms",
                "timeout": "2s",
            },
            # Shorter than the defaults by the same measure as the story is.
            "outlier": {"base_ejection": "500ms", "max_ejection": "2s"},
            # An engine asked twice for the same answer does no harm.
            "retry": {"non_idempotent": True},
        }


def configuration(fleets: dict[str, Fleet]) -> dict[str, object]:
    """The balancer's configuration for fleets by policy. The first is the default."""
    chosen = [
        {"name": policy, "match": {"headers": {POOL_HEADER: policy}}, "pool": policy}
        for policy in POLICIES
    ]
    return {
        "workers": 1,
        "routes": [*chosen, {"name": "everyone", "pool": POLICIES[0]}],
        "pools": {policy: fleet.pool(policy) for policy, fleet in fleets.items()},
    }


def _spec(name: str) -> EngineSpec:
    return EngineSpec(name, model=MODEL, profile=_PROFILE, speedup=SPEEDUP, kv_tokens=_KV_TOKENS)
