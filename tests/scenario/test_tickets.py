"""Every ticket is settled exactly once, however a request ends."""

import random
import threading
from collections.abc import Callable

import msgspec
import pytest

from penstock.core.snapshot import Match, PoolTimeouts, Retry, Snapshot
from penstock.dataplane.board.layout import L_IN_FLIGHT, P_REQUESTS, W_CONNECTIONS
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint, refuse_connections
from tests.harness.messages import answer, answer_of, chunked_answer, get, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, pool, route, world

REQUESTS = 10_000
CLIENTS = 8
STALL_S = 0.05  # the timeout that a stalled endpoint runs into
STREAM = chunked_answer(b"5\r\nhello\r\n")

# What an endpoint does with the second word of a target; the rest is answered.
MISDEEDS: dict[bytes, bytes] = {
    b"/garbage": b"\x00garbage\r\n\r\n",
    b"/cut": STREAM,
    b"/short": answer("Content-Length: 10"),
    b"/two": answer_of(b"one") + answer_of(b"two"),
    b"/bad-chunk": chunked_answer(b"5\r\nhello\r\nzz\r\n"),
    b"/close": b"",
}
STALLS = {b"/stall": b"", b"/stall-within": STREAM, b"/half-a-head": b"HTTP/1.1 200 OK\r\nCon"}
LAST = b"0\r\n\r\n"


def misbehave(connection: EndpointConnection) -> None:
    """Does with each request what its target says."""
    while True:
        request = connection.receive_head()
        target = request.split(b" ", 2)[1]
        if b"\r\nContent-Length: 5\r\n" in request:
            connection.receive_bytes(5)
        if target in MISDEEDS:
            connection.send(MISDEEDS[target])
            return
        if target in STALLS:
            connection.send(STALLS[target])
            connection.receive_to_end()
            return
        if target == b"/reset":
            connection.reset()
            return
        if target == b"/busy":
            connection.send(answer_of(b"busy", status="503 Service Unavailable"))
        elif target == b"/stream":
            connection.send(STREAM)
            connection.send(LAST)
        else:
            connection.send(answer_of(b"done"))


TARGETS = [*MISDEEDS, *STALLS, b"/reset", b"/busy", b"/stream", b"/refused"] + [b"/"] * 12
WEIGHTS = [1] * len(MISDEEDS) + [0.1] * len(STALLS) + [1] * 4 + [1] * 12


def asked(chance: random.Random) -> bytes:
    (target,) = chance.choices(TARGETS, WEIGHTS)
    if chance.random() < 0.2:
        return post("Content-Length: 5", body=b"hello", target=target.decode())
    return get(target.decode())


def leave_before(client: Client, request: bytes) -> None:
    """With half a request sent."""
    client.send(request[: len(request) // 2])


def leave_at_once(client: Client, request: bytes) -> None:
    """With the request sent and nothing read."""
    client.send(request)


def leave_rudely(client: Client, request: bytes) -> None:
    client.send(request)
    client.reset()


def leave_within(client: Client, request: bytes) -> None:
    """After the first bytes of whatever comes."""
    client.send(request)
    client.read_some()


def leave_with_more_behind(client: Client, request: bytes) -> None:
    client.send(request * 3)


LEAVES = [leave_before, leave_at_once, leave_rudely, leave_within, leave_with_more_behind]


def stay(client: Client, request: bytes) -> bool:
    """Read the answer, or what there is of it; whether the connection may be used again."""
    if not client.send_while_open(request):
        return False
    response = client.read_response_or_end(request.split()[0].decode())
    return response is not None and not response.closes


def mix_of_endings(worker: Worker, seed: int, count: int) -> int:
    """So many requests, most read to their end, some left in every way; how many went in."""
    chance = random.Random(seed)
    client = worker.connect()
    for _ in range(count):
        request = asked(chance)
        if chance.random() < 0.15:
            chance.choice(LEAVES)(client, request)
            client.close()
            client = worker.connect()
        elif not stay(client, request):
            client.close()
            client = worker.connect()
    client.close()
    return count


@pytest.mark.large
def test_ten_thousand_requests_of_all_endings_leave_every_count_at_zero(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoints = [scripted(misbehave) for _ in range(3)]
    with refuse_connections() as bound:
        refusing = Address(bound.getsockname()[1])
        settings: dict[str, object] = {
            "timeouts": PoolTimeouts(first_byte_s=STALL_S, stream_idle_s=STALL_S),
            "retry": Retry(attempts=2, on_timeout=True),
        }
        to_nobody = route("nobody", match=Match(path_kind="exact", path="/refused"))

        def snapshot(*members: ScriptedEndpoint) -> Snapshot:
            to_main = msgspec.structs.replace(pool(*members), **settings)
            to_refusing = msgspec.structs.replace(pool(refusing, name="nobody"), **settings)
            return world(to_main, to_refusing, routes=[to_nobody, route("main", mirror="")])

        worker = start(snapshot(*endpoints))
        failures: list[BaseException] = []

        def run(seed: int) -> None:
            try:
                mix_of_endings(worker, seed, REQUESTS // CLIENTS)
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for members in (endpoints[:2], endpoints[1:], endpoints):
                worker.apply(snapshot(*members))
                threads[0].join(0.05)
        assert failures == []
        worker.apply(snapshot(*endpoints))
        worker.wait_until_idle()
        wait_until(lambda: worker.count(W_CONNECTIONS) == 0, "every client was let go")
        worker.wait_until_published()
        assert worker.pool_count(P_REQUESTS) > REQUESTS / 2
        for endpoint in endpoints:
            assert endpoint.requests_begun > REQUESTS / 10
            assert worker.load(endpoint, L_IN_FLIGHT) == 0
