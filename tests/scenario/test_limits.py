"""What a client may take. Limits of heads and bodies are in ``tests/security``."""

from collections.abc import Callable

import pytest

from penstock.core.snapshot import Limits, Snapshot
from penstock.dataplane.board.layout import W_CONNECTIONS, W_REFUSED_LIMIT
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, world

pytestmark = pytest.mark.both_fronts


def limited(endpoint: HttpEndpoint, **limits: int) -> Snapshot:
    return world(pool(endpoint), listeners=[listener(limits=Limits(**limits))])


def is_served(worker: Worker, source: str = "127.0.0.1") -> bool:
    """Whether a client from there gets an answer; the alternative is the end at once."""
    with worker.connect(source=source) as client:
        client.send_while_open(b"GET / HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n")
        response = client.read_response_or_end()
    return response is not None and response.status == 200


def test_connections_in_all_are_limited(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(limited(endpoint, connections=3))
    clients = [worker.connect() for _ in range(3)]
    assert [client.get().status for client in clients] == [200] * 3
    assert not is_served(worker)
    wait_until(lambda: worker.count(W_REFUSED_LIMIT) == 1, "the refusal was counted")
    clients.pop().close()
    wait_until(lambda: is_served(worker), "a place was free again")
    assert [client.get().status for client in clients] == [200] * 2


def test_connections_per_address_are_limited(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(limited(endpoint, connections_per_address=2))
    clients = [worker.connect(source="127.0.0.2") for _ in range(2)]
    assert [client.get().status for client in clients] == [200] * 2
    assert not is_served(worker, "127.0.0.2")
    assert is_served(worker, "127.0.0.3")
    clients.pop().close()
    wait_until(lambda: is_served(worker, "127.0.0.2"), "a place was free again")


@pytest.mark.parametrize("end", ["close", "reset", "half-close", "unfinished", "refused"])
def test_every_way_of_leaving_frees_a_place(
    start: Callable[..., Worker], endpoint: HttpEndpoint, end: str
) -> None:
    worker = start(limited(endpoint, connections_per_address=1))
    for _ in range(5):
        wait_until(lambda: worker.count(W_CONNECTIONS) == 0, "the client before was gone")
        with worker.connect() as client:
            if end == "refused":
                client.send(b"nonsense\r\n\r\n")
                client.read_to_end()
                continue
            if end == "unfinished":
                client.send(b"GET / HT")
                continue
            assert client.get().status == 200
            if end == "reset":
                client.reset()
            elif end == "half-close":
                client.end_sending()
                client.expect_end()
    wait_until(lambda: is_served(worker), "a place was free again")
