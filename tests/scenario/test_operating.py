"""What an operator sees and does: health, ejection, drain, weights, metrics, ctl."""

import urllib.request
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import penstock_command
from tests.harness.balancer import Balancer
from tests.harness.endpoint import (
    EndpointConnection,
    Script,
    ScriptedEndpoint,
    refuse_connections,
)
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import answer_of, get
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve

CHECK = {"path": "/health", "interval": "50ms", "fast_interval": "20ms", "timeout": "5s"}


def answers(balancer: Balancer, count: int = 10) -> set[bytes]:
    """Who answers that many requests, each on a connection of its own."""
    bodies = set()
    for _ in range(count):
        with balancer.connect() as client:
            response = client.get()
            assert response.status == 200, response
            bodies.add(response.body)
    return bodies


def ctl(balancer: Balancer, *arguments: str) -> Result:
    return CliRunner().invoke(
        penstock_command, ["ctl", "--admin", balancer.admin_url, *arguments], prog_name="penstock"
    )


def test_an_endpoint_that_fails_its_checks_gets_no_requests_until_it_recovers(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    both = {endpoint.name.encode(), other_endpoint.name.encode()}
    balancer = serve({"endpoints": [endpoint.name, other_endpoint.name], "health_check": CHECK})
    wait_until(lambda: balancer.endpoint(endpoint.name)["state"] == "up", "it is up")
    healthy = endpoint.answer
    endpoint.answer = lambda request: Answer(status=503)
    wait_until(lambda: balancer.endpoint(endpoint.name)["state"] == "down", "it is down")
    assert balancer.endpoint(endpoint.name)["reason"] == (
        "3 checks in a row failed, last: answered 503, not 200–399"
    )
    assert answers(balancer) == {other_endpoint.name.encode()}
    endpoint.answer = healthy
    wait_until(lambda: balancer.endpoint(endpoint.name)["state"] == "up", "it is up again")
    assert answers(balancer) == both


def test_an_endpoint_that_fails_requests_is_ejected(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda request: Answer(status=500)
    balancer = serve(
        {
            "listen": "127.0.0.1:0",
            "pools": {
                "main": {
                    "endpoints": [endpoint.name, other_endpoint.name],
                    "policy": "round-robin",
                }
            },
        }
    )
    client = balancer.connect()

    def is_ejected() -> bool:
        client.get()
        return bool(balancer.endpoint(endpoint.name)["state"] == "ejected")

    wait_until(is_ejected, "it is ejected")
    assert "failures in a row" in balancer.endpoint(endpoint.name)["reason"]
    assert answers(balancer) == {other_endpoint.name.encode()}
    metrics = metric_lines(balancer)
    labels = f'endpoint="{endpoint.name}",pool="main"'
    assert f"penstock_endpoint_ejections_total{{{labels}}} 1.0" in metrics
    assert f"penstock_endpoint_available{{{labels}}} 0.0" in metrics


def test_dead_endpoints_are_out_however_many_they_are_until_they_listen_again(
    serve: Serve, endpoint: HttpEndpoint
) -> None:
    with ExitStack() as stack:
        bound = [stack.enter_context(refuse_connections()) for _ in range(3)]
        dead = [f"127.0.0.1:{each.getsockname()[1]}" for each in bound]
        balancer = serve({"endpoints": [*dead, endpoint.name], "workers": 1})

        def are_ejected() -> bool:
            assert answers(balancer, 5) == {endpoint.name.encode()}
            return all(balancer.endpoint(each)["state"] == "ejected" for each in dead)

        wait_until(are_ejected, "they are ejected")
        bound[1].listen()
        wait_until(lambda: balancer.endpoint(dead[1])["state"] == "up", "it is let in")
        assert balancer.endpoint(dead[0])["state"] == "ejected"


def test_drain_ends_new_work_and_lets_running_work_finish(
    serve: Serve, scripted: Callable[[Script], ScriptedEndpoint], other_endpoint: HttpEndpoint
) -> None:
    def answer_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"at last"))

    draining = scripted(answer_when_told)
    balancer = serve({"endpoints": [draining.name], "workers": 1})
    client = balancer.connect()
    client.send(get())
    draining.connection()
    balancer.write({"endpoints": [draining.name, other_endpoint.name], "workers": 1})
    assert balancer.reload()["ok"]
    done = ctl(balancer, "drain", f"main/{draining.name}")
    assert done.output == f"main/{draining.name} is draining\n"
    assert answers(balancer) == {other_endpoint.name.encode()}
    assert balancer.endpoint(draining.name)["in_flight"] == 1
    late = ctl(balancer, "drain", "--wait", "--timeout", "1ms", f"main/{draining.name}")
    assert late.exit_code == 3
    assert "1 request is in flight there" in late.output
    draining.connection().go_on.set()
    assert client.read_response().body == b"at last"
    empty = ctl(balancer, "drain", "--wait", f"main/{draining.name}")
    assert empty.exit_code == 0
    assert "nothing is in flight there" in empty.output
    assert balancer.endpoint(draining.name)["in_flight"] == 0


