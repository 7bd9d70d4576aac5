"""A full descriptor table pauses accepting; nothing is lost that was begun, and nothing spins."""

from collections.abc import Callable
from time import sleep

from penstock.dataplane.board import W_ACCEPT_PAUSES, W_CONNECTIONS
from tests.harness.client import Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import get
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, world

SPARE = 12  # descriptors that the worker has left for connections
MORE = 40  # clients that come


def exhaust(worker: Worker) -> list[Client]:
    """Clients that connect until the worker can accept no more, and some that wait."""
    worker.limit_descriptors(worker.open_descriptors() + SPARE)
    clients = [worker.connect() for _ in range(MORE)]
    wait_until(lambda: worker.count(W_ACCEPT_PAUSES) > 0, "accepting was paused")
    return clients


def test_accepting_pauses_and_goes_on(start: Callable[..., Worker], endpoint: HttpEndpoint) -> None:
    worker = start(world(pool(endpoint)))
    clients = exhaust(worker)
    assert worker.count(W_CONNECTIONS) < MORE
    for client in clients[: MORE - 4]:
        client.close()
    waited = clients[MORE - 4 :]
    for client in waited:
        client.send(get())
    assert [client.read_response().status for client in waited] == [200] * 4


def test_pausing_costs_no_cpu(start: Callable[..., Worker], endpoint: HttpEndpoint) -> None:
    worker = start(world(pool(endpoint)))
    exhaust(worker)
    before = worker.cpu_s()
    sleep(0.5)  # measured is what the worker does meanwhile
    assert worker.cpu_s() - before < 0.2


def test_clients_that_were_accepted_are_served_meanwhile(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """Descriptors for endpoints are kept back: whoever is in can be answered."""
    worker = start(world(pool(endpoint)))
    clients = exhaust(worker)
    for client in clients[:3]:
        assert client.get().status == 200


def test_exhaustion_again_and_again_leaks_nothing(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    before = worker.open_descriptors()
    for _ in range(3):
        for client in exhaust(worker):
            client.close()
        worker.limit_descriptors(1000)
        wait_until(lambda: worker.open_descriptors() <= before, "everything was closed")
    with worker.connect() as client:
        assert client.get().status == 200
