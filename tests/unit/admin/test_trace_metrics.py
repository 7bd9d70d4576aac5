"""Spans that were sent and dropped, in metrics."""

from pathlib import Path

from penstock.admin.trace_metrics import push_metrics, trace_metrics
from penstock.admin.view import PushView, TracesView


def test_without_traces_there_are_none() -> None:
    assert list(trace_metrics(None)) == []


def test_each_is_told_and_documented() -> None:
    page = Path(__file__).parents[3].joinpath("docs/operations.md").read_text("utf-8")
    found = trace_metrics(TracesView(sent=7, dropped=2))
    values = {each.name: each.value for metric in found for each in metric.samples}
    assert values == {
        "penstock_traces_sent_spans_total": 7,
        "penstock_traces_dropped_spans_total": 2,
    }
    for name in values:
        assert f"`{name}`" in page


def test_of_pushed_metrics_it_is_told_how_many_were_taken() -> None:
    assert list(push_metrics(None)) == []
    found = push_metrics(PushView(points=7, failed=2))
    assert {each.samples[0].name: each.samples[0].value for each in found} == {
        "penstock_metrics_pushed_points_total": 7,
        "penstock_metrics_failed_pushes_total": 2,
    }
