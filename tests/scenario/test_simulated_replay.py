"""The simulator drives what the data plane runs: a recorded run, replayed, gives the same picks.

One worker serves over loopback while endpoints are drained, weighed anew and found down. What is
recorded (when requests came, how long each was served, what became of endpoints) is all that the
simulator is given, besides the seed.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import HashKey
from penstock.dataplane.board.layout import S_DRAINING, S_HEALTH, S_WEIGHT_PPM
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.messages import answer_of, get
from tests.harness.recording import read_record, recorded
from tests.harness.replay import simulated_picks
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, pool, world

SEED = 7
REQUESTS = 120
MOST_AT_ONCE = 7
USERS = 60  # so that no endpoint is without one, wherever the ports put them on the ring
# After so many requests, that happens to that endpoint.
CHANGES = {
    20: (0, S_DRAINING, 1),
    40: (1, S_WEIGHT_PPM, 3_000_000),
    55: (2, S_HEALTH, DOWN),
    70: (0, S_DRAINING, 0),
    85: (2, S_HEALTH, UP),
    100: (3, S_WEIGHT_PPM, 250_000),
}
POLICIES: dict[str, dict[str, Any]] = {
    "round-robin": {},
    "random": {},
    "least-request": {},
    "power-of-two": {},
    # Until the end: the simulated servers, as most real ones, answer all at once.
    "peak-ewma": {"measure": "total"},
    "consistent-hash": {},
}


class Traffic:
    """Up to ``MOST_AT_ONCE`` requests in flight, begun and ended one at a time."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.served_by: dict[str, EndpointConnection] = {}
        self.running: dict[str, Client] = {}
        self.free: list[Client] = []
        self.sent = 0

    def hold(self, connection: EndpointConnection) -> None:
        """The endpoints' script: each request is answered when ``end`` says so."""
        while True:
            head = connection.receive_head()
            connection.go_on.clear()
            self.served_by[head.split(b"X-Number: ")[1].split(b"\r\n")[0].decode()] = connection
            connection.go_on.wait()
            connection.send(answer_of(b"hello"))

    def begin(self, user: int) -> None:
        """Send a request and wait until an endpoint has it."""
        number = str(self.sent)
        self.sent += 1
        client = self.free.pop() if self.free else self.worker.connect()
        client.send(get("/", f"X-User: {user}", f"X-Number: {number}"))
        wait_until(lambda: number in self.served_by, f"request {number} was sent on")
        self.running[number] = client

    def end(self, number: str) -> None:
        """Have it answered, and wait until the client has the answer."""
        self.served_by[number].go_on.set()
        client = self.running.pop(number)
        assert client.read_response().status == 200
        self.free.append(client)


def play(traffic: Traffic, endpoints: list[ScriptedEndpoint], chance: Random) -> None:
    while traffic.sent < REQUESTS or traffic.running:
        may_begin = traffic.sent < REQUESTS and len(traffic.running) < MOST_AT_ONCE
        if may_begin and (not traffic.running or chance.random() < 0.6):
            if traffic.sent in CHANGES:
                which, cell, value = CHANGES[traffic.sent]
                traffic.worker.set_state("main", endpoints[which], cell, value)
            traffic.begin(chance.randrange(USERS))
        else:
            traffic.end(chance.choice(sorted(traffic.running)))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_recorded_run_replayed_in_the_simulator_gives_the_same_picks(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    tmp_path: Path,
    policy: str,
) -> None:
    file = tmp_path / "record.jsonl"
    scripts: list[Script] = []
    endpoints = [scripted(lambda connection: scripts[0](connection)) for _ in range(4)]
    members = pool(
        *endpoints,
        policy=recorded(policy, POLICIES[policy], SEED, file),
        hash_key=HashKey("header", ("x-user",)),
        retry=NEVER_REPEAT,
    )
    traffic = Traffic(start(world(members)))
    scripts.append(traffic.hold)
    play(traffic, endpoints, Random(SEED))

    record = read_record(file)
    picked = [arrival.endpoint for arrival in record.arrivals]
    assert len(picked) == REQUESTS
    assert len(record.changes) == 1 + len(CHANGES)
    assert set(Counter(picked)) == {endpoint.name for endpoint in endpoints}
    assert simulated_picks(record, policy, POLICIES[policy], SEED) == picked


def test_other_chance_other_picks(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint], tmp_path: Path
) -> None:
    """The comparison above would notice."""
    file = tmp_path / "record.jsonl"
    scripts: list[Script] = []
    endpoints = [scripted(lambda connection: scripts[0](connection)) for _ in range(4)]
    traffic = Traffic(start(world(pool(*endpoints, policy=recorded("random", {}, SEED, file)))))
    scripts.append(traffic.hold)
    for _ in range(10):
        traffic.begin(0)
    for number in sorted(traffic.running):
        traffic.end(number)
    record = read_record(file)
    picked = [arrival.endpoint for arrival in record.arrivals]
    assert simulated_picks(record, "random", {}, SEED) == picked
    assert simulated_picks(record, "random", {}, SEED + 1) != picked
