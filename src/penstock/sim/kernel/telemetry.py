"""What a server knows of its own load, and tells: to probes, with responses, on scrapes."""

from math import exp
from typing import Final

from penstock.core.measure.load_report import LoadReport

_REMEMBERED: Final = 16  # latencies for each number in flight
_NEAR: Final = 8  # how far from the present number is looked before all are searched
_WINDOW_S: Final = 1.0  # over which rate, utilisation and service time fade


class Telemetry:
    """Kept by the server at each arrival and each end.

    Latency is told as Prequal's servers do: the median of recent ones that met about as many
    requests in flight as are present (Wydrowski et al., NSDI 2024, 4.2).
    """

    def __init__(self) -> None:
        self._by_load: dict[int, list[float]] = {}
        self._ended: float = 0.0  # fading sums
        self._served_s: float = 0.0
        self._worked_s: float = 0.0
        self._busy_s: float = 0.0
        self._at: float = 0.0
        self._since: float = 0.0

    def on_end(self, met: int, latency_s: float, service_s: float, now: float) -> None:
        """A request that met ``met`` others was answered after ``latency_s``, of which it would
        have needed ``service_s`` alone."""
        seen = self._by_load.get(met)
        if seen is None:
            seen = []
            self._by_load[met] = seen
        seen.append(latency_s)
        if len(seen) > _REMEMBERED:
            seen.pop(0)
        self._fade(now)
        self._ended += 1.0
        self._served_s += service_s

    def on_busy(self, busy_s: float, now: float) -> None:
        """By now the slots have worked ``busy_s``, together and in all."""
        self._fade(now)
        self._worked_s += busy_s - self._busy_s
        self._busy_s = busy_s

    def report(self, present: int, waiting: int, slots: float, now: float) -> LoadReport:
        """The state at ``now``."""
        self._fade(now)
        # The fading sums reach their steady value as 1 - e^(-age/window).
        seen_s = _WINDOW_S * (1.0 - exp(-(now - self._since) / _WINDOW_S))
        known = seen_s > 0.0
        return LoadReport(
            now,
            in_flight=float(present),
            queued=float(waiting),
            latency_s=self.latency_s(present),
            service_s=self._served_s / self._ended if self._ended > 0.0 else -1.0,
            utilisation=self._worked_s / seen_s / slots if known else -1.0,
            rate=self._ended / seen_s if known else -1.0,
        )

    def latency_s(self, present: int) -> float:
        """The median of recent latencies at the number nearest to ``present``; -1 without any."""
        for distance in range(_NEAR + 1):
            found = self._by_load.get(present - distance) or self._by_load.get(present + distance)
            if found:
                return _median(found)
        if not self._by_load:
            return -1.0
        return _median(self._by_load[min(self._by_load, key=lambda met: abs(met - present))])

    def _fade(self, now: float) -> None:
        kept = exp(-(now - self._at) / _WINDOW_S)
        self._ended *= kept
        self._served_s *= kept
        self._worked_s *= kept
        self._at = now


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
