"""`forecast` of a pool: what it may say, and what does not fit together."""

from pathlib import Path

import pytest

from penstock.core.snapshot import Forecast
from tests.unit.config.documents import errors_of, load


def compiled(tmp_path: Path, value: str) -> Forecast | None:
    text = f'pools: {{web: {{endpoints: ["http://10.0.0.1:80"], forecast: {value}}}}}\n'
    (pool,) = load(text, tmp_path).snapshot.pools
    return pool.forecast


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("on", Forecast()),
        ("off", None),
        ("holt-winters", Forecast(method="holt-winters")),
        (
            "{step: 10s, seasons: [1h, 10m], horizon: 5m, lead: 30s}",
            Forecast("blend", 10.0, (600.0, 3600.0), 300.0, 30.0),
        ),
        ("{seasons: []}", Forecast(seasons_s=())),
    ],
)
def test_it_is_switched_named_or_spelled_out(
    tmp_path: Path, value: str, made: Forecast | None
) -> None:
    assert compiled(tmp_path, value) == made


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("prophet", "there is no forecast 'prophet'; known: autoregressive, blend"),
        ("{method: blnd}", "did you mean 'blend'"),
        ("{step: 500ms}", "`step` is shorter than a second"),
        ("{step: 1s}", "a season of 168h has more than 100,000 steps: choose a longer `step`"),
        ("{step: 7m}", "is no whole number of steps of 7m"),
        ("{seasons: 1m}", "a season is shorter than two steps"),
        ("{horizon: 48h}", "`horizon` has more than 1,440 steps"),
        ("{lead: 2h}", "`lead` is longer than `horizon`"),
        ("{lead: 10s}", "`lead` of 10s is no whole number of steps of 1m"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, value: str, said: str) -> None:
    text = f'pools: {{web: {{endpoints: ["http://10.0.0.1:80"], forecast: {value}}}}}\n'
    assert said in str(errors_of(text, tmp_path))
