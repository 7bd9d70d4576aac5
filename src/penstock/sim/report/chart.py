"""Line charts as inline SVG: enough for curves over time and curves of distributions.

A plotting library would be the heaviest dependency of all for the three charts of one page.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

_NEARLY = 1e-9  # of a step: what is missing of 0.3 / 0.1
_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 40
# Okabe and Ito (2008): told apart by colour-blind readers too.
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
    "#8c6d31",
)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A named line; its points are marked where it has ``dots``, and ``marks`` are points without a
    line, as nothing lies between them. Points whose coordinates are not finite are left out."""

    name: str
    points: Points
    dashed: bool = False
    dots: bool = False
    marks: bool = False
    colour: int = -1  # a number; by default that of its place among the curves


@dataclass(frozen=True)
class Axis:
    """What a direction shows. ``logarithmic`` axes leave out what is not above 0; they begin with
    the data, as do those that are not ``from_zero``."""

    label: str
    text: Callable[[float], str]
    logarithmic: bool = False
    from_zero: bool = True


def chart(title: str, x: Axis, y: Axis, curves: Sequence[Curve]) -> str:
    """A figure with its curves and a legend; empty when there is nothing to draw."""
    shown = [(curve, _drawable(curve.points, x, y)) for curve in curves]
    everything = [point for _, points in shown for point in points]
    if not everything:
        return ""
    across = _Scale(x, [p[0] for p in everything], _LEFT, _WIDTH - _RIGHT)
    up = _Scale(y, [p[1] for p in everything], _HEIGHT - _BOTTOM, _TOP, to_a_tick=True)
    colours = [_colour(curve, place) for place, (curve, _) in enumerate(shown)]
    lines = "".join(
        ("" if curve.marks else _polyline(curve, points, across, up, colour))
        + (_marks(curve, points, across, up, colour) if curve.marks or curve.dots else "")
        for (curve, points), colour in zip(shown, colours, strict=True)
    )
    legend = "".join(
        f'<span><b style="color:{colour}">{"┅" if curve.dashed else "■"}</b> '
        f"{escape(curve.name)}</span> "
        for (curve, _), colour in zip(shown, colours, strict=True)
    )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(_grid(across, up))}{lines}"
        f'<text x="{(_LEFT + _WIDTH) // 2}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x.label)}</text></svg><div class=legend>{legend}</div></figure>"
    )


class _Scale:
    """From values to places along one direction."""

    def __init__(
        self,
        axis: Axis,
        values: list[float],
        start: float,
        end: float,
        *,
        to_a_tick: bool = False,
    ) -> None:
        """``to_a_tick``: it ends with a labelled value, not with the greatest one."""
        self.axis = axis
        self._start, self._end = start, end
        low, high = min(values), max(values)
        if axis.logarithmic:
            self._low, self._high = log10(low), log10(high)
        else:
            self._low, self._high = min(0.0, low) if axis.from_zero else low, high
        if self._high <= self._low:
            self._high = self._low + 1.0
        if to_a_tick and not axis.logarithmic:
            step = _step(self._low, self._high)
            self._high = ceil(self._high / step - _NEARLY) * step

    def place(self, value: float) -> float:
        known = log10(value) if self.axis.logarithmic else value
        share = (known - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Round values across the range."""
        if self.axis.logarithmic:
            decades = [10.0**e for e in range(ceil(self._low), floor(self._high) + 1)]
            if len(decades) >= 2:
                return decades
            low, high = 10.0**self._low, 10.0**self._high
            return [v for v in _round_values(low, high) if v > 0]
        return _round_values(self._low, self._high)


def _round_values(low: float, high: float) -> list[float]:
    step = _step(low, high)
    last = floor(high / step + _NEARLY)
    return [i * step for i in range(ceil(low / step - _NEARLY), last + 1)]


def _step(low: float, high: float) -> float:
    """Between two labelled values: five or so."""
    rough = (high - low) / 5
    magnitude = 10.0 ** floor(log10(rough))
    return next(m * magnitude for m in (1.0, 2.0, 5.0, 10.0) if m * magnitude >= rough)


def _drawable(points: Points, x: Axis, y: Axis) -> list[tuple[float, float]]:
    return [
        (px, py)
        for px, py in points
        if isfinite(px)
        and isfinite(py)
        and (px > 0 or not x.logarithmic)
        and (py > 0 or not y.logarithmic)
    ]


def _polyline(
    curve: Curve, points: list[tuple[float, float]], across: _Scale, up: _Scale, colour: str
) -> str:
    path = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in points)
    dash = ' stroke-dasharray="6 4"' if curve.dashed else ""
    return (
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.8"{dash} points="{path}">'
        f"<title>{escape(curve.name)}</title></polyline>"
    )


def _marks(
    curve: Curve, points: list[tuple[float, float]], across: _Scale, up: _Scale, colour: str
) -> str:
    title = escape(curve.name)
    return "".join(
        f'<circle cx="{across.place(x):.1f}" cy="{up.place(y):.1f}" r="3.5" fill="{colour}" '
        f'fill-opacity="0.75"><title>{title}, {escape(up.axis.text(y))}</title></circle>'
        for x, y in points
    )


def _colour(curve: Curve, place: int) -> str:
    return _COLOURS[(place if curve.colour < 0 else curve.colour) % len(_COLOURS)]


def _grid(across: _Scale, up: _Scale) -> Iterator[str]:
    for value in up.ticks():
        y = up.place(value)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class=grid />'
        text = escape(up.axis.text(value))
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    for value in across.ticks():
        x = across.place(value)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" class=grid />'
        text = escape(across.axis.text(value))
        yield f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{text}</text>'
