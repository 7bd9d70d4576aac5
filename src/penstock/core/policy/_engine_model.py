"""How fast an endpoint computes prompts and answers, fitted from what is seen of it.

    time to first token = p₀ + p₁·(tokens ahead + uncached) + p₂·uncached·prompt
    time per token      = s₀ + s₁·batch + s₂·KV tokens + s₃·prompt tokens computed meanwhile

by recursive least squares with exponential forgetting (S. Haykin, "Adaptive Filter Theory",
ch. 10).
Slopes cannot be negative; s₁, s₂, s₃ are 0 until there are samples enough. p₁ begins at the rate
that llm-d takes for an endpoint, 15,928 prompt tokens a second. An endpoint of which too little was
seen is taken for an average one of its pool, so that it is neither shunned nor flooded for being
unknown.
"""

from typing import Final

PEAK_RATE: Final = 15928.0  # prompt tokens per second
_STEP_S: Final = 0.02  # a token, until seen: an assumption that no choice rests on, being common
_FORGETTING: Final = 0.995  # 200 samples in memory
_IDENTIFIED: Final = 20  # samples before what was fitted to one endpoint is believed
_CONFIDENCE: Final = 1e-3  # in the start, as a share of a sample: a few samples replace it
_LARGEST: Final = 1e6  # of the covariance: forgetting without excitation would let it grow


class LeastSquares:
    """y ≈ Σ βᵢxᵢ, a sample at a time. Features should be of order one."""

    def __init__(self, start: list[float], confidence: float) -> None:
        """``confidence`` in the start: larger takes more samples to leave it."""
        self.beta: list[float] = list(start)
        self.samples: int = 0
        size = len(start)
        self._p: list[list[float]] = [[0.0] * size for _ in range(size)]
        for i in range(size):
            self._p[i][i] = 1.0 / confidence

    def add(self, x: list[float], y: float) -> None:
        """Take in a sample."""
        p = self._p
        size = len(x)
        px = [0.0] * size
        for i in range(size):
            total = 0.0
            row = p[i]
            for j in range(size):
                total += row[j] * x[j]
            px[i] = total
        norm = _FORGETTING
        error = y
        for i in range(size):
            norm += x[i] * px[i]
            error -= self.beta[i] * x[i]
        for i in range(size):
            gain = px[i] / norm
            self.beta[i] += gain * error
            row = p[i]
            for j in range(size):
                row[j] -= gain * px[j]
        if p[0][0] + p[size - 1][size - 1] < _LARGEST:
            for i in range(size):
                for j in range(size):
                    p[i][j] /= _FORGETTING
        self.samples += 1


class EngineModel:
    """One endpoint's. Tokens are scaled to thousands inside, results are in seconds."""

    def __init__(self) -> None:
        self._prefill: LeastSquares = LeastSquares([0.0, 1000.0 / PEAK_RATE, 0.0], _CONFIDENCE)
        self._decode: LeastSquares = LeastSquares([_STEP_S, 0.0, 0.0, 0.0], _CONFIDENCE)
        self.base_s: float = 0.0
        self.token_s: float = 1.0 / PEAK_RATE
        self.square_s: float = 0.0  # per uncached token and prompt token
        self.step_s: float = _STEP_S
        self.batch_s: float = 0.0  # s₁
        self.kv_s: float = 0.0  # s₂, per token
        self.disturbance_s: float = 0.0  # s₃, per prompt token: φ·p₁

    def learn_first_token(self, ahead: int, uncached: int, prompt: int, seconds: float) -> None:
        """A first token came after this long."""
        fit = self._prefill
        fit.add([1.0, (ahead + uncached) / 1e3, uncached * (prompt / 1e6)], seconds)
        self.base_s = max(fit.beta[0], 0.0)
        self.square_s = max(fit.beta[2], 0.0) / 1e6
        if fit.beta[1] > 0.0:
            self.token_s = fit.beta[1] / 1e3

    def learn_step(self, batch: float, kv_tokens: float, prefilled: float, seconds: float) -> None:
        """Tokens came this far apart, beside so many others; ``prefilled`` is per token."""
        fit = self._decode
        fit.add([1.0, batch / 10.0, kv_tokens / 1e5, prefilled / 1e3], seconds)
        self.step_s = max(fit.beta[0], 0.0)
        if fit.samples >= _IDENTIFIED:
            self.batch_s = max(fit.beta[1], 0.0) / 10.0
            self.kv_s = max(fit.beta[2], 0.0) / 1e5
            # One prompt token delays a step by no more than its own computation.
            self.disturbance_s = min(max(fit.beta[3], 0.0) / 1e3, self.token_s)

    def take_for(self, common: "EngineModel") -> None:
        """Believe of it what is known of ``common``, where too little was seen of itself."""
        if self._prefill.samples < _IDENTIFIED <= common._prefill.samples:
            self.base_s = common.base_s
            self.token_s = common.token_s
            self.square_s = common.square_s
        if self._decode.samples < _IDENTIFIED <= common._decode.samples:
            self.step_s = common.step_s
            self.batch_s = common.batch_s
            self.kv_s = common.kv_s
            self.disturbance_s = common.disturbance_s

    def queue_s(self, pending: int) -> float:
        """W: until the prompt tokens that wait are computed."""
        return self.token_s * pending

    def prefill_s(self, uncached: int, prompt: int) -> float:
        """P: computing a prompt's uncached tokens, on an endpoint with nothing else to do."""
        return self.base_s + self.token_s * uncached + self.square_s * uncached * prompt

    def decode_s(self, batch: int, kv_tokens: float) -> float:
        """s: one token, with so many requests in the batch."""
        return self.step_s + self.batch_s * batch + self.kv_s * kv_tokens
