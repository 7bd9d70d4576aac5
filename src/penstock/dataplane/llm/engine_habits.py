"""What an engine's answers are like: which tell what was cached, and what its streams tell."""

from penstock.dataplane.llm.usage_habits import UsageHabits
from penstock.wire.resume.token_ids import FIELDS, NO_WAY


class IdHabits:
    """How it tells the ids of tokens, and in answers of which APIs it was seen to."""

    def __init__(self) -> None:
        self.way: int = FIELDS  # as of its report
        self._taken: set[int] = set()
        self._refused: set[int] = set()

    def asks(self, api: int) -> bool:
        """Whether it may be asked for them."""
        return self.way != NO_WAY and api not in self._refused

    def may_refuse(self, api: int) -> bool:
        """Whether it was never seen to take the wish."""
        return api not in self._taken

    def take(self, api: int) -> None:
        """It answered a request that asks for them."""
        self._taken.add(api)

    def refuse(self, api: int) -> bool:
        """It refused one, and answered the same without; whether that is new."""
        new = api not in self._refused
        self._refused.add(api)
        return new

    def forget(self) -> None:
        """Another engine may be there."""
        self._taken.clear()
        self._refused.clear()


class EngineHabits:
    """Those of one endpoint's engine, learnt from its answers; forgotten with the engine."""

    def __init__(self) -> None:
        self.usage: UsageHabits = UsageHabits()
        self.ids: IdHabits = IdHabits()
        self.never_hit: bool = False  # by its own counters, as of its report
        self._tells_hits: int = 0  # in answers of which APIs (1 << api) it told cached tokens
        self._tells_misses: int = 0  # and that none were

    def forget(self) -> None:
        """Another engine is there, or the same with other options."""
        self._tells_hits = self._tells_misses = 0
        self.never_hit = False
        self.usage.forget()
        self.ids.forget()

    def cached_tokens(self, api: int, told: int) -> int:
        """How many a whole answer of that API had, by what it told and by the engine's habits.

        -1 stands for nothing told. vLLM and SGLang leave out what would be 0 (vLLM's
        ``OpenAIServingChat``, SGLang's ``UsageProcessor``), so of an engine that tells hits, and
        was never seen to tell a miss, an answer that tells nothing was one.
        """
        bit = 1 << api
        if told > 0:
            self._tells_hits |= bit
        elif told == 0:
            self._tells_misses |= bit
        elif self._tells_hits & bit and not self._tells_misses & bit:
            return 0
        return told
