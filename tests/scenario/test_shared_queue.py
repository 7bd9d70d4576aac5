"""One queue for a pool over all workers: in order, never past the bound, whoever dies."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness.balancer import Balancer
from tests.harness.client import Client
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import get
from tests.harness.waiting import wait_until

WORKERS = 3


class Turnstile:
    """An endpoint that answers one request for each permit, and counts how many are inside."""

    def __init__(self) -> None:
        self.endpoint = HttpEndpoint(self._answer)
        self.permits = threading.Semaphore(0)
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()

    def targets(self) -> list[str]:
        return [request.target for request in self.endpoint.requests]

    def _answer(self, request: Recorded) -> Answer:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self.permits.acquire()
        with self._lock:
            self._inside -= 1
        return Answer(body=request.target.encode())


@pytest.fixture
def turnstile() -> Iterator[Turnstile]:
    made = Turnstile()
    with made.endpoint:
        yield made
        made.permits.release(1000)


def document(turnstile: Turnstile, places: int) -> dict[str, Any]:
    endpoint = {"url": f"http://{turnstile.endpoint.name}", "max_in_flight": places}
    pool = {
        "endpoints": [endpoint],
        "policy": "least-request",
        "admission": {"queue": {"length": 200, "timeout": "60s"}},
    }
    return {"workers": WORKERS, "pools": {"main": pool}}


class Clients:
    """Each with a connection of its own, so that they meet different workers."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.all: list[Client] = []
        self._address = address

    def ask(self, target: str) -> Client:
        client = Client(self._address)
        self.all.append(client)
        client.send(get(target))
        return client


@contextmanager
def clients_of(balancer: Balancer) -> Iterator[Clients]:
    clients = Clients(balancer.address())
    yield clients
    for client in clients.all:
        client.close()


def waiting(balancer: Balancer) -> int:
    count: int = balancer.status()["pools"][0]["admission"]["waiting"]
    return count


def busy_workers(balancer: Balancer) -> int:
    return sum(worker["connections"] > 0 for worker in balancer.status()["workers"])


def test_a_place_goes_to_who_came_first_whichever_worker_it_waits_in(
    turnstile: Turnstile, tmp_path: Path
) -> None:
    """Each comes when the one before is known to wait. All are served in that order, but for one
    whose worker gets no processor for 100 ms: it loses that turn."""
    with Balancer(tmp_path, document(turnstile, 1)) as balancer, clients_of(balancer) as clients:
        clients.ask("/0")
        turnstile.endpoint.wait_for_requests(1)
        for number in range(1, 6):
            clients.ask(f"/{number}")
            wait_until(lambda: waiting(balancer) == len(clients.all) - 1, "it waits")
        assert busy_workers(balancer) > 1
        for number in range(1, 6):
            turnstile.permits.release()
            turnstile.endpoint.wait_for_requests(number + 1)
        turnstile.permits.release()
        for number, client in enumerate(clients.all):
            assert client.read_response().body == f"/{number}".encode()
        served = [int(target[1:]) for target in turnstile.targets()]
        assert sorted(served) == list(range(6))
        assert all(abs(place - number) <= 1 for place, number in enumerate(served))
        assert turnstile.most == 1


def test_the_bound_holds_over_all_workers_and_none_is_left_waiting(
    turnstile: Turnstile, tmp_path: Path
) -> None:
    """Thirty at once for two places; then the workers that hold them are killed, and the rest go
    on: lost is what these had, and no place."""
    with Balancer(tmp_path, document(turnstile, 2)) as balancer, clients_of(balancer) as clients:
        for number in range(30):
            clients.ask(f"/{number}")
        turnstile.permits.release(30)
        for client in clients.all:
            assert client.read_response().status == 200
        assert turnstile.most <= 2
        # No more is let through: two are inside, and the others wait.
        again = [clients.ask(f"/{number}") for number in range(12)]
        turnstile.endpoint.wait_for_requests(32)
        inside = [again[int(target[1:])] for target in turnstile.targets()[30:]]
        workers = balancer.worker_pids()
        victims = {worker_of(workers, client) for client in inside}
        survivors = [client for client in again if worker_of(workers, client) not in victims]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        turnstile.permits.release(1000)
        for client in survivors:
            assert client.read_response().status == 200
        balancer.wait_for_event("worker.ended", len(victims))
        assert clients.ask("/after").read_response().status == 200


def worker_of(workers: list[int], client: Client) -> int:
    """The pid of the worker that has the other end of the client's connection."""
    ours, theirs = client.socket.getsockname()[1], client.socket.getpeername()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    other_end = next(
        f"socket:[{row[9]}]"
        for row in rows  # of proc(5): local and remote address, and the state, 01: ESTABLISHED
        if row[1].endswith(f":{theirs:04X}") and row[2].endswith(f":{ours:04X}") and row[3] == "01"
    )
    for pid in workers:
        if other_end in descriptors(pid):
            return pid
    raise AssertionError("no worker has it")


def descriptors(pid: int) -> list[str]:
    """What they are of; those that are closed meanwhile are left out."""
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(each))
    return found
