"""Grafana dashboards for traffic, endpoints and language models, and alert rules for Prometheus.

    python -m deploy.grafana.boards --write

writes them beside this file. They are made from the metrics' own catalogue: a panel about a metric
that does not exist, or about a label that it does not have, cannot be made.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.grafana.alerts import alert_rules
from deploy.grafana.catalogue import Query, meaning

HERE: Final = Path(__file__).parent
_WIDTH: Final = 24  # of Grafana's grid
_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_OF_POOLS: Final = 'instance=~"$instance", pool=~"$pool"'
_OF_ENDPOINTS: Final = f'{_OF_POOLS}, endpoint=~"$endpoint"'

Object = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One chart: a title, the metric whose meaning it has, and queries with their legends."""

    title: str
    metric: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    width: int = 8
    stacked: bool = False
    kind: str = "timeseries"


def traffic() -> Iterator[Panel]:
    """What clients ask for and get."""
    query = Query(_OF_POOLS)
    yield Panel("Requests", "requests", ((query.rate("requests", "pool"), "{{pool}}"),), "reqps")
    yield Panel(
        "Responses by class",
        "responses",
        ((query.rate("responses", "class"), "{{class}}"),),
        "reqps",
        stacked=True,
    )
    failed = query.rate("responses", "pool", 'class="5xx"')
    share = f"{failed} / {query.rate('responses', 'pool')}"
    yield Panel("Share of 5xx", "responses", ((share, "{{pool}}"),), "percentunit")
    for phase in ("total", "first_byte", "queue"):
        quantiles = tuple(
            (query.quantile(q, f"{phase}_seconds", "pool"), f"{{{{pool}}}} p{q * 100:g}")
            for q in (0.5, 0.99)
        )
        yield Panel(f"{phase.replace('_', ' ').title()}", f"{phase}_seconds", quantiles, "s")
    yield Panel(
        "In flight",
        "endpoint_in_flight",
        ((query.now("endpoint_in_flight", "pool"), "{{pool}}"),),
    )
    yield Panel(
        "Waiting for admission",
        "admission_waiting",
        ((query.now("admission_waiting", "pool"), "{{pool}}"),),
    )
    yield Panel(
        "Turned away",
        "admission_refused",
        ((query.rate("admission_refused", "pool, reason"), "{{pool}} {{reason}}"),),
        "reqps",
    )
    failures = tuple(
        (query.rate(name, "pool"), f"{{{{pool}}}} {name.replace('_', ' ')}")
        for name in ("retries", "retries_denied", "no_endpoint", "cut_responses", "client_gone")
    )
    yield Panel("Retries, and what ended otherwise", "retries", failures, "reqps", width=12)
    yield Panel(
        "Clients connected",
        "connections",
        ((query.now("connections", "worker"), "worker {{worker}}"),),
        width=6,
        stacked=True,
    )
    yield Panel(
        "Bytes to clients",
        "client_sent_bytes",
        (
            (query.rate("client_sent_bytes"), "sent"),
            (query.rate("client_received_bytes"), "received"),
        ),
        "Bps",
        width=6,
    )
    saved = tuple(
        (query.rate(f"compression_{way}_bytes", "coding"), f"{{{{coding}}}} {told}")
        for way, told in (("input", "before"), ("output", "after"))
    )
    yield Panel("Compressed", "compression_input_bytes", saved, "Bps", width=12)
    passed = query.rate("uncompressed_answers", "reason")
    yield Panel(
        "Passed as they came", "uncompressed_answers", ((passed, "{{reason}}"),), "reqps", width=12
    )
    yield Panel(
        "Endpoints wanted and there",
        "scale_desired",
        (
            (query.now("scale_desired", "pool"), "{{pool}} wanted"),
            (query.now("scale_actual", "pool"), "{{pool}} there"),
            (query.now("scale_ahead", "pool"), "{{pool}} foreseen"),
        ),
        width=12,
    )
    forecast = query.now("forecast_requests_per_second", "pool, quantile", where='model=""')
    yield Panel(
        "Requests expected",
        "forecast_requests_per_second",
        ((forecast, "{{pool}} {{quantile}}"), (query.rate("requests", "pool"), "{{pool}} now")),
        "reqps",
        width=12,
    )


def endpoints() -> Iterator[Panel]:
    """Each endpoint beside the others."""
    query = Query(_OF_ENDPOINTS)
    by = "pool, endpoint"
    name = "{{pool}}/{{endpoint}}"
    yield Panel(
        "Available",
        "endpoint_available",
        ((query.now("endpoint_available", by, "min"), name),),
        kind="state-timeline",
        width=24,
    )
    gauges = (
        ("In flight", "endpoint_in_flight"),
        ("Weight", "endpoint_weight"),
        ("Open circuits", "endpoint_circuit_open"),
    )
    rates = (
        ("Requests", "endpoint_requests", "reqps"),
        ("Failed requests", "endpoint_failed_requests", "reqps"),
        ("Connections opened", "endpoint_connections", "cps"),
        ("Bytes received", "endpoint_received_bytes", "Bps"),
        ("Ejections", "endpoint_ejections", "short"),
    )
    for title, metric, unit in rates[:2]:
        yield Panel(title, metric, ((query.rate(metric, by), name),), unit)
    kinds = f"{by}, kind"
    yield Panel(
        "Failures by kind",
        "endpoint_failures",
        ((query.rate("endpoint_failures", kinds), name + " {{kind}}"),),
        "reqps",
    )
    for title, metric in gauges:
        yield Panel(title, metric, ((query.now(metric, by), name),))
    for title, metric, unit in rates[2:]:
        yield Panel(title, metric, ((query.rate(metric, by), name),), unit)


