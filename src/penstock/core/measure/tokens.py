"""How many tokens a prompt has, and how many its answer will have: learned from what engines say.

Both are kept per model; lengths of answers also per class of requests (``answer_class``), which
counts once enough of it was seen. A share of the past fades with every sample, so a model that is
replaced behind its name is learned anew within some hundred requests.
"""

from typing import Final, TypeVar

from mypy_extensions import mypyc_attr

BYTES_PER_TOKEN: Final = 4.0  # until learned: llm-d's approximation for English text
_LEAST_BYTES: Final = 1.0  # per token; bounds against an engine whose usage is nonsense
_MOST_BYTES: Final = 16.0
_KEPT: Final = 0.99  # of the past, per sample
_MOST_TIMES_MEAN: Final = 10.0  # of a prompt: as much it counts as at most
_MODELS: Final = 1024  # known at most, and classes; clients choose the names, so the last count

UNKNOWN_OUTPUT: Final = 256  # tokens, until samples say better: an assumption, no measurement
_ENOUGH: Final = 5.0  # samples before a prediction is believed
_BUCKETS: Final = 24  # the last one holds outputs of 2^23 tokens and more
_LIMIT_CLASSES: Final = 8  # by powers of four: none, to 16 tokens, to 64, … beyond 16,384
_MOST_WEIGHT: Final = 1e6  # of a sample, before all are scaled down


K = TypeVar("K")
V = TypeVar("V")


class _Prompts:
    """Of a model: fading sums."""

    def __init__(self) -> None:
        self.count: float = 0.0
        self.size: float = 0.0  # in bytes
        self.tokens: float = 0.0


class TokenEstimator:
    """Bytes per token, by model."""

    def __init__(self) -> None:
        self._models: dict[str, _Prompts] = {}

    def bytes_per_token(self, model: str) -> float:
        """What a token of this model's prompts takes on average."""
        known = self._models.get(model)
        if known is None:
            return BYTES_PER_TOKEN
        return min(max(known.size / known.tokens, _LEAST_BYTES), _MOST_BYTES)

    def tokens(self, model: str, prompt_bytes: int) -> int:
        """How many tokens a prompt of this many bytes has; at least one if it has any byte."""
        if prompt_bytes <= 0:
            return 0
        return max(1, int(prompt_bytes / self.bytes_per_token(model)))

    def learn(self, model: str, prompt_bytes: int, prompt_tokens: int) -> None:
        """An engine counted a prompt's tokens. The ratio of sums is not led astray by short ones,
        whose template dominates, nor for long by one that is far longer than others."""
        if prompt_bytes <= 0 or prompt_tokens <= 0:
            return
        known = self._models.pop(model, None) or _Prompts()
        weight = 1.0
        if known.size > 0.0:
            weight = min(1.0, _MOST_TIMES_MEAN * known.size / known.count / prompt_bytes)
        known.count = known.count * _KEPT + 1.0
        known.size = known.size * _KEPT + weight * prompt_bytes
        known.tokens = known.tokens * _KEPT + weight * prompt_tokens
        _put_last(self._models, model, known)


def _put_last(known: dict[K, V], key: K, value: V) -> None:
    """Behind the others; what was not learned of for longest makes room."""
    if len(known) >= _MODELS:
        del known[next(iter(known))]
    known[key] = value


def answer_class(api: int, streams: bool, tools: bool, limit: int) -> int:
    """Requests whose answers are alike in length: of one API, streamed or not, with or without
    tools on offer, and with a like limit: who wants a word asks for few tokens. Never 0.
    """
    size = 0
    if limit > 0:
        size = 1
        bound = 16
        while limit > bound and size < _LIMIT_CLASSES - 1:
            bound *= 4
            size += 1
    return ((api + 1) * _LIMIT_CLASSES + size) * 4 + (2 if streams else 0) + (1 if tools else 0)


