"""Alert rules for Prometheus: what somebody should look at, and what to do."""

import json
from dataclasses import dataclass
from typing import Any, Final

import yaml

from deploy.grafana.catalogue import Query

_HEADER: Final = """\
# Alert rules for Prometheus (rule_files), made by: python -m deploy.grafana.boards --write
"""
_WINDOW: Final = "5m"


@dataclass(frozen=True)
class Alert:
    """``then`` is what it says to a person; ``for_``: how long it has to be so."""

    name: str
    when: str
    then: str
    severity: str = "warning"
    for_: str = "5m"


def alerts() -> list[Alert]:
    """In order of harm."""
    query = Query()

    def rate(name: str, by: str = "", where: str = "") -> str:
        return query.rate(name, by, where, _WINDOW)

    by_pool, by_endpoint = "instance, pool", "instance, pool, endpoint"
    failed = rate("responses", by_pool, 'class="5xx"')
    refused = rate("reloads", "instance", 'result="failed"')
    list_ends = query.now("crl_end_timestamp_seconds", "instance, listener", "min")
    short = (
        f"{query.now('endpoint_available', by_pool)} / "
        f"{query.now('endpoint_available', by_pool, 'count')} < 0.5"
    )
    reported = rate("endpoint_prefix_judged_prompt_tokens", by_endpoint)
    found = rate("endpoint_prefix_cached_tokens", by_endpoint)
    return [
        Alert(
            "PenstockPoolWithoutEndpoint",
            f"{query.now('endpoint_available', by_pool)} == 0",
            "No endpoint of pool {{ $labels.pool }} may be picked: its clients get 503. "
            "`penstock ctl status` says of each why.",
            "critical",
            "1m",
        ),
        Alert(
            "PenstockErrors",
            f"{failed} / {rate('responses', by_pool)} > 0.05",
            "{{ $value | humanizePercentage }} of the answers of pool {{ $labels.pool }} are 5xx.",
            "critical",
        ),
        Alert(
            "PenstockWorkerDown",
            f"{query.now('worker_up', 'instance, worker', 'min')} == 0",
            "Worker {{ $labels.worker }} does not serve; the log says why it ended.",
            "critical",
            "1m",
        ),
        Alert(
            "PenstockWorkersRestart",
            f"{rate('worker_restarts', 'instance')} > 0",
            "Workers of {{ $labels.instance }} end and are restarted; the log says why.",
            for_="0m",
        ),
        Alert(
            "PenstockHalfOfPoolGone",
            short,
            "Under half of the endpoints of pool {{ $labels.pool }} may be picked.",
        ),
        Alert(
            "PenstockNoEndpointLeft",
            f"{rate('no_endpoint', by_pool)} > 0",
            "Requests for pool {{ $labels.pool }} are answered 503, as no endpoint is left to try.",
        ),
        Alert(
            "PenstockTurnedAway",
            f"{rate('admission_refused', by_pool)} > 0",
            "Pool {{ $labels.pool }} turns requests away: it is asked for more than it may take.",
        ),
        Alert(
            "PenstockRetriesDenied",
            f"{rate('retries_denied', by_pool)} > 0",
            "Pool {{ $labels.pool }} needs more retries than their budget has: its endpoints fail.",
        ),
        Alert(
            "PenstockEndpointEjected",
            f"{query.now('endpoint_ejected', by_endpoint, 'max')} == 1",
            "{{ $labels.pool }}/{{ $labels.endpoint }} is taken out: it fails more than others.",
        ),
        Alert(
            "PenstockAcceptPauses",
            f"{rate('accept_pauses', 'instance')} > 0",
            "{{ $labels.instance }} has no descriptors left for clients: raise its limit of files.",
        ),
        Alert(
            "PenstockReloadFailed",
            f"{refused} > 0",
            "{{ $labels.instance }} refused its configuration and runs the one before; "
            "`penstock check FILE` says why.",
            for_="0m",
        ),
        Alert(
            "PenstockScalingFails",
            f"{query.now('scale_failing', by_pool, 'max')} == 1",
            "Endpoints that pool {{ $labels.pool }} needs cannot be started or stopped.",
        ),
        Alert(
            "PenstockDiscoveryFails",
            f"{query.now('discovery_up', 'instance, pool, discovery', 'min')} == 0",
            "{{ $labels.discovery }} of pool {{ $labels.pool }} gives no answer that can be used; "
            "the endpoints it said last serve on.",
            for_="10m",
        ),
        Alert(
            "PenstockEngineSilent",
            f"{query.now('endpoint_engine_silent', by_endpoint, 'max')} == 1",
            "{{ $labels.pool }}/{{ $labels.endpoint }} does not report its load: requests are "
            "balanced by this balancer's own counts.",
            for_="10m",
        ),
        Alert(
            "PenstockCacheFull",
            f"{query.now('endpoint_engine_kv_usage', by_endpoint, 'max')} > 0.95",
            "The KV cache of {{ $labels.pool }}/{{ $labels.endpoint }} is full: it preempts.",
            for_="10m",
        ),
        Alert(
            "PenstockCacheHitsMissed",
            f"{found} / {reported} < 0.5 * "
            f"{rate('endpoint_prefix_predicted_tokens', by_endpoint)} / {reported}",
            "{{ $labels.pool }}/{{ $labels.endpoint }} finds under half of the cache hits that "
            "were predicted: its cache is smaller than believed, or others use it.",
            for_="15m",
        ),
        Alert(
            "PenstockRevocationsEnd",
            f"{list_ends} - time() < 86400",
            "The revocation list of listener {{ $labels.listener }} ends within a day; then no "
            "client's certificate is taken.",
            for_="0m",
        ),
    ]


def alert_rules() -> str:
    """The file."""
    rules: list[dict[str, Any]] = [
        {
            "alert": each.name,
            "expr": each.when,
            "for": each.for_,
            "labels": {"severity": each.severity},
            "annotations": {"summary": each.then},
        }
        for each in alerts()
    ]
    document = {"groups": [{"name": "penstock", "rules": rules}]}
    text: str = yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, width=100)
    return _HEADER + text
