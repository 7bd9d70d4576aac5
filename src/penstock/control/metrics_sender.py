"""All metrics to a collector, over OTLP/HTTP in Protocol Buffers, again and again.

Everything sent is cumulative, so what was not taken is not sent again: the next push has it all.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from math import inf
from time import monotonic, time
from typing import Final

from prometheus_client.core import Metric

from penstock import __version__
from penstock.control.events import Events
from penstock.control.otlp import Collector, CollectorError
from penstock.core.snapshot import MetricsPush, Snapshot
from penstock.wire.otlp_metrics import (
    attribute,
    export,
    histogram_point,
    metric,
    number_point,
    refused_points,
)

_PATH: Final = "/v1/metrics"
_BATCH: Final = 5000  # points; half a megabyte or so before it is compressed
_LOOK_S: Final = 1.0  # while nothing is pushed
_LAST_S: Final = 2.0  # for the last push, when the balancer ends
_NUMBER_ATTRIBUTES: Final = 7  # the fields in which points have theirs
_HISTOGRAM_ATTRIBUTES: Final = 9

Families = Callable[[], Iterable[Metric]]


class MetricsSender:
    """One push at a time."""

    def __init__(
        self,
        events: Events,
        started_at: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """``started_at``: Unix time from which everything is counted; now, unless given."""
        self.points = 0  # that the collector took
        self.failed = 0  # pushes
        self._events = events
        self._start_ns = round((time() if started_at is None else started_at) * 1e9)
        self._clock = clock
        self._spec: MetricsPush | None = None
        self._collector = Collector("application/x-protobuf")
        self._failing = False

    @property
    def is_on(self) -> bool:
        """Whether metrics are pushed."""
        return self._spec is not None

    def configure(self, snapshot: Snapshot) -> None:
        """Push where that snapshot says."""
        self._spec = snapshot.metrics

    async def run(self, families: Families) -> None:
        """Push, until cancelled."""
        while True:
            spec = self._spec
            began = self._clock()
            if spec is not None:
                await self.push(families)
            every_s = spec.every_s if spec is not None else _LOOK_S
            await asyncio.sleep(max(began + every_s - self._clock(), _LOOK_S))

    async def close(self, families: Families) -> None:
        """Push once more, for a moment at most, and end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await self.push(families)
        await self._collector.close()

    async def push(self, families: Families) -> None:
        """Once, if anywhere."""
        spec = self._spec
        if spec is None:
            return
        url = spec.collector.rstrip("/") + _PATH
        all_points = all_refused = 0
        try:
            async for body, points in batches(families(), spec.service_name, self._start_ns):
                packed = await asyncio.to_thread(gzip.compress, body, 1)
                said = await self._collector.post(url, packed, spec.headers_file, "gzip")
                refused = min(refused_points(said), points)
                self.points += points - refused
                all_points += points
                all_refused += refused
            if all_refused:
                raise CollectorError(f"it refuses {all_refused} of {all_points} points", True)
        except CollectorError as error:
            self.failed += 1
            self._tell_failing(spec, error)
            return
        if self._failing:
            self._failing = False
            self._events.info("metrics.resumed", f"{spec.collector} takes metrics again")

    def _tell_failing(self, spec: MetricsPush, error: CollectorError) -> None:
        """Once, until it takes them again."""
        if not self._failing:
            self._failing = True
            self._events.warning(
                "metrics.failing", f"{spec.collector} does not take all metrics: {error}"
            )


async def batches(
    families: Iterable[Metric], service_name: str, start_ns: int
) -> AsyncIterator[tuple[bytes, int]]:
    """Requests, and how many points each has. The loop goes on between two metrics."""
    resource = attribute(1, "service.name", service_name)
    resource += attribute(1, "service.version", __version__)
    now_ns = round(time() * 1e9)
    metrics: list[bytes] = []
    count = 0
    for family in families:
        points = _points(family, start_ns, now_ns)
        for first in range(0, len(points), _BATCH):
            some = points[first : first + _BATCH]
            if count and count + len(some) > _BATCH:
                yield export(resource, __version__, metrics), count
                metrics, count = [], 0
            metrics.append(metric(family.name, family.documentation, family.type, some))
            count += len(some)
        await asyncio.sleep(0)
    if count:
        yield export(resource, __version__, metrics), count


def _points(family: Metric, start_ns: int, now_ns: int) -> list[bytes]:
    if family.type == "histogram":
        return _histograms(family, start_ns, now_ns)
    began = start_ns if family.type == "counter" else 0
    return [
        number_point(_attributes(_NUMBER_ATTRIBUTES, each.labels), began, now_ns, float(each.value))
        for each in family.samples
    ]


def _histograms(family: Metric, start_ns: int, now_ns: int) -> list[bytes]:
    """Prometheus counts buckets up to their bounds, OTLP each alone."""
    points: list[bytes] = []
    bounds: list[float] = []
    counts: list[int] = []
    below = 0
    for each in family.samples:
        if each.name.endswith("_bucket"):
            bound = float(each.labels["le"])
            if bound != inf:
                bounds.append(bound)
            counts.append(int(each.value) - below)
            below = int(each.value)
        elif each.name.endswith("_sum"):
            attributes = _attributes(_HISTOGRAM_ATTRIBUTES, each.labels)
            points.append(
                histogram_point(attributes, start_ns, now_ns, float(each.value), counts, bounds)
            )
            bounds, counts, below = [], [], 0
    return points


def _attributes(field: int, labels: dict[str, str]) -> bytes:
    return b"".join([attribute(field, name, value) for name, value in labels.items()])
