"""Bounds by the hour: which of a pool's windows hold at a time."""

from typing import Final

from penstock.core.snapshot.scale import Scale, ScaleWindow

_DAY_S: Final = 86400.0
_FIRST_DAY: Final = 3  # 1 January 1970 was a Thursday; Monday is 0


def bounds_at(rules: Scale, local_s: float) -> tuple[int, int]:
    """The fewest and the most endpoints at a local time in seconds since 1970.

    Of windows that hold at once the largest ``min`` and the smallest ``max`` do.
    """
    fewest = rules.min
    most = rules.max
    for window in rules.windows:
        if _holds(window, local_s):
            fewest = max(fewest, window.min)
            if window.max:
                most = min(most, window.max)
    return min(fewest, most), most


def _holds(window: ScaleWindow, local_s: float) -> bool:
    day = int(local_s // _DAY_S)
    second = local_s - day * _DAY_S
    weekday = (day + _FIRST_DAY) % 7
    if window.from_s <= window.to_s:
        return weekday in window.days and window.from_s <= second < window.to_s
    if second >= window.from_s:
        return weekday in window.days
    return second < window.to_s and (weekday - 1) % 7 in window.days  # it began the day before
