"""Which requests are traced in one worker, and what is told of them to the supervisor.

It makes spans of them and sends these: a worker says once what became of a request.
"""

from random import Random
from typing import Final

from penstock.core import snapshot

_WENT_WELL: Final = ("done", "fixed", "refused", "client_gone", "bad_request")
_SERVER_ERROR: Final = 500
# Between two sweeps, four of which there are in a second.
_MOST_WAITING: Final = 500


class Tracer:
    """What the configuration says of traces, and requests that are yet to be told."""

    def __init__(self, spec: snapshot.Traces) -> None:
        self.spec: snapshot.Traces = spec
        self._sample: float = spec.sample
        self._errors: bool = spec.errors
        self._slow_s: float = spec.slower_than_s
        self._waiting: list[dict[str, object]] = []
        self._dropped: int = 0
        # Ids are nobody's secret, and of a stream of their own: picks draw as without traces.
        self._chance: Random = Random()

    def samples(self) -> bool:
        """Whether the next request is traced, whatever becomes of it."""
        return self._chance.random() < self._sample

    def wants(self, status: int, ended: str, took_s: float) -> bool:
        """Whether one that was not sampled is traced, now that it is over."""
        if self._errors and (status >= _SERVER_ERROR or ended not in _WENT_WELL):
            return True
        return self._slow_s > 0.0 and took_s >= self._slow_s

    def has_room(self) -> bool:
        """Whether one more may be told; else it is counted as dropped."""
        if len(self._waiting) < _MOST_WAITING:
            return True
        self._dropped += 1
        return False

    def tell(self, request: dict[str, object]) -> None:
        """What became of one, for ``control/traces/spans.py``."""
        self._waiting.append(request)

    def new_trace_id(self) -> bytes:
        return b"%032x" % (self._chance.getrandbits(128) or 1)

    def new_span_id(self) -> bytes:
        return b"%016x" % (self._chance.getrandbits(64) or 1)

    def take(self) -> tuple[list[dict[str, object]], int]:
        """What waits, and how many were dropped since."""
        taken = self._waiting, self._dropped
        self._waiting = []
        self._dropped = 0
        return taken
