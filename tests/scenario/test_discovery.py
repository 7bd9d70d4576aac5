"""Endpoints that are found while the balancer runs: clients meet them, and lose nothing by it."""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.harness.balancer import Balancer
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.programs import Program, program
from tests.harness.traffic import Traffic
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve

TOKEN = "a-token-of-this-test-alone"


def listed(path: Path, *endpoints: str) -> None:
    """The file says that there are these."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps([{"targets": list(endpoints)}]))
    fresh.replace(path)


def discovery(balancer: Balancer) -> dict[str, Any]:
    """What status says about the only provider."""
    [found] = balancer.status()["pools"][0]["discovery"]
    assert isinstance(found, dict)
    return found


def names(balancer: Balancer) -> list[str]:
    return sorted(each["name"] for each in balancer.status()["pools"][0]["endpoints"])


def wait_for_names(balancer: Balancer, *wanted: str) -> None:
    wait_until(lambda: names(balancer) == sorted(wanted), f"the endpoints are {wanted}")


def pool(*discover: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"pools": {"main": {"discover": list(discover), **settings}}}


def test_endpoints_of_a_file_come_and_go_as_it_changes(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    targets = tmp_path / "targets.json"
    listed(targets, endpoint.name)
    balancer = serve(pool({"file": "targets.json"}))
    client = balancer.connect()
    assert client.get().body == endpoint.name.encode()  # from the very first request
    listed(targets, other_endpoint.name)
    wait_for_names(balancer, other_endpoint.name)
    assert client.get().body == other_endpoint.name.encode()
    assert discovery(balancer)["state"] == "found"

    targets.write_text("- targets: []\n")
    wait_until(lambda: discovery(balancer)["state"] == "held", "an empty file is noticed")
    targets.write_text("endpoints: [tcp://a]\n")
    wait_until(lambda: discovery(balancer)["state"] == "failing", "a wrong file is noticed")
    assert "targets.json:1: endpoints[0]: tcp://a needs a port" in discovery(balancer)["reason"]
    targets.unlink()
    wait_until(lambda: "No such file" in discovery(balancer)["reason"], "no file is noticed")
    assert client.get().body == other_endpoint.name.encode()
    assert names(balancer) == [other_endpoint.name]
    assert balancer.reload()["ok"], "what is wrong there holds up no reload"
    assert client.get().body == other_endpoint.name.encode()


def test_a_pool_of_which_nothing_is_found_answers_503_until_it_is(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    balancer = serve(pool({"file": "later.json"}))
    client = balancer.connect()
    assert client.get().status == 503
    listed(tmp_path / "later.json", endpoint.name)
    wait_for_names(balancer, endpoint.name)
    assert client.get().status == 200


def test_no_request_is_lost_while_endpoints_come_and_go_all_the_time(
    serve: Serve, tmp_path: Path
) -> None:
    changing_always(serve, tmp_path, requests=300, generations=5)


@pytest.mark.large
def test_ten_thousand_requests_are_not_lost_while_endpoints_come_and_go(
    serve: Serve, tmp_path: Path
) -> None:
    changing_always(serve, tmp_path, requests=10_000, generations=60)


def changing_always(serve: Serve, tmp_path: Path, requests: int, generations: int) -> None:
    """Ten times a second one endpoint comes and one leaves, of which there are four at a time.

    All are one server, which has as many addresses as this machine has of itself.
    """
    targets = tmp_path / "targets.json"
    done = threading.Event()
    with HttpEndpoint(host="0.0.0.0") as server:
        port = server.name.rpartition(":")[2]

        def list_from(turn: int) -> None:
            hosts = [f"127.0.{n // 200}.{n % 200 + 2}" for n in range(turn, turn + 4)]
            listed(targets, *[f"{host}:{port}" for host in hosts])

        def change() -> None:
            turn = 0
            while not done.wait(0.1):
                turn += 1
                list_from(turn)

        list_from(0)
        balancer = serve(pool({"file": {"path": "targets.json", "interval": "20ms"}}))
        changing = threading.Thread(target=change)
        changing.start()
        try:
            with Traffic(balancer.address()) as traffic:
                wait_until(
                    lambda: (
                        (
                            traffic.answered >= requests
                            and balancer.status()["generation"] >= generations
                        )
                        or bool(traffic.failures)
                    ),
                    "so many were answered, and members changed so often",
                    timeout_s=120.0,
                )
        finally:
            done.set()
            changing.join()
        assert traffic.failures == []
        assert balancer.events("discovery.failed") == []


def test_an_operator_adds_endpoints_while_the_balancer_runs(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    document = {
        "endpoints": [endpoint.name],
        "admin": {"address": "127.0.0.1:0", "token": TOKEN},
        "state": str(tmp_path / "state"),
    }
    balancer = serve(document)
    client = balancer.connect()
    assert {client.get().body for _ in range(4)} == {endpoint.name.encode()}
    asked = {"action": "add", "pool": "main", "url": f"http://{other_endpoint.name}", "save": True}
    status, answer = balancer.ask("/api/v1/endpoint", asked)
    assert (status, answer["endpoint"]) == (200, other_endpoint.name)
    both = {endpoint.name.encode(), other_endpoint.name.encode()}
    assert {client.get().body for _ in range(8)} == both
    assert balancer.endpoint(other_endpoint.name)["source"] == "api"
    assert balancer.reload()["ok"]
    assert {client.get().body for _ in range(8)} == both  # it holds over a reload
    status, answer = balancer.ask("/api/v1/endpoint", asked)
    assert status == 400
    assert answer["error"] == f"main has {other_endpoint.name} already (api): use `change`"


def test_endpoints_are_changed_by_nobody_without_a_token(
    serve: Serve, endpoint: HttpEndpoint
) -> None:
    balancer = serve({"endpoints": [endpoint.name]})
    asked = {"action": "add", "pool": "main", "url": "http://127.0.0.1:1"}
    status, answer = balancer.ask("/api/v1/endpoint", asked)
    assert status == 403
    assert "only where an admin token is configured" in answer["error"]
    assert names(balancer) == [endpoint.name]


def test_an_operator_adds_a_pool_and_a_route_while_the_balancer_runs(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    balancer = serve(
        {
            "endpoints": [endpoint.name],
            "admin": {"address": "127.0.0.1:0", "token": TOKEN},
        }
    )
    client = balancer.connect()
    blue = {"action": "add", "pool": "blue", "settings": {"endpoints": other_endpoint.name}}
    route = "{match: {path_prefix: /blue}, pool: blue}"
    to_blue = {"action": "add", "route": "to-blue", "settings": route}
    assert balancer.ask("/api/v1/pool", blue)[0] == 200
    assert balancer.ask("/api/v1/route", to_blue)[0] == 200
    assert client.get("/blue").body == other_endpoint.name.encode()
    assert client.get("/").body == endpoint.name.encode()
    assert balancer.reload()["ok"]
    assert client.get("/blue").body == other_endpoint.name.encode()  # it holds over a reload
    status = balancer.status()
    assert [each["name"] for each in status["additions"]] == ["blue", "to-blue"]
    assert status["pools"][1]["endpoints"][0]["source"] == "api"
    removed = {"action": "remove", "route": "to-blue"}
    assert balancer.ask("/api/v1/route", removed)[0] == 200
    assert client.get("/blue").body == endpoint.name.encode()


def dnsmasq(directory: Path, port: int, *records: str) -> Program:
    """A real DNS server with these records, for a second each."""
    options = "--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --local-ttl=1 "
    options += f"--listen-address=127.0.0.1 --bind-interfaces --port={port} --pid-file= --user="
    given = [f"--{record}" for record in records]
    command = [program("dnsmasq"), *options.split(), *given]
    return Program(command, directory / "dnsmasq.log")


def test_a_real_dns_server_whose_records_change_and_that_dies(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    server = endpoint.name.rpartition(":")[2]
    many = [f"host-record=many.internal,127.1.0.{n}" for n in range(1, 101)]  # over 512 bytes
    one = "srv-host=_http._tcp.app.internal,a.internal," + server
    found = pool(
        {
            "dns": {
                "name": "_http._tcp.app.internal",
                "record": "SRV",
                "servers": f"127.0.0.1:{port}",
                "most_ttl": "1s",
                "timeout": "1s",
            }
        },
        {
            "dns": {"name": "many.internal", "record": "A", "servers": f"127.0.0.1:{port}"},
            "port": 9,
            "backup": True,
        },
    )
    with dnsmasq(tmp_path, port, one, "host-record=a.internal,127.0.0.1", *many):
        balancer = serve(found)
        client = balancer.connect()
        wait_until(
            lambda: len(names(balancer)) == 101, "all are found, by TCP where there are many"
        )
        assert client.get().status == 200
    moved = "host-record=a.internal,127.0.0.9"
    with dnsmasq(tmp_path, port, one, moved, *many):
        wait_until(lambda: f"127.0.0.9:{server}" in names(balancer), "it has moved")
        assert f"127.0.0.1:{server}" not in names(balancer)

    def states() -> set[str]:
        return {each["state"] for each in balancer.status()["pools"][0]["discovery"]}

    wait_until(lambda: "failing" in states(), "the server's death is noticed")
    assert len(names(balancer)) == 101
    assert balancer.reload()["ok"]
    assert len(names(balancer)) == 101
