"""A pool that an operator set aside: a page for new requests, and an end for those that run."""

import os
import signal
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from penstock.cli.main import penstock_command
from penstock.core.snapshot import ErrorPage, Maintenance
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, world
from tests.scenario.conftest import Serve

BROWSER = "Accept: text/html,*/*;q=0.8"
PAGE = ErrorPage((503,), html="<p>page</p>")


@pytest.mark.both_fronts
def test_requests_that_run_finish_and_new_ones_get_the_page(
    start: Callable[..., Worker], scripted: Callable[..., ScriptedEndpoint]
) -> None:
    def slow(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait(20)
        connection.send(answer_of(b"whole"))
        connection.receive_to_end()

    endpoint = scripted(slow)
    served = pool(endpoint, error_pages=(PAGE,))
    worker = start(world(served))
    running = worker.connect()
    running.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_until(lambda: endpoint.requests_begun > 0, "the request is there")

    aside = pool(endpoint, error_pages=(PAGE,), maintenance=Maintenance(retry_after_s=120))
    worker.apply(world(aside))
    refused = worker.connect().get("/", BROWSER)
    endpoint.connection().go_on.set()

    assert (refused.status, refused.body) == (503, b"<p>page</p>")
    assert refused.headers.all("retry-after") == ["120"]
    assert running.read_response().body == b"whole"


@pytest.mark.both_fronts
def test_the_operators_text_goes_before_the_page(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    text = Maintenance("Back at <noon>.")
    worker = start(world(pool(endpoint, error_pages=(PAGE,), maintenance=text)))
    client = worker.connect()

    shown = client.get("/", BROWSER)
    plain = client.get("/")
    for_programs = client.get("/", "Accept: application/json")
    called = client.request(
        post("Content-Type: application/grpc", "Content-Length: 0", target="/a.B/C")
    )

    assert b"<p>Back at &lt;noon&gt;." in shown.body
    assert plain.body == b"Back at <noon>.\n"
    assert b'"message": "Back at <noon>.", "type": "maintenance"' in for_programs.body
    assert called.headers.all("grpc-status") == ["14"]
    assert not endpoint.requests


def test_an_operator_sets_a_pool_aside_until_it_is_put_back(
    serve: Serve, endpoint: HttpEndpoint
) -> None:
    """Over the end of a worker and a reload."""
    balancer = serve({"endpoints": [endpoint.name], "workers": 1})

    def ctl(*arguments: str) -> str:
        given = ["ctl", "--admin", balancer.admin_url, *arguments]
        result = CliRunner().invoke(penstock_command, given, prog_name="penstock")
        assert result.exit_code == 0, result.output
        return result.output

    assert ctl("maintenance", "main", "on", "--text", "at noon") == "clients of main get 503\n"
    os.kill(balancer.worker_pids()[0], signal.SIGKILL)
    balancer.wait_for_event("worker.ended")
    balancer.reload()
    balancer.wait_until_ready()
    with balancer.connect() as client:
        answered = client.get()
    assert (answered.status, answered.body) == (503, b"at noon\n")
    assert balancer.status()["pools"][0]["maintenance_since"]
    assert "in maintenance" in ctl("status")

    assert ctl("maintenance", "main", "off") == "clients of main are served\n"
    with balancer.connect() as client:
        assert client.get().status == 200
