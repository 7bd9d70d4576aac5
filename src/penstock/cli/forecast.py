"""Judge methods of forecasting on a trace, by their errors and by what acting on them costs."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from penstock.cli._output_file import OutputFile, writing

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from penstock.sim.forecasting.judgement import Judgement, Terms
    from penstock.sim.forecasting.series import Series

EXAMPLES: Final = """\b
Examples:
  penstock forecast requests.csv
  penstock forecast requests.csv --lead 15m --season 24h --html forecasts.html
  penstock forecast conversation_trace.jsonl --step 10s -m blend -m last-value"""


def _seconds(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Of a text such as 90s, 5m or 24h, or of each of several."""
    if isinstance(value, tuple):
        return tuple(_seconds(ctx, param, each) for each in value)
    if value is None:
        return None
    from penstock.config.document.quantities import parse_duration

    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    if seconds <= 0.0:
        raise click.BadParameter("it must be more than 0", ctx, param)
    return seconds


@click.command(epilog=EXAMPLES)
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-m", "--method", "methods", multiple=True, help="Method to judge; repeatable. Default: all."
)
@click.option(
    "--step",
    metavar="DURATION",
    callback=_seconds,
    help="Length of a step. Default: as the file suggests.",
)
@click.option(
    "--season",
    "seasons",
    metavar="DURATION",
    callback=_seconds,
    multiple=True,
    help="Length of a season, such as 24h; repeatable. Default: a day and a week, where TRACE has "
    "two of them.",
)
@click.option(
    "--lead",
    metavar="DURATION",
    callback=_seconds,
    help="Time from ordering capacity until it serves. Default: 5 steps.",
)
@click.option(
    "--under",
    type=click.FloatRange(min=0.1, max=99),
    default=9.0,
    show_default=True,
    help="Price of a missing unit of capacity, where an idle one costs 1.",
)
@click.option(
    "--warm-up",
    metavar="DURATION",
    callback=_seconds,
    help="Time from the beginning that is seen, but not judged. Default: the longest season, at "
    "most half of TRACE.",
)
@click.option("--html", type=OutputFile(), help="Write an HTML report to this file.")
@click.option("--json", type=OutputFile(), help="Write all numbers to this JSON file.")
def forecast(
    trace: Path,
    methods: tuple[str, ...],
    step: float | None,
    html: Path | None,
    json: Path | None,
    **options: Any,
) -> None:
    """Judge methods of forecasting on TRACE, step by step, on what came after.

    TRACE is a CSV file with the header timestamp,value, or a request trace (Mooncake, Azure) as
    `penstock simulate` and `penstock replay` read it.
    """
    from rich.console import Console

    from penstock.core.forecast import create_forecaster
    from penstock.sim.forecasting.series import read_series
    from penstock.sim.report.forecasts import forecast_table, forecasts_json, forecasts_page
    from penstock.sim.trace import TraceError

    try:
        for name in methods:
            create_forecaster(name)
        judgements = _judged(read_series(trace, step), methods, options)
    except (TraceError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if html is not None:
        with writing(html):
            html.write_text(forecasts_page(judgements, trace.name), "utf-8")
    if json is not None:
        with writing(json):
            json.write_bytes(forecasts_json(judgements))
    for judgement in judgements:
        Console().print(forecast_table(judgement))


def _judged(
    series: "list[Series]", methods: tuple[str, ...], options: dict[str, Any]
) -> "list[Judgement]":
    from rich.console import Console
    from rich.progress import Progress

    from penstock.sim.forecasting.judgement import judge

    console = Console(stderr=True)
    judgements = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for each in series:
            terms = _terms(each, **options)
            shown = partial(_show, progress, progress.add_task(each.name, total=None))
            judgements.append(judge(each, terms, methods, on_progress=shown))
    return judgements


def _show(progress: "Progress", bar: "TaskID", done: int, total: int) -> None:
    progress.update(bar, completed=done, total=total)


def _terms(
    series: "Series",
    *,
    seasons: tuple[float, ...],
    lead: float | None,
    under: float,
    warm_up: float | None,
) -> "Terms":
    """In steps of the series. Raises ValueError where a time is not of whole steps."""
    from penstock.sim.forecasting.judgement import Terms
    from penstock.sim.forecasting.series import fitting_seasons, steps_of

    def steps(option: str, time_s: float) -> int:
        found = steps_of(time_s, series.step_s)
        if not found:
            raise ValueError(f"{option} is no multiple of the step, {series.step_s:g} s")
        return found

    in_steps = tuple(
        sorted({steps("--season", season) for season in seasons or fitting_seasons(series)})
    )
    ahead = steps("--lead", lead) if lead is not None else 5
    seen = int(warm_up / series.step_s) if warm_up is not None else 0
    if warm_up is None:
        seen = min(max(in_steps, default=0) or len(series.values) // 4, len(series.values) // 2)
    return Terms(in_steps, ahead, max(12, 2 * ahead), seen, under)
