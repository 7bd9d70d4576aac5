"""A load beside what was expected of it, with the band that should have four fifths of it."""

from collections.abc import Sequence

from penstock.sim.report.chart import Axis, Curve, chart


def forecast_chart(title: str, time: Axis, steps: Sequence[Sequence[float]]) -> str:
    """Each step: when, the load, and the mean, p10 and p90 of the forecast. Empty without steps."""
    names = (("load", False, 6), ("forecast", False, 0), ("p10", True, 1), ("p90", True, 1))
    return chart(
        title,
        time,
        Axis(""),
        [
            Curve(name, [(step[0], step[place]) for step in steps], dashed, colour=colour)
            for place, (name, dashed, colour) in enumerate(names, start=1)
        ],
    )
