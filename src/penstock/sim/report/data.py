"""A comparison as JSON, for programs."""

from math import isnan
from typing import Any

import msgspec

from penstock.sim.expectation import expectation
from penstock.sim.experiment import Comparison, Result


def comparison_json(comparison: Comparison) -> bytes:
    """The scenario, and for each policy its metrics with intervals and closed form."""
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "scenario": comparison.scenario.model_dump(mode="json"),
                "policies": [_policy(comparison, result) for result in comparison.results],
            }
        ),
        indent=2,
    )


def _policy(comparison: Comparison, result: Result) -> dict[str, Any]:
    expected = expectation(comparison.scenario, result.policy)
    return {
        "policy": result.label,
        "metrics": {name: _interval(result, name) for name in comparison.metrics()},
        "theory": None
        if expected is None
        else {"model": expected.model, "exact": expected.exact, "metrics": expected.metrics},
        "tenants": [outcome.tenants for outcome in result.outcomes],
        "utilisation": [outcome.utilisation for outcome in result.outcomes],
        "events": sum(outcome.events for outcome in result.outcomes),
        "cpu_s": sum(outcome.cpu_s for outcome in result.outcomes),
    }


def _interval(result: Result, metric: str) -> dict[str, Any]:
    measured = result.interval(metric)
    return {
        "mean": _known(measured.mean),
        "half_width": _known(measured.half_width),
        "values": [_known(outcome.metrics[metric]) for outcome in result.outcomes],
    }


def _known(value: float) -> float | None:
    return None if isnan(value) else value