class _Lengths:
    """Output lengths in buckets of powers of two, with their fading counts and sums.

    Instead of the old fading, the new weigh more.
    """

    def __init__(self) -> None:
        self.counts: list[float] = [0.0] * _BUCKETS
        self.sums: list[float] = [0.0] * _BUCKETS
        self._weight: float = 1.0  # of the next sample
        self._total: float = 0.0
        # All others are empty, and adding what is in those changes nothing.
        self._first: int = _BUCKETS
        self._last: int = -1

    def add(self, tokens: int) -> None:
        weight = self._weight
        bucket = _bucket(tokens)
        if bucket < self._first:
            self._first = bucket
        if bucket > self._last:
            self._last = bucket
        self.counts[bucket] += weight
        self.sums[bucket] += weight * tokens
        self._total += weight
        self._weight = weight / _KEPT
        if weight > _MOST_WEIGHT:
            self.counts = [count / weight for count in self.counts]
            self.sums = [total / weight for total in self.sums]
            self._total /= weight
            self._weight = 1.0 / _KEPT

    def samples(self) -> float:
        """How many there are, faded."""
        return self._total / self._weight

    def mean_above(self, so_far: int) -> float:
        """Of those that were longer; -1 when there were hardly any."""
        count = 0.0
        total = 0.0
        for bucket in range(max(_bucket(so_far + 1), self._first), self._last + 1):
            count += self.counts[bucket]
            total += self.sums[bucket]
        return total / count if count > 1e-6 * self._weight else -1.0


class OutputPredictor:
    """The length of answers, by model and class, given what came of one so far."""

    def __init__(self) -> None:
        self._models: dict[str, _Lengths] = {}
        self._classes: dict[tuple[str, int], _Lengths] = {}

    def learn(self, model: str, output_tokens: int, kind: int = 0) -> None:
        """An answer was whole with this many tokens. ``kind`` is its class, 0 for none."""
        if output_tokens <= 0:
            return
        known = self._models.pop(model, None) or _Lengths()
        known.add(output_tokens)
        _put_last(self._models, model, known)
        if kind == 0:
            return
        key = (model, kind)
        alike = self._classes.pop(key, None) or _Lengths()
        alike.add(output_tokens)
        _put_last(self._classes, key, alike)

    def predict(self, model: str, limit: int = 0, so_far: int = 0, kind: int = 0) -> int:
        """The whole length to be expected of an answer that has ``so_far`` tokens already.

        The mean of those seen that were longer, of the same class where some were seen; ``limit``
        is the request's own bound, 0 for none. Beyond the longest seen it is taken to go on for as
        long again (a heavy tail's mean).
        """
        expected = -1.0
        known = self._classes.get((model, kind)) if kind else None
        if known is not None and known.samples() >= _ENOUGH:
            expected = known.mean_above(so_far)
        if expected < 0.0:
            known = self._models.get(model)
            if known is not None and known.samples() >= _ENOUGH:
                expected = known.mean_above(so_far)
                if expected < 0.0:
                    expected = 2.0 * so_far
        if expected < 0.0:
            expected = 2.0 * so_far if so_far >= UNKNOWN_OUTPUT else float(UNKNOWN_OUTPUT)
        if limit > 0:
            expected = min(expected, float(limit))
        return max(int(expected + 0.5), so_far + 1)


class Outlook:
    """What is to be expected of one request's answer while it goes on."""

    def __init__(self, predictor: OutputPredictor, model: str, limit: int, kind: int) -> None:
        self._predictor: OutputPredictor = predictor
        self._model: str = model
        self._limit: int = limit
        self._kind: int = kind

    def length(self, so_far: int) -> int:
        """Of the whole answer, of which so many tokens came."""
        return self._predictor.predict(self._model, self._limit, so_far, self._kind)


@mypyc_attr(allow_interpreted_subclasses=True)
class Progress:
    """Whoever counts the tokens of an answer as they pass."""

    def tokens(self) -> int:
        """How many came so far."""
        return 0


def _bucket(tokens: int) -> int:
    return min(max(tokens, 1).bit_length() - 1, _BUCKETS - 1)
