"""Line charts of reports, of curves over time and of distributions.

`static/report.js` draws them with uPlot when the page is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any, Final, Literal

import msgspec

# As many as are told apart by colour-blind readers too: Okabe and Ito (2008), in the page's style.
_COLOURS: Final = 8

Points = Sequence[tuple[float, float]]
# How values are written: `formats` of static/report.js.
Unit = Literal["number", "duration", "days", "percent", "nines", "rate"]


@dataclass(frozen=True)
class Curve:
    """A named line, by rising x; its points are marked where it has ``dots``, and ``marks`` are
    points without a line, as nothing lies between them. Points whose coordinates are not finite are
    left out, and of several at one x all but the last."""

    name: str
    points: Points
    dashed: bool = False
    dots: bool = False
    marks: bool = False
    colour: int = -1  # a number; by default that of its place among the curves


@dataclass(frozen=True)
class Axis:
    """What a direction shows. ``logarithmic`` axes leave out what is not above 0; they begin with
    the data, as do those that are not ``from_zero``. ``whole``: only whole numbers are labelled."""

    label: str
    unit: Unit = "number"
    logarithmic: bool = False
    from_zero: bool = True
    whole: bool = False


def chart(title: str, x: Axis, y: Axis, curves: Sequence[Curve]) -> str:
    """A figure with its curves and a legend; empty when there is nothing to draw."""
    shown = [_drawable(curve.points, x, y) for curve in curves]
    places = sorted({place for points in shown for place in points})
    if not places:
        return ""
    colours = [
        (number if curve.colour < 0 else curve.colour) % _COLOURS
        for number, curve in enumerate(curves)
    ]
    drawing = {
        "x": _axis(x),
        "y": _axis(y),
        "curves": [
            {"colour": colour, "dashed": curve.dashed, "dots": curve.dots, "marks": curve.marks}
            for curve, colour in zip(curves, colours, strict=True)
        ],
        "data": [places, *([points.get(place) for place in places] for points in shown)],
    }
    legend = "".join(
        f'<li class="c{colour}{" dashed" if curve.dashed else ""}">{escape(curve.name)} '
        "<output></output></li>"
        for curve, colour in zip(curves, colours, strict=True)
    )
    # "<" would let "</script>" in a text end the data.
    data = msgspec.json.encode(drawing).decode().replace("<", "\\u003c")
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<div class="drawing" role="img" aria-label="{escape(title)}"></div>'
        f'<ul class="legend">{legend}</ul>'
        f'<script type="application/json">{data}</script></figure>'
    )


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "label": axis.label,
        "unit": axis.unit,
        "logarithmic": axis.logarithmic,
        "from_zero": axis.from_zero,
        "whole": axis.whole,
    }


def _drawable(points: Points, x: Axis, y: Axis) -> dict[float, float]:
    """By x, to six digits: more are not seen, and would make up most of the page."""
    return {
        float(f"{px:.6g}"): float(f"{py:.6g}")
        for px, py in points
        if isfinite(px)
        and isfinite(py)
        and (px > 0 or not x.logarithmic)
        and (py > 0 or not y.logarithmic)
    }
