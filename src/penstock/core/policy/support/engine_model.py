"""How fast an endpoint computes prompts and answers, fitted from what is seen of it.

    time to first token = p₀ + p₁·(tokens ahead + uncached) + p₂·uncached·prompt
    time per token      = s₀ + s₁·batch + s₂·KV tokens + s₃·prompt tokens computed meanwhile

by least squares that forget, of all endpoints together; of each endpoint only its pace is learned,
one for prompts and one for answers: how many times as long it takes. The features go up and down
together, so that seven coefficients fitted to the few samples of one endpoint would make it look
cheap or dear by chance, and draw or shun traffic for it; a ratio is known after a few.

Slopes cannot be negative; s₁, s₂, s₃ are 0 until there are samples enough. p₁ begins at the rate
that llm-d takes for an endpoint, 15,928 prompt tokens a second. An endpoint not seen yet keeps the
pace of an average one, so that it is neither shunned nor flooded for being unknown. Samples are
bounded, and a pace that is not renewed leans on the average again (``support.belief``).
"""

from typing import Final

from penstock.core.plain_state import number, tables, whole
from penstock.core.policy.support.belief import MOST, Evidence, PoolSamples, Reference
from penstock.core.policy.support.least_squares import LeastSquares

PEAK_RATE: Final = 15928.0  # prompt tokens per second
_STEP_S: Final = 0.02  # a token, until seen: an assumption that no choice rests on, being common
# 1000 samples in memory: with 200, the long prompts of Mooncake's trace made the fit swing, and the
# mean time to first token rose from 2.2 to 4.3 s (docs/reproductions.md, global cache, speed 1.3).
_KEPT: Final = 0.999  # of the past, per sample
_IDENTIFIED: Final = 20  # samples before slopes of decoding, and paces, are believed
_PACE_KEPT: Final = 0.98  # of the past, per sample: an endpoint's pace has 50 in memory
_PACE_DOUBT: Final = 5  # samples of the average pace that a pace begins with
_BESIDE_KEPT: Final = 0.9  # of the past, per answer, in the prompt tokens computed beside one
_FARTHEST: Final = 1000.0  # times as fast or slow as an average one; never 0
_MEAN_STEP: Final = 0.01  # of the mean pace, and of what is typical, per sample
_PREFILL_FEATURES: Final = 3
_DECODE_FEATURES: Final = 4
_CONFIDENCE: Final = 1e-3  # in the start, as a share of a sample: a few samples replace it


