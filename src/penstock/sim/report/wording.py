"""Numbers as people read them."""

from math import isnan

from penstock.sim.outcome import METRICS
from penstock.sim.statistics import Interval

_UNITS = {metric.name: metric.unit for metric in METRICS}
_LETTERS = ((1e-6, "µs", 1e6), (1e-3, "ms", 1e3), (1.0, "s", 1.0))


def duration(seconds: float) -> str:
    """Three significant digits and a unit."""
    if isnan(seconds):
        return "–"
    if seconds == 0.0:
        return "0 s"
    for least, unit, factor in reversed(_LETTERS):
        if seconds >= least * 0.9995 or unit == "µs":
            return f"{three_digits(seconds * factor)} {unit}"
    return f"{seconds} s"


def three_digits(value: float) -> str:
    """Rounded to three significant digits, without an exponent."""
    if isnan(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def measure(metric: str, value: float) -> str:
    """A value of a metric in its unit."""
    unit = _UNITS[metric]
    if isnan(value):
        return "–"
    if unit == "s":
        return duration(value)
    if unit == "share":
        return f"{value:.2%}"
    return three_digits(value) + unit


def with_interval(metric: str, measured: Interval) -> str:
    """A value and the half-width of its interval."""
    text = measure(metric, measured.mean)
    if isnan(measured.half_width):
        return text
    if measured.mean and _UNITS[metric] != "share":
        return f"{text} ±{measured.precision:.1%}"
    return share(measured)


def share(measured: Interval) -> str:
    """A share and the half-width of its interval, in percentage points."""
    text = f"{measured.mean:.2%}"
    return text if isnan(measured.half_width) else f"{text} ±{measured.half_width:.2%}"
