"""Limits over all workers of a balancer, and a budget that outlives a restart."""

from pathlib import Path
from typing import Any

from tests.harness.balancer import Balancer
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve

KEY = "k" * 40
HEADER = f"X-API-Key: {KEY}"


def asked(balancer: Balancer, times: int) -> int:
    """How many of so many requests are let through, each on a connection of its own."""
    passed = 0
    for _ in range(times):
        client = balancer.connect()
        passed += client.get("/", HEADER).status == 200
        client.close()
    return passed


def told(balancer: Balancer) -> dict[str, int]:
    """Requests by tenant, as the supervisor knows of them."""
    rows = balancer.ask("/api/v1/usage")[1]["rows"]
    return {row["tenant"]: row["requests"] for row in rows}


def test_workers_share_a_budget_and_it_is_what_it_was_after_a_restart(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    tenant: dict[str, Any] = {
        "keys": {"ci": {"key": KEY}},
        "budgets": {"requests": 30, "per": "ever"},
    }
    document = {
        "endpoints": [endpoint.name],
        "tenants": {"acme": tenant},
        "state": str(tmp_path / "state"),
        "workers": 2,
    }
    balancer = serve(document)
    first = asked(balancer, 20)
    assert first == 20
    wait_until(lambda: told(balancer) == {"acme": 20}, "usage is told")
    balancer.stop()
    balancer.restart()
    assert 8 <= asked(balancer, 20) <= 10  # a slice may lie with the other worker for a moment
    assert told(balancer).keys() == {"acme"}