class FleetModel:
    """Of an average endpoint. Tokens are scaled to thousands inside, results are in seconds."""

    def __init__(self) -> None:
        self._prefill: LeastSquares = LeastSquares(
            [0.0, 1000.0 / PEAK_RATE, 0.0], _CONFIDENCE, _KEPT
        )
        self._decode: LeastSquares = LeastSquares([_STEP_S, 0.0, 0.0, 0.0], _CONFIDENCE, _KEPT)
        self.base_s: float = 0.0
        self.token_s: float = 1.0 / PEAK_RATE
        self.square_s: float = 0.0  # per uncached token and prompt token
        self.step_s: float = _STEP_S
        self.batch_s: float = 0.0  # s₁
        self.kv_s: float = 0.0  # s₂, per token
        self.disturbance_s: float = 0.0  # s₃, per prompt token: φ·p₁
        # What the paces are on average. What is learned is scaled by it, which leads it to 1.
        self.prefill_pace: float = 1.0
        self.decode_pace: float = 1.0
        self.first_tokens: PoolSamples = PoolSamples()
        self.steps: PoolSamples = PoolSamples()
        # Seconds that are usual. What is expected of a prompt found in the cache is next to
        # nothing, and no measure for what a sample may tell.
        self.typical_s: float = 0.0
        self.typical_step_s: float = 0.0

    def learn_first_token(self, ahead: int, uncached: int, prompt: int, seconds: float) -> None:
        """A first token came after this long."""
        self.typical_s += (seconds - self.typical_s) * (_MEAN_STEP if self.typical_s else 1.0)
        fit = self._prefill
        fit.add([1.0, (ahead + uncached) / 1e3, uncached * (prompt / 1e6)], seconds)
        self._read_prefill()

    def _read_prefill(self) -> None:
        fit = self._prefill
        self.base_s = max(fit.beta[0], 0.0)
        self.square_s = max(fit.beta[2], 0.0) / 1e6
        if fit.beta[1] > 0.0:
            self.token_s = fit.beta[1] / 1e3

    def learn_step(self, batch: float, kv_tokens: float, prefilled: float, seconds: float) -> None:
        """Tokens came this far apart, beside so many others; ``prefilled`` is per token."""
        typical_s = self.typical_step_s
        self.typical_step_s += (seconds - typical_s) * (_MEAN_STEP if typical_s else 1.0)
        fit = self._decode
        fit.add([1.0, batch / 10.0, kv_tokens / 1e5, prefilled / 1e3], seconds)
        self._read_decode()

    def _read_decode(self) -> None:
        fit = self._decode
        self.step_s = max(fit.beta[0], 0.0)
        if fit.samples >= _IDENTIFIED:
            self.batch_s = max(fit.beta[1], 0.0) / 10.0
            self.kv_s = max(fit.beta[2], 0.0) / 1e5
            # One prompt token delays a step by no more than its own computation.
            self.disturbance_s = min(max(fit.beta[3], 0.0) / 1e3, self.token_s)

    def learned(self) -> dict[str, object]:
        """For ``take_learned``; empty where nothing was seen."""
        if self._prefill.samples == 0 and self._decode.samples == 0:
            return {}
        return {
            "samples": self._prefill.samples,
            "prefill": self._prefill.sums(),
            "steps": self._decode.samples,
            "decode": self._decode.sums(),
            "typical_s": self.typical_s,
            "typical_step_s": self.typical_step_s,
            "prefill_pace": self.prefill_pace,
            "decode_pace": self.decode_pace,
        }

    def take_learned(self, state: dict[str, object]) -> None:
        """Know what another one had learned. Raises ValueError for another form, and then nothing
        changed."""
        typical_s, typical_step_s = number(state, "typical_s"), number(state, "typical_step_s")
        prefill_pace, decode_pace = number(state, "prefill_pace"), number(state, "decode_pace")
        samples, steps = whole(state, "samples"), whole(state, "steps")
        sums = tables(state, "prefill", _PREFILL_FEATURES + 1)
        of_steps = tables(state, "decode", _DECODE_FEATURES + 1)
        if [len(row) for row in of_steps] != [_DECODE_FEATURES] * (_DECODE_FEATURES + 1):
            raise ValueError("'decode' is of other features")
        if min(typical_s, typical_step_s) < 0.0 or min(prefill_pace, decode_pace) <= 0.0:
            raise ValueError("times and paces are above 0")
        self._prefill.restore(sums, samples)
        self._decode.restore(of_steps, steps)
        self.typical_s, self.typical_step_s = typical_s, typical_step_s
        self.prefill_pace, self.decode_pace = prefill_pace, decode_pace
        if samples:
            self._read_prefill()
        if steps:
            self._read_decode()

    def knows_prefill(self) -> bool:
        """Whether enough was seen for endpoints to be compared with it."""
        return self._prefill.samples >= _IDENTIFIED

    def knows_decode(self) -> bool:
        """Whether enough was seen for endpoints to be compared with it."""
        return self._decode.samples >= _IDENTIFIED

    def coefficients(self) -> dict[str, float]:
        """All of them by name, and ``samples``: of how many answers they are."""
        return {
            "base_s": self.base_s,
            "token_s": self.token_s,
            "square_s": self.square_s,
            "step_s": self.step_s,
            "batch_s": self.batch_s,
            "kv_s": self.kv_s,
            "disturbance_s": self.disturbance_s,
            "samples": float(self._prefill.samples),
        }

    def first_token_s(self, ahead: int, uncached: int, prompt: int) -> float:
        """The expected time to first token."""
        tokens = ahead + uncached
        return self.base_s + self.token_s * tokens + self.square_s * uncached * prompt

    def step_at_s(self, batch: float, kv_tokens: float, prefilled: float) -> float:
        """The expected time per token."""
        alone = self.step_s + self.batch_s * batch + self.kv_s * kv_tokens
        return alone + self.disturbance_s * prefilled


