"""Durations as people read them."""

from __future__ import annotations

_SEVERAL_MINUTES_S = 120.0


def spell_duration(seconds: float | None) -> str:
    """Three digits at most and the unit that fits: ``0.42 ms``, ``341 ms``, ``3.41 s``, ``5 min``.

    "–" where there is none.
    """
    if seconds is None:
        return "–"
    size = abs(seconds)
    if size < 0.9995:
        return f"{_digits(seconds * 1e3)} ms"
    if size < _SEVERAL_MINUTES_S:
        return f"{_digits(seconds)} s"
    return f"{seconds / 60:.0f} min"


def _digits(value: float) -> str:
    size = abs(value)
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2}f}"
