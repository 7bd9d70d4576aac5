"""How forecasts are judged, and what `penstock forecast` shows of it."""

import json
from math import isnan
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli.forecast import forecast
from penstock.core.forecast import forecasters
from penstock.sim.forecasting.judgement import Judged, Terms, judge
from penstock.sim.forecasting.series import Series
from tests.harness.reports import drawings_of

TERMS = Terms(seasons=(10,), lead=2, horizon=4, warm_up=20)


def judged(values: list[float | None], method: str, terms: Terms = TERMS) -> Judged:
    return judge(Series("load", 60.0, values), terms, [method]).methods[0]


def test_a_forecast_that_is_always_right_costs_nothing() -> None:
    found = judged([50.0] * 300, "last-value", Terms((), 2, 4, 200))
    assert found.at_lead.mae == 0.0
    assert found.acting.loss(9.0) == pytest.approx(0.0, abs=0.01)


def test_errors_are_those_of_forecasts_made_a_lead_before() -> None:
    rising: list[float | None] = [100.0 + step for step in range(60)]
    found = judged(rising, "last-value")
    assert [horizon.steps for horizon in found.horizons] == [1, 2, 4]
    assert [horizon.mae for horizon in found.horizons] == [1.0, 2.0, 4.0]
    assert found.at_lead.judged == 40


def test_steps_without_a_value_are_not_judged() -> None:
    values: list[float | None] = [10.0, *[10.0, None] * 30]
    assert judged(values, "last-value").at_lead.judged == 20


def test_what_is_missing_costs_its_price() -> None:
    values: list[float | None] = [100.0] * 300
    values[280] = 200.0
    found = judged(values, "last-value", Terms((), 1, 2, 280, under=9.0))
    load = 21 * 100.0
    assert found.acting.missing_share == pytest.approx(100.0 / load, rel=0.05)
    assert found.acting.loss(9.0) == pytest.approx(
        9 * found.acting.missing_share + found.acting.idle_share
    )


def test_a_load_of_nothing_has_no_shares() -> None:
    found = judged([0.0] * 60, "last-value")
    assert isnan(found.at_lead.wape)
    assert found.at_lead.mae == 0.0


def test_seasons_are_foreseen_by_those_that_know_them() -> None:
    values: list[float | None] = [100.0 if step % 10 < 5 else 10.0 for step in range(200)]
    assert judged(values, "seasonal-naive").at_lead.mae == 0.0
    assert judged(values, "last-value").at_lead.mae > 30.0


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        judged([1.0] * 22, "last-value")


def csv_of_hours(path: Path, hours: int) -> Path:
    rows = "".join(f"{hour * 3600},{100 + hour % 24}\n" for hour in range(hours))
    path.write_text(f"timestamp,value\n{rows}")
    return path


def test_every_method_has_its_column(tmp_path: Path) -> None:
    path = csv_of_hours(tmp_path / "load.csv", 96)
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    ran = CliRunner().invoke(
        forecast, [str(path), "--html", str(page), "--json", str(numbers)], catch_exceptions=False
    )
    assert ran.exit_code == 0, ran.output
    assert "96 steps of 1 h, seasons: 1 d." in ran.output
    [series] = json.loads(numbers.read_text())["series"]
    assert [each["method"] for each in series["methods"]] == list(forecasters())
    assert series["lead_s"] == 5 * 3600.0
    seasonal = next(each for each in series["methods"] if each["method"] == "seasonal-naive")
    assert [horizon["wape"] for horizon in seasonal["horizons"]] == [0.0, 0.0, 0.0]
    assert len(drawings_of(page.read_text())) == len(forecasters())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-m", "prophet"], "there is no forecast 'prophet'"),
        (["--lead", "90m"], "--lead is no multiple of the step, 3600 s"),
        (["--season", "90m"], "--season is no multiple of the step, 3600 s"),
        (["--step", "90m"], "no multiple of the 3600 s"),
        (["--warm-up", "400h"], "too few"),
        (["--lead", "5"], "a duration"),
        (["--lead", "off"], "more than 0"),
    ],
)
def test_what_cannot_be_judged_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    path = csv_of_hours(tmp_path / "load.csv", 96)
    ran = CliRunner().invoke(forecast, [str(path), *arguments])
    assert ran.exit_code != 0
    assert said in ran.output


def test_a_file_that_is_no_trace_is_said(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    ran = CliRunner().invoke(forecast, [str(path)])
    assert ran.exit_code == 1
    assert "timestamp,value" in ran.output