class Pace:
    """How many times as long as an average one an endpoint takes: a ratio of sums, forgetting.

    ``value`` is what is believed as of ``look``.
    """

    def __init__(self, pool: PoolSamples) -> None:
        self.value: float = 1.0
        self.known: bool = False  # by more than what it began with, of which some is left
        self._samples: int = 0
        self._learned: float = 1.0
        self._leans: bool = False
        self._evidence: Evidence = Evidence(pool)
        self._reference: Reference = Reference()
        self._seconds: float = 0.0
        self._expected: float = 0.0

    def look(self, now: float) -> None:
        """What was learned leans on the average where it was not renewed for long."""
        if not self._leans and self._evidence.is_fresh():
            return
        kept = self._evidence.kept(now)
        if kept < 1.0:
            self._leans = True
            self.value = self._evidence.lean(self._learned, 1.0, now)
            self.known = self._is_known(now)
        elif self._leans:
            self._leans = False
            self.value = self._learned

    def learn(self, seconds: float, expected: float, typical: float, now: float) -> float:
        """Something took this long, for what an average endpoint was expected to take; returns for
        how long it counts."""
        if expected <= 0.0:
            return seconds
        self.look(now)
        believed = self._reference.value(self.value, now)
        seconds = min(seconds, MOST * believed * max(expected, typical))
        if self._expected == 0.0:
            self._seconds = self._expected = _PACE_DOUBT * expected
        if self._leans:
            self._seconds = self.value * self._expected
        kept = self._evidence.add(now, _PACE_KEPT)
        self._seconds = kept * self._seconds + seconds
        self._expected = kept * self._expected + expected
        learned = self._seconds / self._expected
        self._learned = min(max(learned, 1.0 / _FARTHEST), _FARTHEST)
        self._leans = False
        self.value = self._learned
        self._samples += 1
        self.known = self._is_known(now)
        return seconds

    def _is_known(self, now: float) -> bool:
        return self._samples > _PACE_DOUBT and self._evidence.samples(now) > 1.0


class EngineModel:
    """One endpoint's: the fleet's at its own pace. Results are in seconds."""

    def __init__(self, fleet: FleetModel) -> None:
        self.fleet: FleetModel = fleet
        self.prefill_pace: Pace = Pace(fleet.first_tokens)
        self.decode_pace: Pace = Pace(fleet.steps)
        self.beside: float = 0.0  # prompt tokens computed while an answer gets one token
        self.overdue_s: float = 0.0  # it has owed a token for so much longer than it should

    def look(self, now: float) -> None:
        """What is believed of it now."""
        self.prefill_pace.look(now)
        self.decode_pace.look(now)

    def learn_first_token(
        self, ahead: int, uncached: int, prompt: int, seconds: float, now: float
    ) -> None:
        """A first token came after this long."""
        fleet = self.fleet
        pace = self.prefill_pace
        if fleet.knows_prefill():
            expected = fleet.first_token_s(ahead, uncached, prompt)
            seconds = pace.learn(seconds, expected, fleet.typical_s, now)
        fleet.prefill_pace += (pace.value - fleet.prefill_pace) * _MEAN_STEP
        average_s = seconds / pace.value * fleet.prefill_pace
        fleet.learn_first_token(ahead, uncached, prompt, average_s)

    def learn_step(
        self, batch: float, kv_tokens: float, prefilled: float, seconds: float, now: float
    ) -> None:
        """Tokens came this far apart, beside so many others; ``prefilled`` is per token."""
        fleet = self.fleet
        pace = self.decode_pace
        if fleet.knows_decode():
            expected = fleet.step_at_s(batch, kv_tokens, prefilled)
            seconds = pace.learn(seconds, expected, fleet.typical_step_s, now)
        fleet.decode_pace += (pace.value - fleet.decode_pace) * _MEAN_STEP
        average_s = seconds / pace.value * fleet.decode_pace
        fleet.learn_step(batch, kv_tokens, prefilled, average_s)
        self.beside += (prefilled - self.beside) * (1.0 - _BESIDE_KEPT)

    @property
    def token_s(self) -> float:
        """p₁: computing one prompt token."""
        return self.prefill_pace.value * self.fleet.token_s

    @property
    def step_s(self) -> float:
        """s₀: one token, alone."""
        return self.decode_pace.value * self.fleet.step_s

    @property
    def batch_s(self) -> float:
        """s₁: by which one more request in the batch delays each token."""
        return self.decode_pace.value * self.fleet.batch_s

    @property
    def disturbance_s(self) -> float:
        """s₃: by which one prompt token delays the answers under way."""
        return self.decode_pace.value * self.fleet.disturbance_s

    def queue_s(self, pending: int) -> float:
        """W: until the prompt tokens that wait are computed, and longer if it owes a token already:
        who has been late for a while is likely to be so for as long again."""
        return self.token_s * pending + self.overdue_s

    def prefill_s(self, uncached: int, prompt: int) -> float:
        """P: computing a prompt's uncached tokens, on an endpoint with nothing else to do."""
        return self.prefill_pace.value * self.fleet.first_token_s(0, uncached, prompt)

    def decode_s(self, batch: int, kv_tokens: float) -> float:
        """s: one token, with so many requests in the batch, and prompts beside it as of late."""
        return self.decode_pace.value * self.fleet.step_at_s(batch, kv_tokens, self.beside)
