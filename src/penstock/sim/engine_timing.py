"""How long one step of an inference engine takes: coefficients for models and accelerators."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineTiming:
    """Durations of a step, in milliseconds, as fitted to measurements.

    Prefill of ``n`` new tokens after ``c`` in context:
    ``base + token·n + context·c + product·n·c + square·((c+n)² − c²)``.
    Decode of ``b`` sequences that hold ``k`` tokens, ``u`` of the KV capacity:
    ``base + sequence·b + kv_token·k + usage·u + usage_square·u²``.
    """

    prefill_base: float
    prefill_token: float
    prefill_context: float = 0.0
    prefill_product: float = 0.0
    prefill_square: float = 0.0
    decode_base: float = 0.0
    decode_sequence: float = 0.0
    decode_kv_token: float = 0.0
    decode_usage: float = 0.0
    decode_usage_square: float = 0.0

    def prefill_ms(self, new: int, context: int) -> float:
        """Of a step that computes ``new`` prompt tokens of one sequence and nothing else."""
        return self.prefill_base + self.prefill_part_ms(new, context)

    def prefill_part_ms(self, new: int, context: int) -> float:
        """What ``new`` tokens after ``context`` add to a step that happens anyway."""
        return (
            self.prefill_token * new
            + self.prefill_context * context
            + self.prefill_product * new * context
            + self.prefill_square * new * (new + 2 * context)
        )

    def decode_ms(self, sequences: int, kv_tokens: int, usage: float) -> float:
        """Of a step that gives each of ``sequences`` one token."""
        return max(1.0, self.decode_base + self.decode_part_ms(sequences, kv_tokens, usage))

    def decode_part_ms(self, sequences: int, kv_tokens: int, usage: float) -> float:
        """What decoding adds to a step that happens anyway."""
        return (
            self.decode_sequence * sequences
            + self.decode_kv_token * kv_tokens
            + self.decode_usage * usage
            + self.decode_usage_square * usage * usage
        )


@dataclass(frozen=True)
class EngineProfile:
    """A model on an accelerator: its timing and how many tokens its KV cache holds."""

    timing: EngineTiming
    kv_tokens: int


# Dynamo's mocker: both polynomials from its source.
_DYNAMO_MOCKER = EngineTiming(
    prefill_base=16.50142,
    prefill_token=1.518344e-2,
    prefill_square=4.209989e-7,
    decode_base=5.74,
    decode_usage=54.01,
    decode_usage_square=-25.74,
)

# Decode of Llama-3-8B on one H100: 7.69 + .0044·B + 7.6e-5·KV tokens. No prefill was published
# with it; Dynamo's mocker's is of that class of model.
_LLAMA_3_8B_H100 = EngineTiming(
    prefill_base=16.50142,
    prefill_token=1.518344e-2,
    prefill_square=4.209989e-7,
    decode_base=7.69,
    decode_sequence=0.0044,
    decode_kv_token=7.6e-5,
)

# Prefill of Llama-3-70B on two H100; decode of Llama-2-70B on H100, which has the same 320 KB of
# KV cache per token.
_LLAMA_70B_H100 = EngineTiming(
    prefill_base=18.667,
    prefill_token=0.079879,
    prefill_context=0.0026853,
    prefill_product=7.4434e-7,
    decode_base=29.57,
    decode_sequence=0.2024,
    decode_kv_token=2.177e-4,
)

# Prefill of Llama-3-70B on two A100; decode as on H100, times the ratio of the memory bandwidths
# (3.35 to 2.04 TB/s), which bound it.
_A100_DECODE = 3.35 / 2.04
_LLAMA_70B_A100 = EngineTiming(
    prefill_base=28.931,
    prefill_token=0.182233,
    prefill_context=0.0040037,
    prefill_product=2.5505e-6,
    decode_base=29.57 * _A100_DECODE,
    decode_sequence=0.2024 * _A100_DECODE,
    decode_kv_token=2.177e-4 * _A100_DECODE,
)

# KV capacities: 80 GB less 16 GB of weights and 10% reserve at 128 KB a token; llm-d's published
# 307,328 tokens for a 70B model on two H100 (FP8 weights), the same on A100.
PROFILES: dict[str, EngineProfile] = {
    "dynamo-mocker": EngineProfile(_DYNAMO_MOCKER, 16384 * 16),
    "llama-3-8b-h100": EngineProfile(_LLAMA_3_8B_H100, 430_000),
    "llama-70b-h100": EngineProfile(_LLAMA_70B_H100, 307_328),
    "llama-70b-a100": EngineProfile(_LLAMA_70B_A100, 307_328),
}
