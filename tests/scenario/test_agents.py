"""Agents beside endpoints, in HAProxy's words, and what becomes of requests."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.harness.balancer import Balancer
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve


class Agent:
    """Says ``line`` to everybody who connects."""

    def __init__(self) -> None:
        self.line = b"ready up 100%\n"

    def __call__(self, connection: EndpointConnection) -> None:
        connection.send(self.line)


@pytest.fixture
def agent() -> Agent:
    return Agent()


def answers(balancer: Balancer, count: int) -> Counter[bytes]:
    client = balancer.connect()
    return Counter(client.get().body for _ in range(count))


def test_what_an_agent_says_decides_on_weight_and_service(
    serve: Serve,
    scripted: Callable[[Script], ScriptedEndpoint],
    endpoint: HttpEndpoint,
    agent: Agent,
) -> None:
    port = scripted(agent).port
    check = {"port": port, "interval": "20ms", "timeout": "5s"}
    main = {"endpoints": [endpoint.name], "policy": "round-robin", "agent_check": check}
    balancer = serve({"listen": "127.0.0.1:0", "pools": {"main": main}})

    def shown() -> tuple[str, float]:
        status = balancer.endpoint(endpoint.name)
        return status["state"], status["effective_weight"]

    wait_until(lambda: shown() == ("up", 1.0), "it is up")
    agent.line = b"75% maxconn:30\n"
    wait_until(lambda: shown() == ("up", 0.75), "its weight is 75%")
    status = balancer.endpoint(endpoint.name)
    assert status["max_in_flight"] == 30
    assert status["agent"] == {"said": "75% maxconn:30", "problem": ""}
    assert answers(balancer, 3) == {endpoint.name.encode(): 3}
    agent.line = b"drain #a new release\n"
    wait_until(lambda: shown()[0] == "draining", "it is draining")
    assert balancer.endpoint(endpoint.name)["reason"] == "its agent says: drain #a new release"
    assert balancer.connect().get().status == 503
    agent.line = b""
    wait_until(lambda: balancer.endpoint(endpoint.name)["agent"]["problem"] != "", "it is noticed")
    assert shown()[0] == "draining"
    agent.line = b"ready\n"
    wait_until(lambda: shown() == ("up", 0.75), "it is up")
    assert answers(balancer, 3) == {endpoint.name.encode(): 3}
