"""The last hour of each pool, in rings of a fixed size."""

from array import array
from collections import deque
from typing import Any, Final

from penstock.admin.dashboard.document import Section

STEP_S: Final = 5.0
_POINTS: Final = 720  # an hour
_MOST_POOLS: Final = 64  # of 25 KB each
SERIES: Final = (
    "rate",
    "errors",
    "in_flight",
    "p50",
    "p99",
    "ttft_p50",
    "ttft_p99",
    "output_tokens",
)
_NOTHING: Final = float("nan")


class History:
    """A point every five seconds, whether a page is open or not."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=_POINTS)
        self._rings: dict[str, dict[str, array[float]]] = {}

    def note(self, at: float, pools: Section) -> None:
        """A point of each pool. ``at`` is Unix time."""
        kept = list(pools)[:_MOST_POOLS]
        for name in self._rings.keys() - set(kept):
            del self._rings[name]
        for name in kept:
            rings = self._rings.get(name)
            if rings is None:
                before = array("f", [_NOTHING]) * len(self._at)
                rings = self._rings[name] = {series: array("f", before) for series in SERIES}
            for series, ring in rings.items():
                value = pools[name][series]
                ring.append(_NOTHING if value is None else value)
                del ring[:-_POINTS]
        self._at.append(round(at, 1))

    def document(self) -> dict[str, Any]:
        """As the page takes it; null where nothing was measured."""
        return {
            "step_s": STEP_S,
            "at": list(self._at),
            "pools": {
                pool: {series: [_shown(value) for value in ring] for series, ring in rings.items()}
                for pool, rings in self._rings.items()
            },
        }


def _shown(value: float) -> float | None:
    return None if value != value else float(f"{value:.3g}")
