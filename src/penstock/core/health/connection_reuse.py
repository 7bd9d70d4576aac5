"""Which idle connection may take a request that cannot be sent twice.

A server may close a connection at any time, and its FIN may be under way while a request goes out
on that connection (RFC 9112, 9.3.1). A request that may be repeated is then sent again; another is
lost. Two habits of servers make this race frequent:

- Some close right after an answer without saying so in it. llama.cpp does after every streamed
  answer, 0.02 to 0.07 ms after the last chunk when idle and later when busy, and announces
  ``Keep-Alive`` nevertheless. A connection therefore rests before it takes such a request, until
  its endpoint has been seen to keep connections, by kind of answer.
- All close what is idle for long (uvicorn after 5 s, gunicorn after 2 s), mostly unannounced. The
  shortest life seen bounds how long a connection may have been idle.

Requests that may be repeated are not held to any of this, and what becomes of them is evidence too.
"""

from typing import Final

# An end within this long after an answer was caused by the answer, not by an idle timeout.
EARLY_S: Final = 1.0
# How long a connection rests while nothing is known; far above what an idle server needs to close.
UNKNOWN_REST_S: Final = 0.02
_NEEDED: Final = 4  # reused connections in a row that were answered, before rest is not needed
_NEEDED_AGAIN: Final = 32  # the same after a connection ended early
_SAFE_SHARE: Final = 0.75  # of the shortest idle life seen
# Of that life, at most, with every end seen: a restart ends all, young and old.
_GROWTH: Final = 1.5


class ReuseHistory:
    """What one endpoint does with connections that have become idle.

    ``streamed`` everywhere: the answer before came without a length.
    """

    def __init__(self) -> None:
        # Below zero: so many proofs are missing.
        self.after_streamed: int = -_NEEDED
        self.after_sized: int = -_NEEDED
        self.life_s: float = 0.0  # the shortest time after which an idle one ended; 0.0: not known
        self._ended_early: bool = False

    def answered(self, streamed: bool) -> None:
        """A connection was used again and answered."""
        if streamed:
            if self.after_streamed < 0:
                self.after_streamed += 1
        elif self.after_sized < 0:
            self.after_sized += 1

    def ended(self, streamed: bool, idle_s: float) -> None:
        """The endpoint closed a connection that had been idle for so long."""
        if idle_s >= EARLY_S:
            life_s = self.life_s
            self.life_s = min(idle_s, life_s * _GROWTH) if life_s > 0.0 else idle_s
        elif streamed:
            self.after_streamed = -_NEEDED_AGAIN
            self._ended_early = True
        else:
            self.after_sized = -_NEEDED_AGAIN
            self._ended_early = True

    def outlived(self, idle_s: float) -> None:
        """A connection was still open after it had been idle for so long."""
        if idle_s > self.life_s:
            self.life_s = 0.0

    def rest_s(self, streamed: bool) -> float:
        """How long a connection must have been idle."""
        if (self.after_streamed if streamed else self.after_sized) >= 0:
            return 0.0
        return EARLY_S if self._ended_early else UNKNOWN_REST_S

    def is_too_old(self, idle_s: float) -> bool:
        """Whether the endpoint may be about to close a connection that was idle for so long."""
        return self.life_s > 0.0 and idle_s > self.life_s * _SAFE_SHARE
