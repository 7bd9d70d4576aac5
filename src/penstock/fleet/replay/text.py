"""Text from seeds: equal seeds give equal text, different ones share no block."""

from __future__ import annotations

import random
from functools import lru_cache

from penstock.fleet.replay.session import Text
from penstock.fleet.vocabulary import CHARS_PER_TOKEN, WORDS
from penstock.sim.trace import BLOCK_TOKENS as BLOCK_TOKENS  # of text, as of traces


def synthesise(text: Text) -> str:
    """The words of ``text``, ``tokens`` of them. Raises ValueError when seeds are missing."""
    missing = -(-text.tokens // BLOCK_TOKENS) - len(text.seeds)
    if missing > 0:
        raise ValueError(
            f"{text.tokens} tokens need {missing} more blocks than the {len(text.seeds)} given"
        )
    joined = "".join(_block(seed) for seed in text.seeds)
    return joined[: text.tokens * CHARS_PER_TOKEN]


# The blocks that traffic shares are few beside those it does not: 8,192 of 2 KiB hold the former.
@lru_cache(maxsize=8192)
def _block(seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=BLOCK_TOKENS)) + " "
