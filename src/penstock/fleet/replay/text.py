"""Text from seeds: equal seeds give equal text, different ones share no block.

Every word has three letters and is, with the space before it, one token in the vocabularies of
the common models (checked by nothing here: a real engine's own count is what the report shows).
"""

from __future__ import annotations

import random
from functools import lru_cache

from penstock.fleet.replay.session import Text

BLOCK_TOKENS = 512  # the block of Mooncake's published traces
CHARS_PER_TOKEN = 4

_VOCABULARY = """
the and for are but not you all any can had her was one our out day get has him his how man new now
old see two way who did its let put say she too use end off set far own run try why yes ask big car
cut eat few got hot job key law lot low map men met oil pay red sea sit six son ten top war win add
age ago air art bad bed bit box bus buy
"""
_WORDS = tuple(_VOCABULARY.split())


def synthesise(text: Text) -> str:
    """The words of ``text``: ``tokens`` times four characters."""
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
    return " ".join(random.Random(seed).choices(_WORDS, k=BLOCK_TOKENS)) + " "
