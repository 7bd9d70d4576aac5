"""Upgrades: another process of Penstock takes over from the one that serves; nothing is lost."""

from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.traffic import Traffic
from tests.scenario.conftest import Serve


def test_no_request_is_lost_over_upgrades_and_reloads(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve({"endpoints": [endpoint.name], "workers": 1})
    old = balancer.pid
    address = balancer.address()
    balancer.ask("/api/v1/weight", {"pool": "main", "endpoint": endpoint.name, "weight": 3})
    generation = balancer.status()["generation"]
    with Traffic(address) as traffic:
        traffic.wait_for_more(20)
        balancer.begin_upgrade()
        balancer.reload()
        assert balancer.wait_for_upgrade() != old
        traffic.wait_for_more(20)
        balancer.reload()
        balancer.begin_upgrade()
        balancer.wait_for_upgrade()
        traffic.wait_for_more(20)
    assert balancer.address() == address
    assert balancer.endpoint(endpoint.name)["weight"] == 3, "what operators said is handed over"
    assert balancer.status()["generation"] > generation
