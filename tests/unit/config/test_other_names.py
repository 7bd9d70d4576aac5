"""Who comes from another balancer is told what things are called here."""

from pathlib import Path

import pytest

from penstock.config.document.model import Document
from penstock.config.document.section import sections_of
from penstock.config.load.other_names import EXPLAINED, OURS
from penstock.core.policy import policies, policy_class
from penstock.core.policy.support.other_names import _OURS, meant_by
from tests.unit.config.documents import errors_of


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("least_conn", "least-request"),
        ("leastconn", "least-request"),
        ("least-connections", "least-request"),
        ("LEAST_REQUEST", "least-request"),
        ("least-busy", "least-request"),
        ("roundrobin", "round-robin"),
        ("ROUND_ROBIN", "round-robin"),
        ("wrr", "round-robin"),
        ("ip_hash", "source-hash"),
        ("ip-hash", "source-hash"),
        ("source", "source-hash"),
        ("p2c", "power-of-two"),
        ("random two", "power-of-two"),
        ("RING_HASH", "consistent-hash"),
        ("uri", "consistent-hash"),
        ("hrw", "rendezvous"),
        ("first", "first-available"),
        ("latency-based-routing", "least-response-time"),
        ("simple-shuffle", "random"),
        ("cache_aware", "cache-aware"),
        ("prefix-aware", "marginal-cost"),
        ("prefixaware", "marginal-cost"),
        ("kvaware", "marginal-cost"),
        ("usage-based-routing", "token-load"),
    ],
)
def test_other_name_of_a_policy_leads_to_ours(given: str, ours: str) -> None:
    with pytest.raises(ValueError, match=f"'{ours}'"):
        policy_class(given)


def test_hints_name_policies_that_exist_and_no_name_of_ours_is_another() -> None:
    assert set(_OURS.values()) <= set(policies())
    assert not set(_OURS) & set(policies())
    assert all(meant_by(name) for name in _OURS)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("upstreams: {a: {}}", "did you mean 'pools'?"),
        ("backends: {a: {}}", "did you mean 'pools'?"),
        ("services: {a: {}}", "did you mean 'pools'?"),
        ("model_list: []", "did you mean 'pools'?"),
        ("entryPoints: {}", "did you mean 'listeners'?"),
        ("frontends: {}", "did you mean 'listeners'?"),
        ("locations: []", "did you mean 'routes'?"),
        ("worker_processes: 4", "did you mean 'workers'?"),
        ("servers: [a:1]", "did you mean 'endpoints'?"),
        ("balance: roundrobin", "did you mean 'policy'?"),
        ("healthCheck: /", "did you mean 'health_check'?"),
        ("health-check: /", "did you mean 'health_check'?"),
        ("pools: {a: {endpoints: [{url: a:1, maxconn: 4}]}}", "did you mean 'max_in_flight'?"),
        ("pools: {a: {endpoints: [{url: udp://a:1, max_sessions: 4}]}}", "mean 'max_in_flight'?"),
        ("pools: {a: {endpoints: [{url: a:1, max_fails: 4}]}}", "unknown key"),
        ("pools: {a: {endpoints: a:1, max_fails: 4}}", "'outlier.consecutive_failures'?"),
        ("pools: {a: {endpoints: a:1, sticky_sessions: on}}", "did you mean 'sticky'?"),
        ("pools: {a: {endpoints: a:1, timeout: 5s}}", "did you mean 'timeouts'?"),
        ("pools: {a: {endpoints: a:1, proxy_read_timeout: 5s}}", "'timeouts.first_byte'?"),
        ("routes: [{proxy_pass: a}]", "did you mean 'pool'?"),
        ("routes: [{return: 404}]", "did you mean 'respond'?"),
        ("rate_limit: 5", "rates are `limits` of a route, a pool or a tenant"),
        ("routes: [{pool: a, limit_req: 5}]", "rates are `limits` of a route"),
        ("listeners: {a: {address: a:1, whitelist: 10.0.0.0/8}}", "did you mean 'allow'?"),
        ("listeners: {a: {address: a:1, accept-proxy: on}}", "did you mean 'proxy_protocol'?"),
        ("pools: {a: {endpoints: a:1, send-proxy-v2: on}}", "did you mean 'proxy_protocol'?"),
        ("pools: {a: {endpoints: a:1, send_proxy: on}}", "did you mean 'proxy_protocol'?"),
        ("pools: {a: {endpoints: a:1, gzip: on}}", "did you mean 'compression'?"),
        ("endpoints: /run/engine.sock", "write unix:/run/engine.sock"),
        ("endpoints: http://unix:/run/engine.sock", "write unix:/run/engine.sock"),
        ("endpoints: tcp://unix:/run/db.sock", "write tcp+unix:/run/db.sock"),
        ("endpoints: a:1\nlisten: /run/lb.sock", "write unix:/run/lb.sock"),
        ("endpoints: grpc://a:1", "gRPC is spoken over HTTP/2: write h2c://"),
    ],
)
def test_other_name_of_a_key_leads_to_ours(text: str, hint: str, tmp_path: Path) -> None:
    assert any(hint in line for line in errors_of(text, tmp_path)), errors_of(text, tmp_path)


def test_keys_that_are_hinted_at_exist_and_none_of_ours_is_said_not_to() -> None:
    keys = {key for section in sections_of(Document).values() for key in section.model_fields}
    assert set(OURS.values()) <= keys
    assert not set(EXPLAINED) & keys