def models() -> Iterator[Panel]:
    """What users of language models feel, and what engines do."""
    pools, each = Query(_OF_POOLS), Query(_OF_ENDPOINTS)
    by, name = "pool, endpoint", "{{pool}}/{{endpoint}}"
    for title, metric in (("First token", "first_token"), ("Time per token", "token")):
        quantiles = tuple(
            (pools.quantile(q, f"{metric}_seconds", "pool"), f"{{{{pool}}}} p{q * 100:g}")
            for q in (0.5, 0.9, 0.99)
        )
        yield Panel(title, f"{metric}_seconds", quantiles, "s", width=12)
    for title, metric in (("Prompt tokens", "prompt_tokens"), ("Output tokens", "output_tokens")):
        shown = ((pools.rate(metric, "pool, model"), "{{pool}} {{model}}"),)
        yield Panel(title, metric, shown, "short", stacked=True)
    cached = f"{pools.rate('cached_tokens', 'pool')} / {pools.rate('prompt_tokens', 'pool')}"
    yield Panel(
        "Prompt tokens found cached", "cached_tokens", ((cached, "{{pool}}"),), "percentunit"
    )
    judged = each.rate("endpoint_prefix_judged_prompt_tokens", by)
    found = each.rate("endpoint_prefix_cached_tokens", by)
    predicted = each.rate("endpoint_prefix_predicted_tokens", by)
    yield Panel(
        "Cache hits found and predicted",
        "endpoint_prefix_predicted_tokens",
        (
            (f"{found} / {judged}", f"{name} found"),
            (f"{predicted} / {judged}", f"{name} predicted"),
        ),
        "percentunit",
        width=12,
    )
    gauges = (
        ("KV cache in use", "endpoint_engine_kv_usage", "percentunit"),
        ("Running in the engine", "endpoint_engine_running", "short"),
        ("Waiting in the engine", "endpoint_engine_waiting", "short"),
        ("Not sent by this balancer", "endpoint_engine_foreign", "short"),
        ("Load unknown", "endpoint_engine_silent", "short"),
        ("Predicted hits ignored", "endpoint_hit_distrust", "percentunit"),
    )
    for title, metric, unit in gauges:
        yield Panel(
            title, metric, ((each.now(metric, by), name),), unit, width=12 if unit == "" else 8
        )


BOARDS: Final = {
    "traffic": ("Penstock: traffic", traffic, ()),
    "endpoints": ("Penstock: endpoints", endpoints, ("endpoint",)),
    "language-models": ("Penstock: language models", models, ("endpoint",)),
}


def board(name: str) -> Object:
    """One dashboard, as Grafana imports it."""
    title, panels, further = BOARDS[name]
    return {
        "uid": f"penstock-{name}",
        "title": title,
        "tags": ["penstock"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "dashboards", "tags": ["penstock"], "title": "Penstock", "asDropdown": True}
        ],
        "templating": {"list": list(_variables(further))},
        "panels": list(_placed(list(panels()))),
    }


def _variables(further: Sequence[str]) -> Iterator[Object]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    series = "penstock_endpoint_available"
    known = 'instance=~"$instance"'
    yield _variable("instance", "label_values(penstock_build_info, instance)")
    yield _variable("pool", f"label_values({series}{{{known}}}, pool)")
    for label in further:
        within = f'{known}, pool=~"$pool"'
        yield _variable(label, f"label_values({series}{{{within}}}, {label})")


def _variable(name: str, query: str) -> Object:
    return {
        "name": name,
        "label": name.title(),
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def _placed(panels: list[Panel]) -> Iterator[Object]:
    """From left to right, in rows."""
    x = y = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > _WIDTH:
            x, y = 0, y + _HEIGHT
        at = {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}
        yield _drawn(panel, number) | {"gridPos": at}
        x += panel.width


def _drawn(panel: Panel, number: int) -> Object:
    lines: Object = {
        "fillOpacity": 25 if panel.stacked else 8,
        "lineWidth": 1,
        "showPoints": "never",
    }
    if panel.stacked:
        lines["stacking"] = {"mode": "normal", "group": "A"}
    if panel.kind != "timeseries":
        lines = {"fillOpacity": 75}
    defaults: Object = {"unit": panel.unit, "custom": lines}
    if panel.unit != "s":
        defaults["min"] = 0
    if panel.kind == "state-timeline":
        shown = {
            "0": {"text": "out", "color": "red"},
            "1": {"text": "in service", "color": "green"},
        }
        defaults["mappings"] = [{"type": "value", "options": shown}]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": meaning(panel.metric),
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "expr": expr,
                "legendFormat": legend,
                "datasource": _SOURCE,
            }
            for at, (expr, legend) in enumerate(panel.queries)
        ],
    }


def written() -> dict[str, str]:
    """The files, by name."""
    made = {f"{name}.json": json.dumps(board(name), indent=1) + "\n" for name in BOARDS}
    return made | {"alerts.yaml": alert_rules()}


def main() -> None:
    """Write the files, or say which are not as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write them")
    write = parser.parse_args().write
    for name, text in written().items():
        file = HERE / name
        if write:
            file.write_text(text)
        elif not file.is_file() or file.read_text() != text:
            parser.exit(1, f"{file} is not up to date: python -m deploy.grafana.boards --write\n")


if __name__ == "__main__":
    main()
