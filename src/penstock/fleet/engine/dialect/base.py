"""What a dialect is: further paths, and metrics under an engine's own names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from penstock.fleet.emulated import Handler
from penstock.fleet.engine.api.base import Api
from penstock.fleet.engine.api.completions import Ids
from penstock.fleet.engine.intake import Intake
from penstock.fleet.engine.observations import CumulativeHistogram, Observations
from penstock.fleet.engine.spec import EngineSpec
from penstock.sim.inference import EngineLimits, EngineLoad


class EngineView(Protocol):
    """What dialects see of an engine."""

    spec: EngineSpec
    limits: EngineLimits
    observations: Observations
    intake: Intake

    def reported_load(self) -> EngineLoad: ...

    def generating(self, api: Api) -> Handler: ...

    def clear_cache(self) -> bool: ...

    @property
    def kv_event_addresses(self) -> tuple[str, str]: ...

    def active_adapters(self) -> tuple[list[str], list[str]]: ...


class EmulatedDialect(ABC):
    """One kind of engine."""

    name: ClassVar[str] = ""  # as in ``wire.engines``
    default_sequences: ClassVar[int] = 256
    reports_cached: ClassVar[bool] = True  # cached tokens are in its `usage`
    has_metrics: ClassVar[bool] = True
    ids_in_chats: ClassVar[Ids] = ""  # of tokens, and how they are told
    ids_in_completions: ClassVar[Ids] = ""

    @abstractmethod
    def routes(self, engine: EngineView) -> list[web.RouteDef]:
        """Paths beside OpenAI's."""

    @abstractmethod
    def families(self, engine: EngineView) -> Iterable[Metric]:
        """Its metrics at this moment."""

    def response_headers(self, engine: EngineView, request: web.Request) -> dict[str, str]:
        """Headers of generated answers."""
        return {}

    def metrics(self, engine: EngineView) -> bytes:
        """What ``/metrics`` says, in Prometheus' text format."""
        return generate_latest(_Families(list(self.families(engine))))


class Names:
    """Makes metric families with a prefix and the same labels on all."""

    def __init__(self, prefix: str, labels: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._labels = dict(labels or {})

    def gauge(self, name: str, value: float, **labels: str) -> Metric:
        all_labels = {**self._labels, **labels}
        family = GaugeMetricFamily(self._prefix + name, name, labels=list(all_labels))
        family.add_metric(list(all_labels.values()), value)
        return family

    def counter(self, name: str, value: float, **labels: str) -> Metric:
        """``_total`` is added to the name."""
        all_labels = {**self._labels, **labels}
        family = CounterMetricFamily(self._prefix + name, name, labels=list(all_labels))
        family.add_metric(list(all_labels.values()), value)
        return family

    def histogram(self, name: str, values: CumulativeHistogram) -> Metric:
        family = HistogramMetricFamily(self._prefix + name, name, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), values.buckets(), values.total)
        return family


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._found = families

    def collect(self) -> Iterable[Metric]:
        return self._found


async def ok(request: web.Request) -> web.StreamResponse:
    """An empty 200, as most engines answer a health check."""
    return web.Response()
