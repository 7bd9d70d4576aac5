"""Series from files: steps, gaps, and what is wrong with a file."""

from pathlib import Path

import pytest

from penstock.sim.forecasting.series import DAY_S, WEEK_S, Series, fitting_seasons, read_series
from penstock.sim.trace import TraceError


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_of_a_csv_are_steps_and_gaps_are_unknown(tmp_path: Path) -> None:
    path = written(
        tmp_path / "load.csv",
        "timestamp,value",
        "2026-01-01 00:00:00,5",
        "2026-01-01 00:05:00,0",
        "2026-01-01 00:20:00,7.5",
        "2026-01-01 00:10:00,6",
    )
    [series] = read_series(path)
    assert (series.step_s, series.values) == (300.0, [5.0, 0.0, 6.0, None, 7.5])


def test_seconds_since_1970_and_dates_with_a_zone_are_times_too(tmp_path: Path) -> None:
    seconds = written(tmp_path / "a.csv", "timestamp,value", "1000,1", "1060,2", "1120,3")
    dates = written(
        tmp_path / "b.csv",
        "Timestamp, Value",
        "2026-01-01T01:00:00+01:00,1",
        "2026-01-01T00:01:00Z,2",
        "2026-01-01T00:02:00Z,3",
    )
    for path in (seconds, dates):
        [series] = read_series(path)
        assert (series.step_s, series.values) == (60.0, [1.0, 2.0, 3.0])


def test_longer_steps_are_sums_and_a_missing_part_is_as_the_rest(tmp_path: Path) -> None:
    rows = [f"{at},{value}" for at, value in ((0, 1), (10, 2), (20, 3), (40, 5))]
    path = written(tmp_path / "load.csv", "timestamp,value", *rows)
    [series] = read_series(path, 20.0)
    assert series.values == [3.0, 6.0, 10.0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["0,1", "10,-2"], "line 3: a load is a number of at least 0, not -2"),
        (["0,1", "10,nan"], "line 3: a load is a number of at least 0, not nan"),
        (["0,1", "10,x"], "line 3: could not convert"),
        (["0,1", "10,2,3"], "line 3: too many values"),
        (["yesterday,1"], "line 2: Invalid isoformat"),
        (["0,1"], "fewer than two times"),
        (["0,1", "1,1", "99999999,1"], "longer --step"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(tmp_path: Path, rows: list[str], said: str) -> None:
    path = written(tmp_path / "load.csv", "timestamp,value", *rows)
    with pytest.raises(TraceError, match=said):
        read_series(path)


def test_a_step_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "load.csv", "timestamp,value", "0,1", "60,2", "120,3")
    with pytest.raises(TraceError, match="no multiple of the 60 s"):
        read_series(path, 90.0)


def test_of_a_trace_requests_and_tokens_are_counted(tmp_path: Path) -> None:
    lines = [
        f'{{"timestamp": {at}, "input_length": 10, "output_length": {out}, "hash_ids": [1]}}'
        for at, out in ((0, 1), (900, 2), (2500, 4), (3100, 8))
    ]
    arrivals, prompt, output = read_series(written(tmp_path / "trace.jsonl", *lines))
    assert arrivals.step_s == 1.0
    assert arrivals.values == [2.0, 0.0, 1.0]  # the last step is not over
    assert prompt.values == [20.0, 0.0, 10.0]
    assert output.values == [3.0, 0.0, 4.0]


def test_seasons_are_those_of_which_there_are_two() -> None:
    hour = 3600.0
    assert fitting_seasons(Series("", hour, [1.0] * 47)) == ()
    assert fitting_seasons(Series("", hour, [1.0] * 48)) == (DAY_S,)
    assert fitting_seasons(Series("", hour, [1.0] * 400)) == (DAY_S, WEEK_S)
    assert fitting_seasons(Series("", 7 * hour, [1.0] * 400)) == (WEEK_S,)
