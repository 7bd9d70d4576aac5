"""A balancer that grows a thousandfold by a reload, and a successor that takes it over then."""

import signal
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.harness.balancer import Balancer
from tests.harness.client import Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve

pytestmark = pytest.mark.large

ENDPOINTS = 4200
POOLS = 300
PATIENCE_S = 60.0  # files of this size take seconds to read


def grown(endpoint: HttpEndpoint, port: int) -> dict[str, object]:
    """Very many endpoints, and a late pool among very many that is sent requests."""
    many = [{"name": f"e{number}", "url": "127.0.0.1:9"} for number in range(ENDPOINTS)]
    pools = {f"p{number}": {"endpoints": [endpoint.name]} for number in range(POOLS)}
    return {
        "listen": f"127.0.0.1:{port}",
        "pools": {"main": {"endpoints": [endpoint.name]}, "many": {"endpoints": many}, **pools},
        "routes": [
            {"match": {"path_prefix": "/late"}, "pool": f"p{POOLS - 1}"},
            {"pool": "main"},
        ],
    }


def metric(balancer: Balancer, line: str) -> int:
    with urlopen(f"{balancer.admin_url}/metrics") as answer:
        for each in answer.read().decode().splitlines():
            if each.startswith(line):
                return int(float(each.rpartition(" ")[2]))
    raise AssertionError(f"no metric {line}")


def test_one_endpoint_becomes_thousands_without_a_restart_and_a_successor_takes_over(
    serve: Serve, endpoint: HttpEndpoint, free_port: int
) -> None:
    balancer = serve({"endpoints": [endpoint.name], "listen": f"127.0.0.1:{free_port}"})
    workers = balancer.worker_pids()
    client = balancer.connect()
    assert client.get().status == 200

    balancer.write(grown(endpoint, free_port))
    balancer.signal(signal.SIGHUP)
    wait_until(lambda: balancer.has_said("reload"), "it has grown", timeout_s=PATIENCE_S)
    assert balancer.worker_pids() == workers, "nothing was restarted"
    for _ in range(3):
        assert client.get("/late").status == 200
    requests = f'penstock_requests_total{{pool="p{POOLS - 1}"}}'
    wait_until(lambda: metric(balancer, requests) == 3, "the late pool's requests are counted")
    last = f'penstock_endpoint_available{{endpoint="e{ENDPOINTS - 1}",pool="many"}}'
    assert metric(balancer, last) == 1

    balancer.signal(signal.SIGKILL)
    balancer.wait_for_exit(-signal.SIGKILL)
    assert client.get("/late").status == 200
    balancer.restart()
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers),
        "the workers before have finished",
        timeout_s=PATIENCE_S,
    )
    with Client(balancer.address()) as fresh:
        assert fresh.get("/late").status == 200
    wait_until(lambda: metric(balancer, requests) == 1, "the successor counts")
