"""Measure rules that scale, and write docs/scaling.md's tables."""

import os
from pathlib import Path
from typing import Final

import click

from benchmarks.scaling.curves import ENTRIES, Point, broken_at, ours, points
from benchmarks.scaling.days import DAY_S, KINDS, WEEK_S, Load, generated, measured
from penstock.sim.scaling.planned import WITHOUT

REPORTED: Final = (101, 102, 103)  # seeds on which nothing was tuned


@click.command()
@click.option("--only", default="", help="Kinds of days, as in seasons,outages. Default: all.")
@click.option("--seeds", default=",".join(map(str, REPORTED)), show_default=True)
@click.option("--days", default=7.0, show_default=True, help="Measured, after two weeks seen.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV of timestamp,value: its second half is measured, its peak made that of the others.",
)
@click.option("--forecast", "forecasts", multiple=True, help="Default: seasonal-naive and none.")
@click.option("--quantile", default=0.75, show_default=True, help="Of the forecast.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
def main(
    only: str,
    seeds: str,
    days: float,
    shapes: tuple[Path, ...],
    forecasts: tuple[str, ...],
    quantile: float,
    processes: int,
) -> None:
    """Compare rules on generated days, and on shapes that were measured.

    \b
    Example: python -m benchmarks.scaling --only seasons --seeds 101 --days 2
    """
    entries = [
        *ENTRIES,
        *(ours(each, quantile) for each in forecasts or ("seasonal-naive", WITHOUT)),
    ]
    for kind in [each for each in KINDS if not only or each in only.split(",")]:
        weeks = 2 + int(-(-days // 7))
        loads = [generated(kind, int(seed), weeks) for seed in seeds.split(",")]
        found = points(
            loads, entries, begin_s=2 * WEEK_S, length_s=days * DAY_S, processes=processes
        )
        show(kind, found)
    for path in shapes:
        load = measured(path)
        begin_s, length_s = _second_half(load, days)
        found = points([load], entries, begin_s=begin_s, length_s=length_s, processes=processes)
        show(path.stem, found)


def _second_half(load: Load, days: float) -> tuple[float, float]:
    begin_s = load.length_s // 2 // DAY_S * DAY_S
    return begin_s, min(load.length_s - begin_s, days * DAY_S)


def show(title: str, found: list[Point]) -> None:
    """As a table in Markdown: each rule's curve, and the others' at its cost."""
    oracle = found[0]
    click.echo(f"\n### {title}\n\nThe oracle: {oracle.endpoint_hours:,.0f} endpoint-hours.\n")
    click.echo("| rule | target | endpoint-hours | of the oracle's | broken minutes | turns |")
    click.echo("|---|---|---|---|---|---|")
    for point in found:
        share = point.endpoint_hours / oracle.endpoint_hours
        click.echo(
            f"| {point.rule} | {point.target:g} | {point.endpoint_hours:,.0f} | {share:.2f} |"
            f" {point.broken_minutes:,.1f} | {point.turns} ({point.hasty_turns} hasty) |"
        )
    names = list(dict.fromkeys(point.rule for point in found))
    ours_names = [name for name in names if name.startswith("penstock")]
    others = [name for name in names if name not in ours_names and name != oracle.rule]
    curves = {name: [each for each in found if each.rule == name] for name in names}
    for name in ours_names:
        for point in curves[name]:
            at = {other: broken_at(curves[other], point.endpoint_hours) for other in others}
            best = min(at, key=lambda other: at[other])
            click.echo(
                f"\n{name} at {point.target:g}: {point.broken_minutes:,.1f} broken minutes; "
                f"the best other rule at as many endpoint-hours, {best}: {at[best]:,.1f}."
            )


if __name__ == "__main__":
    main()
