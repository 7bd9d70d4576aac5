"""Metrics pushed over OTLP, as OpenTelemetry's own messages read them."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from penstock.control import metrics_sender
from penstock.control.events import Events
from penstock.control.metrics_sender import MetricsSender
from penstock.core.snapshot import MetricsPush, Snapshot
from tests.unit.control.waiting import PATIENCE_S, until

HOSTILE = "<img src=x>\ud800\x1b"


def families() -> Iterator[Metric]:
    counter = CounterMetricFamily("penstock_requests", "Requests.", labels=("pool",))
    counter.add_metric(("main",), 7)
    counter.add_metric((HOSTILE,), 1)
    gauge = GaugeMetricFamily("penstock_endpoint_available", "Whether.", labels=("pool",))
    gauge.add_metric(("main",), True)
    histogram = HistogramMetricFamily("penstock_total_seconds", "Time.", labels=("pool",))
    for pool in ("a", "b"):
        histogram.add_metric((pool,), [("0.1", 2), ("1.0", 5), ("+Inf", 6)], 4.5)
    yield from (counter, gauge, histogram)


class Receiver:
    """What it got, and what it answers next."""

    def __init__(self) -> None:
        self.url = ""
        self.got: list[ExportMetricsServiceRequest] = []
        self.headers: dict[str, str] = {}
        self.answers: list[tuple[int, bytes]] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.headers["Content-Type"] == "application/x-protobuf"
        self.headers = dict(request.headers)
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        message = ExportMetricsServiceRequest()
        message.ParseFromString(body)
        self.got.append(message)
        status, said = self.answers.pop(0) if self.answers else (200, b"")
        return web.Response(status=status, body=said)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    application = web.Application()
    application.router.add_post("/v1/metrics", made.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def sender(events: Events) -> AsyncIterator[MetricsSender]:
    made = MetricsSender(events, started_at=1000.0)
    yield made
    made.configure(Snapshot(1, (), (), ()))
    await made.close(families)


def to(url: str, headers_file: str = "") -> Snapshot:
    push = MetricsPush(url, service_name="shop", headers_file=headers_file)
    return Snapshot(1, (), (), (), metrics=push)


@pytest.mark.asyncio
async def test_a_collector_gets_counters_gauges_and_histograms_as_they_are(
    receiver: Receiver, sender: MetricsSender, tmp_path: Path
) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer abc\n")
    sender.configure(to(receiver.url, headers_file=str(file)))
    await sender.push(families)
    assert receiver.headers["Authorization"] == "Bearer abc"
    (request,) = receiver.got
    (resource,) = request.resource_metrics
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert told["service.name"] == "shop"
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "penstock"
    counter, gauge, histogram = scope.metrics
    assert (counter.name, counter.description) == ("penstock_requests", "Requests.")
    assert counter.sum.is_monotonic
    assert counter.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    first, second = counter.sum.data_points
    assert (first.as_double, first.start_time_unix_nano) == (7.0, 1_000_000_000_000)
    assert first.time_unix_nano > first.start_time_unix_nano
    assert [(each.key, each.value.string_value) for each in first.attributes] == [("pool", "main")]
    assert second.attributes[0].value.string_value == "<img src=x>?\x1b"
    (point,) = gauge.gauge.data_points
    assert point.as_double == 1.0
    one, other = histogram.histogram.data_points
    assert list(one.explicit_bounds) == [0.1, 1.0]
    assert list(one.bucket_counts) == list(other.bucket_counts) == [2, 3, 1]
    assert (one.count, one.sum) == (6, 4.5)
    assert (sender.points, sender.failed) == (5, 0)


@pytest.mark.asyncio
async def test_many_points_go_in_several_requests(
    receiver: Receiver, sender: MetricsSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_sender, "_BATCH", 2)
    sender.configure(to(receiver.url))
    await sender.push(families)
    names = [
        [metric.name for metric in each.resource_metrics[0].scope_metrics[0].metrics]
        for each in receiver.got
    ]
    assert names == [
        ["penstock_requests"],
        ["penstock_endpoint_available"],
        ["penstock_total_seconds"],
    ]


@pytest.mark.asyncio
async def test_a_collector_that_fails_or_refuses_is_told_of_once(
    receiver: Receiver, sender: MetricsSender, events: Events
) -> None:
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 3
    receiver.answers = [(503, b""), (200, answer.SerializeToString()), (200, b"")]
    sender.configure(to(receiver.url))
    for _ in range(3):
        await sender.push(families)
    assert (sender.points, sender.failed) == (2 + 5, 2)
    assert [each.kind for each in events.recent(9)] == ["metrics.failing", "metrics.resumed"]


@pytest.mark.asyncio
async def test_one_that_is_down_delays_nothing(sender: MetricsSender) -> None:
    sender.configure(to("http://127.0.0.1:1"))
    await sender.push(families)
    assert (sender.points, sender.failed) == (0, 1)


@pytest.mark.asyncio
async def test_it_pushes_while_it_runs_and_once_more_at_the_end(
    receiver: Receiver, sender: MetricsSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_sender, "_LAST_S", PATIENCE_S)
    sender.configure(to(receiver.url))
    running = asyncio.create_task(sender.run(families))
    await until(lambda: len(receiver.got) == 1, "the first push")
    running.cancel()
    await sender.close(families)
    assert len(receiver.got) == 2


@pytest.mark.asyncio
async def test_without_a_collector_nothing_is_read(sender: MetricsSender) -> None:
    def never() -> Iterator[Metric]:
        raise AssertionError
        yield

    await sender.push(never)
    assert not sender.is_on
