"""The demo of a fleet that scales itself: what is shown of it, without running it."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from penstock.cli.main import penstock_command
from penstock.config.compile.snapshot import compile_document
from penstock.config.load.document import load_document
from penstock.fleet.demo.day_chart import page, sparklines, summary
from penstock.fleet.demo.scaled_day import DayView, Moment, configuration, rate_at


def course() -> DayView:
    moments = [
        Moment(float(at), 10.0 + at, 9.0, 14.0, 1 + at // 4, at % 2, 4, 1.0, "load needs 4")
        for at in range(12)
    ]
    return DayView(moments=moments, sent=180, late=2)


def test_its_configuration_is_right(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(yaml.safe_dump({"listen": "127.0.0.1:0", **configuration(60.0)}))
    (pool,) = compile_document(load_document(file, {}), file).snapshot.pools
    assert pool.scale is not None
    assert pool.scale.actuator.name == "process"


def test_the_second_day_has_a_flood() -> None:
    assert rate_at(1.65) > 1.5 * rate_at(0.65)
    assert rate_at(1.2) == pytest.approx(rate_at(0.2))


def test_one_chart_shows_load_forecast_engines_and_objectives() -> None:
    drawn = page(course())
    for named in ("requests per second", "foreseen", "its upper quantile", "engines that serve"):
        assert named in drawn
    assert "180" in summary(course())
    assert len(sparklines(course())) == 4


def test_a_chart_without_scale_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(penstock_command, ["demo", "--html", str(tmp_path / "a.html")])
    assert result.exit_code == 2
    assert "--html is of --scale" in result.output
