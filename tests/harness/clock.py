"""A clock that stands still until a test moves it, whichever process reads it."""

from time import monotonic

from tests.harness.forked import forking


class HeldClock:
    """In place of ``time.monotonic``, for a process that is given it when it is started."""

    def __init__(self) -> None:
        self._held_at = forking.RawValue("d", monotonic())  # 0.0: it runs
        self._ahead_s = forking.RawValue("d", 0.0)  # of the system's, once it runs

    def __call__(self) -> float:
        held_at: float = self._held_at.value
        if held_at:
            return held_at
        ahead_s: float = self._ahead_s.value
        return monotonic() + ahead_s

    def move(self, seconds: float) -> None:
        """So much time passes at once."""
        if self._held_at.value:
            self._held_at.value += seconds

    def let_go(self) -> None:
        """It runs on by itself from where it stands."""
        if self._held_at.value:
            self._ahead_s.value = self._held_at.value - monotonic()
            self._held_at.value = 0.0
