"""How slowly a client may send the body of a request.

A body holds a place at an endpoint while it comes, so that a byte now and then would hold it for
ever. A client has some seconds of patience; waiting for it takes from them, and what it sends gives
back as many as it may take for that, up to all of them. So over any longer time it sends at the
least rate or above, whatever it sent before. Source: Apache, mod_reqtimeout, MinRate (without that
bound: there a quick beginning pays for a slow rest).
"""


class BodyPace:
    """Of one client's connection; times are seconds, ``rate`` is bytes a second."""

    def __init__(self, patience_s: float, rate: int) -> None:
        self._patience_s: float = patience_s
        self._rate: float = float(rate)
        self._left_s: float = patience_s
        self._awaited_at: float = 0.0  # 0.0: it is not the client's turn

    def begin(self) -> None:
        """Another body."""
        self._left_s = self._patience_s
        self._awaited_at = 0.0

    def wait(self, now: float) -> float:
        """It is the client's turn, until the time returned."""
        if self._awaited_at == 0.0:
            self._awaited_at = now
        return self._awaited_at + self._left_s

    def stop(self, now: float) -> None:
        """It is the endpoint's turn."""
        if self._awaited_at > 0.0:
            self._left_s -= now - self._awaited_at
            self._awaited_at = 0.0

    def came(self, size: int, now: float) -> None:
        """So many bytes came."""
        self.stop(now)
        self._left_s = min(max(self._left_s, 0.0) + size / self._rate, self._patience_s)
