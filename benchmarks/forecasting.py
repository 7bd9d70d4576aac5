"""Methods of forecasting beside each other: ``python -m benchmarks.forecasting --write-docs``
writes the tables of docs/forecasting.md.

Days are generated, with parameters that were fixed before any method was tuned and seeds on which
nothing was tuned. Measured series can be given as CSV files of timestamp and value.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from math import cos, exp, log, pi
from pathlib import Path
from random import Random
from typing import Final

import click

from benchmarks.marked import replace
from penstock._form import form
from penstock.sim.forecasting.judgement import Judgement, Terms, judge
from penstock.sim.forecasting.series import Series, read_series, steps_of
from penstock.sim.report.forecasts import MEASURES, cells_of, duration_of

FILE: Final = Path("docs") / "forecasting.md"
STEP_S: Final = 60.0
DAY: Final = 1440  # steps
WEEKS: Final = 3
SEED: Final = 2026
SEASONS_S: Final = (86_400.0, 604_800.0)
_PEAK: Final = 600.0  # requests in a step, on an ordinary day
_NIGHT: Final = 0.2  # of the peak
_WEEKEND: Final = 0.6
_LEAD: Final = 5


def seasons(dice: Random) -> Iterator[float]:
    """Days and weeks, and a level that wanders a little."""
    level = 1.0
    for step in range(WEEKS * 7 * DAY):
        level = exp(0.999 * log(level) + dice.gauss(0.0, 0.004))
        yield level * _of_the_day(step)


def growth(dice: Random) -> Iterator[float]:
    """The same, twice as high after three weeks."""
    for step, mean in enumerate(seasons(dice)):
        yield mean * 2.0 ** (step / (WEEKS * 7 * DAY))


def flash_crowds(dice: Random) -> Iterator[float]:
    """The same, and about once a day a crowd that comes within minutes and leaves in an hour."""
    crowd = 0.0
    rising = 0
    for mean in seasons(dice):
        if dice.random() < 1.0 / DAY:
            rising = 4
        if rising:
            rising -= 1
            crowd += _PEAK / 4.0
        else:
            crowd *= exp(-1.0 / 20.0)
        yield mean + crowd


def outages(dice: Random) -> Iterator[float]:
    """The same, and every other day half an hour in which nothing comes."""
    gone = 0
    for mean in seasons(dice):
        if dice.random() < 0.5 / DAY:
            gone = 30
        gone = max(gone - 1, 0)
        yield 0.0 if gone else mean


def quiet(dice: Random) -> Iterator[float]:
    """Four requests an hour at night, fifty by day."""
    for mean in seasons(dice):
        yield mean / 600.0


KINDS: Final = {
    "seasons": seasons,
    "growth": growth,
    "flash crowds": flash_crowds,
    "outages": outages,
    "quiet": quiet,
}


def generated(kind: str, seed: int) -> Series:
    """Counts of so many weeks of minutes."""
    dice = Random(f"{kind}/{seed}")
    return Series(kind, STEP_S, [_count(dice, mean) for mean in KINDS[kind](dice)])


@click.command()
@click.option("--only", default="", help="Kinds of days, as in: seasons,quiet. Default: all.")
@click.option("--seed", default=SEED, show_default=True)
@click.option(
    "--measured",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file of timestamp,value besides; repeatable.",
)
@click.option("--write-docs", is_flag=True, help=f"Replace the tables in {FILE}.")
def main(only: str, seed: int, measured: tuple[Path, ...], write_docs: bool) -> None:
    """Judge every method on generated days and on measured series."""
    series = [generated(kind, seed) for kind in KINDS if not only or kind in only.split(",")]
    for path in measured:
        [read] = read_series(path)
        series.append(Series(path.stem, read.step_s, read.values))
    parts = []
    for each in series:
        parts.append("\n".join(_table(_judged(each))))
        click.echo(parts[-1], err=True)
    command = " ".join(["python -m benchmarks.forecasting", *map(_shown, sys.argv[1:])])
    text = "\n\n".join([f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {form()}.", *parts])
    click.echo(text)
    if write_docs:
        replace(FILE, "forecasting", text, "# Forecasts\n")


def _judged(series: Series) -> Judgement:
    in_steps = tuple(steps_of(season, series.step_s) for season in SEASONS_S)
    return judge(series, Terms(in_steps, _LEAD, 2 * _LEAD + 2, in_steps[-1]))


def _table(judgement: Judgement) -> Iterator[str]:
    series = judgement.series
    known = [value for value in series.values if value is not None]
    yield (
        f"**{series.name}**: {duration_of(series.length_s)} in steps of "
        f"{duration_of(series.step_s)}, {sum(known) / len(known):,.1f} in a step on average, "
        f"forecasts {duration_of(judgement.terms.lead * series.step_s)} ahead, judged after a week"
    )
    yield ""
    yield f"| | {' | '.join(MEASURES)} |"
    yield f"|---|{'---:|' * len(MEASURES)}"
    for method in judgement.methods:
        cells = cells_of(judgement, method)
        yield f"| {method.method} | {' | '.join(cells[head] for head in MEASURES)} |"


def _shown(argument: str) -> str:
    """Of a path its last part: the rest is nobody's business."""
    return Path(argument).name if "/" in argument else argument


def _of_the_day(step: int) -> float:
    """The mean in that step: least at four at night, most at four in the afternoon."""
    height = _WEEKEND if step // DAY % 7 >= 5 else 1.0
    wave = 0.5 - 0.5 * cos(2.0 * pi * (step % DAY / DAY - 1.0 / 6.0))
    return _PEAK * height * (_NIGHT + (1.0 - _NIGHT) * wave)


def _count(dice: Random, mean: float) -> float:
    """Of a Poisson distribution; of a large mean the normal one is as good."""
    if mean > 60.0:
        return float(max(round(dice.gauss(mean, mean**0.5)), 0))
    count, left, least = 0, dice.random(), exp(-mean)
    while left > least:
        left *= dice.random()
        count += 1
    return float(count)


if __name__ == "__main__":
    main()