def test_clients_with_a_cookie_stay_on_an_endpoint_that_drains(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """By default; a reload moves them at once."""
    main = {
        "endpoints": [endpoint.name, other_endpoint.name],
        "policy": "round-robin",
        "sticky": {"keys": "0123456789abcdef"},
    }
    balancer = serve({"pools": {"main": main}, "workers": 1})
    answer = balancer.connect().get()
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert cookie.startswith("penstock-main=")
    home, other = (each.name for each in (endpoint, other_endpoint))
    if answer.body == other.encode():
        home, other = other, home
    done = ctl(balancer, "drain", "--wait", f"main/{home}")
    assert "may come again" in done.output
    for _ in range(3):
        assert balancer.connect().get("/", f"Cookie: {cookie}").body == home.encode()
        assert balancer.connect().get().body == other.encode()
    balancer.write({"pools": {"main": main | {"drain": {"sticky": "move"}}}, "workers": 1})
    assert balancer.reload()["ok"]
    moved = balancer.connect().get("/", f"Cookie: {cookie}")
    assert moved.body == other.encode()
    assert moved.headers["set-cookie"].partition(";")[0] != cookie


def test_undrain_and_weight(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    balancer = serve({"endpoints": [endpoint.name, other_endpoint.name]})
    assert ctl(balancer, "weight", f"main/{endpoint.name}", "0").output == (
        f"main/{endpoint.name} is weightless, weight 0\n"
    )
    assert answers(balancer) == {other_endpoint.name.encode()}
    ctl(balancer, "weight", f"main/{endpoint.name}", "1")
    ctl(balancer, "drain", f"main/{other_endpoint.name}")
    assert answers(balancer) == {endpoint.name.encode()}
    done = ctl(balancer, "undrain", f"main/{other_endpoint.name}")
    assert done.output == f"main/{other_endpoint.name} is up\n"
    assert len(answers(balancer)) == 2


def test_status_for_people_and_for_programs(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve({"endpoints": [endpoint.name]})
    answers(balancer, 3)
    wait_until(lambda: balancer.status()["totals"]["requests"] == 3, "all are counted")
    table = ctl(balancer, "status")
    assert table.exit_code == 0, table.output
    assert "ready" in table.output.splitlines()[0]
    row = next(line.split() for line in table.output.splitlines() if endpoint.name in line)
    assert row[1] == "up"
    assert '"generation": 1' in ctl(balancer, "status", "--json").output


def test_commands_that_cannot_be_done_exit_with_1_and_say_why(
    serve: Serve, endpoint: HttpEndpoint
) -> None:
    balancer = serve({"endpoints": [endpoint.name]})
    wrong = ctl(balancer, "drain", "main/elsewhere:1")
    assert wrong.exit_code == 1
    assert "Error: pool 'main' has no endpoint called 'elsewhere:1'" in wrong.output
    balancer.write({"endpoints": []})
    refused = ctl(balancer, "reload")
    assert refused.exit_code == 1
    assert "penstock.yaml" in refused.output


def test_metrics_count_what_clients_got(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda request: Answer(status=404)
    balancer = serve({"endpoints": [endpoint.name]})
    client = balancer.connect()
    for _ in range(7):
        client.get()
    labels = f'endpoint="{endpoint.name}",pool="main"'
    wanted = {
        'penstock_responses_total{class="4xx",pool="main"} 7.0',
        f"penstock_endpoint_requests_total{{{labels}}} 7.0",
        f'penstock_endpoint_responses_total{{class="4xx",{labels}}} 7.0',
        'penstock_total_seconds_count{pool="main"} 7.0',
    }
    wait_until(lambda: wanted <= set(metric_lines(balancer)), "all are counted")
    lines = metric_lines(balancer)
    connections = [line for line in lines if line.startswith("penstock_connections{")]
    assert sum(float(line.rpartition(" ")[2]) for line in connections) == 1


GATEWAY = {"consecutive_failures": 0, "consecutive_gateway_failures": 4}
SPLIT = {"split_local_failures": True, "consecutive_failures": 1, "interval": "200ms"}
# However few requests come within an interval, on however slow a machine.
NO_RUNS = {"consecutive_local_failures": 0, "failure_share_min_requests": 1}
RATES = {"local_failure_share": 0, "success_rate_min_endpoints": 2, "success_rate_min_requests": 1}
DETECTED = {
    "consecutive_gateway_failures": (GATEWAY, "gateway failures in a row"),
    "consecutive_local_failures": (SPLIT, "in a row without a whole response"),
    "local_failure_share": (SPLIT | NO_RUNS, "got no whole response"),
    "local_success_rate": (
        SPLIT | NO_RUNS | RATES | {"local_success_rate_stdev_factor": 0.5},
        "rate of whole responses",
    ),
}


@pytest.mark.parametrize("detector", DETECTED)
def test_an_endpoint_that_gives_no_response_is_ejected_by_the_detector_that_is_asked_to(
    serve: Serve, endpoint: HttpEndpoint, free_port: int, detector: str
) -> None:
    settings, reason = DETECTED[detector]
    name = f"127.0.0.1:{free_port}"
    pool = {"endpoints": [name, endpoint.name], "policy": "round-robin", "outlier": settings}
    balancer = serve({"listen": "127.0.0.1:0", "pools": {"main": pool}})
    client = balancer.connect()

    def is_ejected() -> bool:
        for _ in range(10):  # in one go, so that both endpoints have some in the same interval
            client.get()
        return bool(balancer.endpoint(name)["state"] == "ejected")

    wait_until(is_ejected, "it is ejected")
    assert reason in balancer.endpoint(name)["reason"]
    labels = f'detector="{detector}",pool="main"'
    assert f"penstock_outlier_ejections_total{{{labels}}} 1.0" in metric_lines(balancer)


def metric_lines(balancer: Balancer) -> list[str]:
    with urllib.request.urlopen(balancer.admin_url + "/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text.splitlines()
