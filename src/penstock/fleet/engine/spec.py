"""What an emulated engine is told to be."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.sim.engine_timing import PROFILES
from penstock.sim.inference import EngineLimits


class EngineSpec(msgspec.Struct, frozen=True, tag_field="kind", tag="engine"):
    """An engine. Zeros for limits mean what the profile or the engine's kind has.

    ``speedup`` makes it as many times faster than the profile's hardware. ``mean_answer_tokens``
    is the length of answers whose request leaves it to the model. ``kv_events`` publishes cache
    events over ZMQ in the form named, at ``kv_events_port`` and for replay at the one after it
    (0: two free ports).
    """

    name: str
    dialect: str = "vllm"  # one of ``emulated_dialects()``
    model: str = "emulated-model"
    adapters: tuple[str, ...] = ()
    profile: str = "llama-3-8b-h100"
    speedup: float = 1.0
    kv_tokens: int = 0
    block_tokens: int = 16
    max_batched_tokens: int = 8192
    max_sequences: int = 0
    max_model_tokens: int = 131072
    mean_answer_tokens: int = 250
    report_cached: bool = True
    kv_events: Literal["off", "array", "map"] = "off"
    kv_events_port: int = 0
    role: Literal["", "prefill", "decode"] = ""  # of SGLang's disaggregation
    kv_lease_s: float = 30.0  # for which blocks are kept that another engine is to pull
    host: str = "127.0.0.1"
    port: int = 0

    def limits(self, default_sequences: int) -> EngineLimits:
        """For the engine's model. Raises ValueError for a profile that does not exist."""
        if self.profile not in PROFILES:
            raise ValueError(f"no profile {self.profile!r}; there are {', '.join(PROFILES)}")
        return EngineLimits(
            kv_tokens=self.kv_tokens or PROFILES[self.profile].kv_tokens,
            block_tokens=self.block_tokens,
            max_batched_tokens=self.max_batched_tokens,
            max_sequences=self.max_sequences or default_sequences,
        )
