"""What streams of an endpoint are like that nobody asked for usage, and whether it may be asked."""

from typing import Final

from penstock.wire.usage_habit import LEARNT, TELLS_USAGE

# A server may be started with other options behind the same address, and nothing else tells.
_BELIEVED_S: Final = 3600.0


class UsageHabits:
    """In one worker. By API, as servers differ between them."""

    def __init__(self) -> None:
        self._habits: dict[int, int] = {}
        self._until: dict[int, float] = {}
        self._taken: set[int] = set()
        self._refused: set[int] = set()

    def of(self, api: int, now: float) -> int:
        """The habit (see ``wire.usage_habit``), or 0: the next stream is to show it."""
        habit = self._habits.get(api, 0)
        return habit if habit and now < self._until[api] else 0

    def asks(self, api: int, now: float) -> bool:
        """Whether usage is to be asked for: it is known not to come by itself."""
        habit = self.of(api, now)
        return habit & LEARNT != 0 and habit & TELLS_USAGE == 0 and api not in self._refused

    def learn(self, api: int, habit: int, now: float) -> None:
        """A stream that nobody asked for usage showed this; 0: it was cut short."""
        if habit:
            self._habits[api] = habit
            self._until[api] = now + _BELIEVED_S

    def missed(self, api: int) -> None:
        """A whole stream told no usage though that was its habit."""
        if self._habits.get(api, 0) & TELLS_USAGE:
            del self._habits[api]

    def take(self, api: int) -> None:
        """It answered a request that asks for usage."""
        self._taken.add(api)

    def may_refuse(self, api: int) -> bool:
        """Whether it was never seen to take one."""
        return api not in self._taken

    def refuse(self, api: int) -> bool:
        """It refused one, and answered the same without; whether that is new."""
        new = api not in self._refused
        self._refused.add(api)
        return new

    def forget(self) -> None:
        """Another server may be there."""
        self._habits.clear()
        self._taken.clear()
        self._refused.clear()
