"""Results: percentiles are measured values, times count from when a request was due."""

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from penstock.fleet.replay.client import Outcome
from penstock.fleet.replay.report import notes, page, table
from penstock.fleet.replay.result import (
    Measurement,
    Objectives,
    ReplayResult,
    distribution,
    read_result,
    write_result,
)
from tests.harness.reports import drawings_of


def outcome(first_token: float = 11.0, ended: float = 12.0, failure: str = "") -> Outcome:
    return Outcome(
        due=10.0,
        sent=10.5,
        first_token=first_token,
        ended=ended,
        failure=failure,
        gaps_s=[0.25, 0.75],
        prompt_tokens=100,
        cached_tokens=40,
        output_tokens=3,
    )


def result_of(
    *outcomes: Outcome, objectives: Objectives | None = None, speedup: float = 1.0
) -> ReplayResult:
    measurement = Measurement(objectives or Objectives(), speedup)
    for each in outcomes:
        measurement.add(each)
    return measurement.result(name="<a>", url="u", model="m", workload="w")


def test_percentiles_are_by_nearest_rank() -> None:
    hundred = distribution([float(value) for value in range(100, 0, -1)])
    assert hundred.mean == 50.5
    assert [hundred.percentile(percent) for percent in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert distribution([3.0]).percentiles == (3.0,) * 101
    assert distribution([]).count == 0


def test_times_count_from_when_a_request_was_due() -> None:
    result = result_of(outcome())
    assert result.ttft.mean == pytest.approx(1.0)
    assert result.e2e.mean == pytest.approx(2.0)
    assert result.tpot.mean == pytest.approx(0.5)
    assert result.lag.mean == pytest.approx(0.5)
    assert result.itl.percentile(100) == pytest.approx(0.75)
    assert result.hit_rate == pytest.approx(0.4)


def test_a_sped_up_run_is_stretched_back() -> None:
    result = result_of(outcome(), speedup=10.0)
    assert result.ttft.mean == pytest.approx(10.0)
    assert result.seconds == pytest.approx(20.0)
    assert result.requests_per_s == pytest.approx(0.05)


def test_failures_count_by_reason_and_not_in_the_times() -> None:
    result = result_of(outcome(), outcome(failure="timeout"), outcome(failure="timeout"))
    assert result.failures == {"timeout": 2}
    assert result.failed == 2
    assert result.ttft.count == 1
    assert "2 × timeout" in notes(result)


def test_first_failure_of_each_kind_is_quoted() -> None:
    failed = [outcome(failure="status 400"), outcome(failure="status 400")]
    failed.append(outcome(failure="status 401"))
    for each, said in zip(failed, ("too long", "too hot", "no key"), strict=True):
        each.detail = said
    result = result_of(outcome(), *failed)
    assert notes(result)[:2] == [
        "2 × status 400 (the first: too long)",
        "1 × status 401 (no key)",
    ]


@pytest.mark.parametrize(
    ("objectives", "good"),
    [
        (Objectives(), 1),
        (Objectives(ttft_s=1.0), 1),
        (Objectives(ttft_s=0.9), 0),
        (Objectives(tpot_s=0.4), 0),
        (Objectives(e2e_s=1.9), 0),
    ],
)
def test_goodput_counts_the_answers_that_keep_to_every_objective(
    objectives: Objectives, good: int
) -> None:
    result = result_of(outcome(), outcome(failure="reset"), objectives=objectives)
    assert result.good == good
    assert result.goodput_per_s == good / 2


def test_a_client_that_was_late_is_told() -> None:
    [note] = notes(result_of(outcome()))
    assert "sent late" in note


def test_results_survive_the_file(tmp_path: Path) -> None:
    result = result_of(outcome(), outcome(failure="status 503"))
    write_result(result, tmp_path / "a.json")
    assert read_result(tmp_path / "a.json") == result


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="is not a replay's result"):
        read_result(tmp_path / "a.json")


def test_two_results_are_compared_line_by_line() -> None:
    before, after = result_of(outcome()), result_of(outcome(first_token=10.5))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table([before, after]))
    [line] = [line for line in console.export_text().splitlines() if "TTFT mean" in line]
    assert "1.00 s" in line
    assert "500.0 ms" in line
    assert "-50.0%" in line
    html = page([before, after])
    assert "&lt;a&gt;" in html
    assert [len(each["curves"]) for each in drawings_of(html)] == [2] * 4


def test_where_no_answer_came_no_time_is_told() -> None:
    """0.0 ms would be the fastest there is."""
    none, some = result_of(outcome(failure="status 503")), result_of(outcome())
    drawn = printed(none, some)
    [mean] = [line for line in drawn.splitlines() if "TTFT mean" in line]
    assert [cell.strip() for cell in mean.split("│")[1:-1]] == ["TTFT mean", "–", "1.00 s", ""]
    assert "<th>TTFT mean</th><td>–</td><td>1.00 s</td></tr>" in page([none, some])


def test_a_name_is_shown_as_it_is() -> None:
    """As of a server at [fe80::1], which looks like markup of the table's."""
    result = msgspec.structs.replace(result_of(outcome()), name="http://[fe80::1]:80 [/b]")
    assert "http://[fe80::1]:80 [/b]" in printed(result)


def printed(*results: ReplayResult) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(table(results))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
