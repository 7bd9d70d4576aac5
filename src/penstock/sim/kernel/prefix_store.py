"""A store of prefixes that engines share, filled with all that they compute."""


class PrefixStore:
    """Unbounded; a prefix comes over at ``tokens_per_s``. Source: Mooncake (FAST 2025), 4."""

    def __init__(self, tokens_per_s: float) -> None:
        if not tokens_per_s > 0.0:
            raise ValueError(f"a store needs tokens_per_s above 0, not {tokens_per_s!r}")
        self.tokens_per_s: float = tokens_per_s
        self._blocks: dict[int, bool] = {}

    def add(self, blocks: list[int]) -> None:
        """A prompt of these blocks was computed."""
        for block in blocks:
            self._blocks[block] = True

    def match(self, blocks: list[int]) -> int:
        """How many of the leading ``blocks`` are here."""
        known = 0
        for block in blocks:
            if block not in self._blocks:
                break
            known += 1
        return known
