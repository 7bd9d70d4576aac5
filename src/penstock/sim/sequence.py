"""One request inside an engine: its tokens, how many are computed, the cache blocks it holds."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Sequence:
    """A prompt and the answer to it.

    Args:
        prompt_tokens: at least 1.
        output_tokens: how many it will emit, at least 1.
        blocks: a hash for every full block of prompt and answer together, each standing for all
            that precedes it as well. Blocks beyond those given are never found again.
    """

    def __init__(self, prompt_tokens: int, output_tokens: int, blocks: Seq[int] = ()) -> None:
        if prompt_tokens < 1 or output_tokens < 1:
            raise ValueError("a sequence needs a token of prompt and a token of answer")
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.blocks = blocks
        self.generated = 0
        self.computed = 0  # tokens whose keys and values are in the cache
        self.scheduled = 0  # tokens that the step under way computes
        self.held = 0  # leading blocks held under their hash
        self.anonymous = 0  # further blocks, not full or without a hash
        self.cached_tokens = 0  # of the prompt, found in the cache at the first admission
        self.preemptions = 0
        self.arrived_at = 0.0
        self.admitted_at = -1.0
        self.first_token_at = -1.0

    @property
    def missing(self) -> int:
        """Tokens still to compute before the next can be emitted."""
        return self.prompt_tokens + self.generated - self.computed

    @property
    def finished(self) -> bool:
        return self.generated >= self.output_tokens
