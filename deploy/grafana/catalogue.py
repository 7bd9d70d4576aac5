"""Which metrics there are: their names as Prometheus stores them, labels and meanings.

Asked of the collector that answers `/metrics`, so that a name which changes there is missing here.
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import Final

from prometheus_client import Metric

from penstock.admin.metrics import families
from penstock.admin.view import Overview
from penstock.dataplane.board.memory import create_board

_PREFIX: Final = "penstock_"
_STEP: Final = "$__rate_interval"  # Grafana's: long enough for two scrapes


@dataclass(frozen=True)
class Known:
    """A metric: what stands after ``penstock_``, how it counts, and what it means."""

    kind: str  # counter, gauge or histogram
    labels: tuple[str, ...]
    meaning: str


@cache
def catalogue() -> dict[str, Known]:
    """By name without prefix and suffix."""
    board = create_board(1, endpoint_rows=1, pool_rows=1)
    try:
        nothing = Overview(
            version="",
            form="",
            pid=0,
            started_at=0.0,
            stopping=False,
            generation=0,
            source="",
            listeners=(),
            pools=(),
            workers=(),
            reloads_ok=0,
            reloads_failed=0,
            last_reload=None,
            events=(),
        )
        return {
            each.name.removeprefix(_PREFIX): Known(each.type, _labels(each), each.documentation)
            for each in families(nothing, board)
        }
    finally:
        os.close(board.fd)


def _labels(metric: Metric) -> tuple[str, ...]:
    return tuple(getattr(metric, "_labelnames", ()))


class Query:
    """Writes PromQL about metrics that exist. Raises LookupError for one that does not."""

    def __init__(self, selector: str = "") -> None:
        self._selector = selector

    def now(self, name: str, by: str = "", how: str = "sum", where: str = "") -> str:
        """A gauge, summed up (or ``how``) over everything but the labels of ``by``."""
        return f"{how}{self._by(name, by)} ({self._series(name, 'gauge', '', where)})"

    def rate(
        self, name: str, by: str = "", where: str = "", window: str = "$__rate_interval"
    ) -> str:
        """A counter, per second."""
        series = self._series(name, "counter", "_total", where)
        return f"sum{self._by(name, by)} (rate({series}[{window}]))"

    def quantile(self, q: float, name: str, by: str = "", window: str = _STEP) -> str:
        """Of a histogram."""
        series = self._series(name, "histogram", "_bucket", "")
        within = ", ".join(["le", *([by] if by else [])])
        return f"histogram_quantile({q:g}, sum by ({within}) (rate({series}[{window}])))"

    def _series(self, name: str, kind: str, suffix: str, where: str) -> str:
        known = self._known(name)
        if known.kind != kind:
            raise LookupError(f"{_PREFIX}{name} is a {known.kind}, not a {kind}")
        for label in _names_in(where):
            self._check_label(name, label)
        selectors = [each for each in (self._chosen(known), where) if each]
        chosen = "{" + ", ".join(selectors) + "}" if selectors else ""
        return f"{_PREFIX}{name}{suffix}{chosen}"

    def _chosen(self, known: Known) -> str:
        """What a dashboard's variables select, as far as the metric has the labels."""
        parts = [part for part in self._selector.split(", ") if part]
        always = ("instance", *known.labels)
        return ", ".join(part for part in parts if part.partition("=")[0] in always)

    def _by(self, name: str, by: str) -> str:
        for label in by.split(", ") if by else ():
            self._check_label(name, label)
        return f" by ({by})" if by else ""

    def _check_label(self, name: str, label: str) -> None:
        if label not in (*self._known(name).labels, "instance"):
            raise LookupError(f"{_PREFIX}{name} has no label {label!r}")

    def _known(self, name: str) -> Known:
        try:
            return catalogue()[name]
        except KeyError:
            raise LookupError(f"no metric is called {_PREFIX}{name}") from None


def _names_in(where: str) -> list[str]:
    return [part.strip().partition("=")[0].rstrip("!") for part in where.split(",") if part]


def meaning(name: str) -> str:
    """What a metric means, in its own words."""
    return catalogue()[name].meaning
