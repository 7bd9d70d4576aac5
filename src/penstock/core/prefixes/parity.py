"""Whether prefixes are cached where they are believed to be: predictions against what engines say.

Token counts of answers whose engine told what it found cached are summed until they are enough to
judge. Where far less was found than predicted, hits predicted for that endpoint are distrusted:
they count by the share that came true, until they match again. More found than predicted does no
harm: others share that endpoint's cache.

A distrusted endpoint gets fewer of the prompts that could clear it, or none. So distrust fades
while there is nothing to judge, and the next prompts decide.
"""

from typing import Final

# Prompt tokens per judgement: a dozen prompts of usual length, so that one of them decides nothing.
ENOUGH_TOKENS: Final = 20_000
# Of prompt tokens, predicted and not found. Assumptions, apart so that verdicts do not flutter:
# estimates of tokens and the ends of blocks explain a few hundredths.
PARTED: Final = 0.2
AGREED: Final = 0.1
# Without a judgement: a minute later a quarter is left. An assumption; a wrong guess costs one
# prompt that is computed anew.
HALVES_IN_S: Final = 30.0
_FORGOTTEN: Final = 0.05


class PrefixParity:
    """Of one endpoint. ``hit_distrust`` is the share of predicted tokens that is not believed."""

    def __init__(self) -> None:
        self.hit_distrust: float = 0.0
        self.predicted: float = 0.0  # share of the prompt tokens judged last
        self.cached: float = 0.0
        self._prompt: int = 0
        self._predicted: int = 0
        self._cached: int = 0
        self._verdict: float = 0.0  # ``hit_distrust`` as of the last judgement
        self._judged_at: float = 0.0

    def observe(self, prompt: int, predicted: int, cached: int, now: float) -> bool:
        """Running totals of tokens; returns whether ``hit_distrust`` changed.

        Totals that went down begin anew: the endpoint is another one.
        """
        if prompt < self._prompt:
            self._prompt = self._predicted = self._cached = 0
        judged = prompt - self._prompt
        if judged < ENOUGH_TOKENS:
            return self._fade(now)
        self.predicted = (predicted - self._predicted) / judged
        self.cached = (cached - self._cached) / judged
        self._prompt, self._predicted, self._cached = prompt, predicted, cached
        missing = self.predicted - self.cached
        before = self.hit_distrust
        if missing > PARTED or (missing > AGREED and before > 0.0):
            self.hit_distrust = min(missing / self.predicted, 1.0)
        else:
            self.hit_distrust = 0.0
        self._verdict = self.hit_distrust
        self._judged_at = now
        return self.hit_distrust != before

    def _fade(self, now: float) -> bool:
        if self.hit_distrust == 0.0:
            return False
        before = self.hit_distrust
        halvings = int((now - self._judged_at) / HALVES_IN_S)
        faded = self._verdict * 0.5**halvings
        self.hit_distrust = faded if faded >= _FORGOTTEN else 0.0
        return self.hit_distrust != before
