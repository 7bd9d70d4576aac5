"""How many tokens a prompt has, and how many its answer will have: learned from what engines say.

Both are kept per model. A share of the past fades with every sample, so a model that is replaced
behind its name is learned anew within some hundred requests.
"""

from typing import Final

BYTES_PER_TOKEN: Final = 4.0  # until learned: llm-d's approximation for English text
_LEAST_BYTES: Final = 1.0  # per token; bounds against an engine whose usage is nonsense
_MOST_BYTES: Final = 16.0
_KEPT: Final = 0.99  # of the past, per sample
_MODELS: Final = 1024  # known at most; clients choose the names

UNKNOWN_OUTPUT: Final = 256  # tokens, until samples say better: an assumption, no measurement
_ENOUGH: Final = 5.0  # samples before a prediction is believed
_BUCKETS: Final = 24  # the last one holds outputs of 2^23 tokens and more


class TokenEstimator:
    """Bytes per token, by model."""

    def __init__(self) -> None:
        self._bytes: dict[str, float] = {}
        self._tokens: dict[str, float] = {}

    def bytes_per_token(self, model: str) -> float:
        """What a token of this model's prompts takes on average."""
        tokens = self._tokens.get(model, 0.0)
        if tokens <= 0.0:
            return BYTES_PER_TOKEN
        return min(max(self._bytes[model] / tokens, _LEAST_BYTES), _MOST_BYTES)

    def tokens(self, model: str, prompt_bytes: int) -> int:
        """How many tokens a prompt of this many bytes has; at least one if it has any byte."""
        if prompt_bytes <= 0:
            return 0
        return max(1, int(prompt_bytes / self.bytes_per_token(model)))

    def learn(self, model: str, prompt_bytes: int, prompt_tokens: int) -> None:
        """An engine counted a prompt's tokens. The ratio of sums is not led astray by short ones,
        whose template dominates."""
        if prompt_bytes <= 0 or prompt_tokens <= 0:
            return
        if model not in self._tokens and len(self._tokens) >= _MODELS:
            return
        self._bytes[model] = self._bytes.get(model, 0.0) * _KEPT + prompt_bytes
        self._tokens[model] = self._tokens.get(model, 0.0) * _KEPT + prompt_tokens


class _Lengths:
    """Output lengths in buckets of powers of two, with their fading counts and sums."""

    def __init__(self) -> None:
        self.counts: list[float] = [0.0] * _BUCKETS
        self.sums: list[float] = [0.0] * _BUCKETS

    def add(self, tokens: int) -> None:
        for index in range(_BUCKETS):
            self.counts[index] *= _KEPT
            self.sums[index] *= _KEPT
        bucket = _bucket(tokens)
        self.counts[bucket] += 1.0
        self.sums[bucket] += tokens


class OutputPredictor:
    """The length of answers, by model, given what came of one so far."""

    def __init__(self) -> None:
        self._known: dict[str, _Lengths] = {}

    def learn(self, model: str, output_tokens: int) -> None:
        """An answer was whole with this many tokens."""
        if output_tokens <= 0:
            return
        known = self._known.get(model)
        if known is None:
            if len(self._known) >= _MODELS:
                return
            known = _Lengths()
            self._known[model] = known
        known.add(output_tokens)

    def predict(self, model: str, limit: int = 0, so_far: int = 0) -> int:
        """The whole length to be expected of an answer that has ``so_far`` tokens already.

        The mean of those seen that were longer; ``limit`` is the request's own bound, 0 for none.
        Beyond the longest seen it is taken to go on for as long again (a heavy tail's mean).
        """
        expected = float(UNKNOWN_OUTPUT)
        known = self._known.get(model)
        if known is not None and sum(known.counts) >= _ENOUGH:
            count = 0.0
            total = 0.0
            for bucket in range(_bucket(so_far + 1), _BUCKETS):
                count += known.counts[bucket]
                total += known.sums[bucket]
            expected = total / count if count > 1e-6 else 2.0 * so_far
        elif so_far >= UNKNOWN_OUTPUT:
            expected = 2.0 * so_far
        if limit > 0:
            expected = min(expected, float(limit))
        return max(int(expected + 0.5), so_far + 1)


def _bucket(tokens: int) -> int:
    return min(max(tokens, 1).bit_length() - 1, _BUCKETS - 1)
