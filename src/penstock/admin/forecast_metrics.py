"""Metrics of forecasts, so far ahead as a pool's `lead` says."""

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from penstock.admin.view import PoolView

# Name, quantity, what is expected.
FORECASTS: Final = (
    ("requests", "Requests expected, per second."),
    ("prompt_tokens", "Prompt tokens expected, per second."),
    ("output_tokens", "Output tokens expected, per second."),
)


def forecast_metrics(pools: Sequence[PoolView]) -> Iterator[Metric]:
    """Quantiles of each series; of one model where ``model`` is not empty."""
    for quantity, meaning in FORECASTS:
        metric = GaugeMetricFamily(
            f"penstock_forecast_{quantity}_per_second",
            meaning,
            labels=("pool", "model", "quantile"),
        )
        for pool in pools:
            for series in pool.forecasts:
                if series.quantity != quantity:
                    continue
                [ahead] = [each for each in series.ahead if each.ahead_s == series.lead_s]
                for level, value in ahead.quantiles.items():
                    metric.add_metric((pool.name, series.model, f"{level:g}"), value)
        yield metric
    lead = GaugeMetricFamily(
        "penstock_forecast_lead_seconds", "How far ahead forecasts are told.", labels=("pool",)
    )
    for pool in pools:
        if pool.forecasts:
            lead.add_metric((pool.name,), pool.forecasts[0].lead_s)
    yield lead
