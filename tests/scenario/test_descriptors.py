"""A full descriptor table pauses accepting; nothing is lost that was begun, and nothing spins."""

from collections.abc import Callable
from time import sleep

import pytest

from penstock.dataplane.board.layout import L_FAILURES, W_ACCEPT_PAUSES, W_CONNECTIONS
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import get
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, world

DESCRIPTORS = 64  # that the worker may open in all
CLIENTS = 100  # that come


@pytest.fixture
def bounded(start: Callable[..., Worker], endpoint: HttpEndpoint) -> Worker:
    return start(world(pool(endpoint)), descriptors=DESCRIPTORS)


def exhaust(worker: Worker) -> list[Client]:
    """More clients than the worker can accept; the later ones wait."""
    pauses = worker.count(W_ACCEPT_PAUSES)
    clients = [worker.connect() for _ in range(CLIENTS)]
    wait_until(lambda: worker.count(W_ACCEPT_PAUSES) > pauses, "accepting was paused")
    return clients


def test_accepting_pauses_and_goes_on(bounded: Worker) -> None:
    clients = exhaust(bounded)
    assert bounded.count(W_CONNECTIONS) < DESCRIPTORS
    for client in clients[:-4]:
        client.close()
    for client in clients[-4:]:
        assert client.get().status == 200


def test_pausing_costs_no_cpu(bounded: Worker) -> None:
    exhaust(bounded)
    before = bounded.cpu_s()
    sleep(0.5)  # measured is what the worker does meanwhile
    assert bounded.cpu_s() - before < 0.2


def test_clients_that_were_accepted_are_served_meanwhile(bounded: Worker) -> None:
    """Clients never take the descriptors that their own requests need."""
    for client in exhaust(bounded)[: bounded.count(W_CONNECTIONS)]:
        assert client.get().status == 200


def test_lack_of_descriptors_is_not_held_against_the_endpoint(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """Clients that all wait for an answer need more connections than may be opened."""

    def hold(connection: EndpointConnection) -> None:
        connection.receive_to_end()

    endpoint = scripted(hold)
    worker = start(world(pool(endpoint)), descriptors=24)
    clients = [worker.connect() for _ in range(CLIENTS)]
    wait_until(lambda: worker.count(W_ACCEPT_PAUSES) > 0, "accepting was paused")
    accepted = clients[: worker.count(W_CONNECTIONS)]
    for client in accepted:
        client.send(get())

    def answered() -> list[Client]:
        return [client for client in accepted if not client.is_silent(0.0)]

    wait_until(lambda: bool(answered()), "some were refused")
    assert {client.read_response().status for client in answered()} == {503}
    worker.wait_until_published()
    assert worker.load(endpoint, L_FAILURES) == 0


def test_exhaustion_again_and_again_leaks_nothing(bounded: Worker) -> None:
    before = bounded.open_descriptors()
    for _ in range(3):
        for client in exhaust(bounded):
            client.close()
        wait_until(lambda: bounded.count(W_CONNECTIONS) == 0, "every client was let go")
    assert bounded.open_descriptors() == before
    assert bounded.connect().get().status == 200
