"""Prompts that one half of a pool's endpoints computes, for the other half to answer."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import field

from penstock.core.snapshot.data import Data

BY_COST: Final = -1


class Split(Data, frozen=True):
    """Of the half that answers."""

    prefill: str  # the pool that the other half is
    connector: Literal["nixl", "sglang", "mooncake"] = "nixl"  # how engines hand over KV caches
    # Tokens of a prompt that are not cached where it is answered; BY_COST: the policies decide.
    threshold: int = -1
    # Where engines meet that do (SGLang, Mooncake), and at those of these names.
    bootstrap_port: int = 8998
    bootstrap_ports: dict[str, int] = field(default_factory=dict)
    engine_ids: dict[str, str] = field(default_factory=dict)  # Mooncake's, where not their names
    lease_s: float = 30.0  # for which a computed prompt is kept (vLLM's own lease)
