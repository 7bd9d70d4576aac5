"""Judged forecasts as a table, as JSON, and as a page with a plot of each method."""

from collections.abc import Iterator, Sequence
from html import escape
from math import isnan
from typing import Any, Final

import msgspec
from rich.table import Table
from rich.text import Text

from penstock.core.forecast import LEVELS
from penstock.sim.forecasting.judgement import AtHorizon, Judged, Judgement
from penstock.sim.report.chart import Axis
from penstock.sim.report.forecast_chart import forecast_chart
from penstock.sim.report.page import page_of
from penstock.sim.report.wording import duration

_COVERAGES: Final = (0.5, 0.9, 0.99)
# Each measure and what it means.
MEASURES: Final = {
    "error": "sum of absolute errors, of the load (WAPE)",
    **{f"≤ p{q * 100:.0f}": "share of values at or below that quantile" for q in _COVERAGES},
    "band": "mean width of the band from p10 to p90, of the load",
    "pinball": "pinball loss, mean over all quantiles, of the load",
    "idle": "capacity ordered by the forecast that nothing used, of the load",
    "missing": "load for which that capacity did not suffice, of the load",
    "loss": "decision loss: idle, and missing at its price, of the load",
    "CPU": "for each observation with its forecast",
}
_LEAST_IS_BEST: Final = ("error", "band", "pinball", "loss")


def cells_of(judgement: Judgement, method: Judged) -> dict[str, str]:
    """What is shown of a method, by its head."""
    at = method.at_lead
    cells = {"error": _percent(at.wape)}
    cells |= {f"≤ p{q * 100:.0f}": _percent(at.coverage(q)) for q in _COVERAGES}
    return cells | {
        "band": _percent(at.band),
        "pinball": _percent(at.pinball_loss),
        "idle": _percent(method.acting.idle_share),
        "missing": _percent(method.acting.missing_share),
        "loss": _percent(method.acting.loss(judgement.terms.under)),
        "CPU": duration(method.cpu_s),
    }


def setup(judgement: Judgement) -> str:
    """What was judged, and by what terms."""
    series, terms = judgement.series, judgement.terms
    step = series.step_s
    seasons = ", ".join(duration_of(season * step) for season in terms.seasons) or "none"
    unknown = series.values.count(None)
    gaps = f" ({unknown:,} of them unknown)" if unknown else ""
    return (
        f"{series.name}: {len(series.values):,} steps of {duration_of(step)}{gaps}, seasons: "
        f"{seasons}. Forecasts of {duration_of(terms.lead * step)} ahead, after a warm-up of "
        f"{duration_of(terms.warm_up * step)}; a missing unit costs {terms.under:g} times an idle "
        "one."
    )


def forecast_table(judgement: Judgement) -> Table:
    """A row for each measure, a column for each method; the best of a row stands out."""
    table = Table(title=setup(judgement), title_justify="left")
    table.add_column("", no_wrap=True)
    rows = list(_rows(judgement))
    for method, _, _ in rows:
        # Five names beside each other are wider than many a terminal.
        table.add_column(method.method.replace("-", "-\n"), justify="right", no_wrap=True)
    for head in MEASURES:
        cells = [Text(row[head], "bold green" if head in best else "") for _, row, best in rows]
        table.add_row(head, *cells)
    return table


def forecasts_json(judgements: Sequence[Judgement]) -> bytes:
    """All numbers, for programs."""
    return msgspec.json.format(
        msgspec.json.encode({"series": [_series(judgement) for judgement in judgements]}), indent=2
    )


def forecasts_page(judgements: Sequence[Judgement], title: str) -> str:
    """The tables, and each method's last forecasts beside what came."""
    return page_of(
        title=f"Forecasts of {title}",
        about="Every method saw the series step by step, and was judged on what came after.",
        setup=" ".join(setup(judgement) for judgement in judgements),
        tables=[_html_table(judgement) for judgement in judgements],
        plots=[plot for judgement in judgements for plot in _plots(judgement)],
        notes=[f"<li>{escape(head)}: {escape(meaning)}</li>" for head, meaning in MEASURES.items()],
        meanings=(),
    )


def duration_of(seconds: float) -> str:
    """In the greatest unit of which it is a whole number."""
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return duration(seconds)


def _rows(judgement: Judgement) -> Iterator[tuple[Judged, dict[str, str], set[str]]]:
    """Each method with its cells, and in which columns it is the best."""
    values = [_compared(judgement, method) for method in judgement.methods]
    for method, own in zip(judgement.methods, values, strict=True):
        best = {
            head
            for head in _LEAST_IS_BEST
            if len(values) > 1 and own[head] == min(each[head] for each in values)
        }
        yield method, cells_of(judgement, method), best


def _compared(judgement: Judgement, method: Judged) -> dict[str, float]:
    at = method.at_lead
    loss = method.acting.loss(judgement.terms.under)
    return {"error": at.wape, "band": at.band, "pinball": at.pinball_loss, "loss": loss}


def _series(judgement: Judgement) -> dict[str, Any]:
    series, terms = judgement.series, judgement.terms
    step = series.step_s
    return {
        "name": series.name,
        "step_s": step,
        "steps": len(series.values),
        "unknown": series.values.count(None),
        "seasons_s": [season * step for season in terms.seasons],
        "lead_s": terms.lead * step,
        "warm_up_s": terms.warm_up * step,
        "under": terms.under,
        "methods": [
            {
                "method": method.method,
                "horizons": [_horizon(horizon, step) for horizon in method.horizons],
                "idle": _known(method.acting.idle_share),
                "missing": _known(method.acting.missing_share),
                "decision_loss": _known(method.acting.loss(terms.under)),
                "cpu_s": method.cpu_s,
            }
            for method in judgement.methods
        ],
    }


def _horizon(at: AtHorizon, step_s: float) -> dict[str, Any]:
    return {
        "ahead_s": at.steps * step_s,
        "judged": at.judged,
        "mae": _known(at.mae),
        "wape": _known(at.wape),
        "pinball": _known(at.pinball_loss),
        "band": _known(at.band),
        "coverage": {f"{level:g}": _known(at.coverage(level)) for level in LEVELS},
    }


def _html_table(judgement: Judgement) -> Iterator[str]:
    heads = "".join(f"<th>{escape(head)}</th>" for head in MEASURES)
    yield f"<tr><th>{escape(judgement.series.name)}</th>{heads}</tr>"
    for method, cells, best in _rows(judgement):
        row = "".join(
            f"<td{' class=best' if head in best else ''}>{escape(cells[head])}</td>"
            for head in MEASURES
        )
        yield f"<tr><th>{escape(method.method)}</th>{row}</tr>"


def _plots(judgement: Judgement) -> Iterator[str]:
    step_s = judgement.series.step_s
    for method in judgement.methods:
        yield forecast_chart(
            f"{judgement.series.name}: {method.method}",
            Axis("time", "days", from_zero=False),
            [(step * step_s, *expected) for step, *expected in method.course],
        )


def _percent(share: float) -> str:
    return "–" if isnan(share) else f"{share:.1%}"


def _known(value: float) -> float | None:
    return None if isnan(value) else value
