"""UDP through the whole balancer: its sockets outlive workers and reloads, and what is checked by
datagrams comes and goes."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.harness.balancer import Balancer
from tests.harness.datagrams import Answers, UdpClient, UdpEndpoint, echo
from tests.harness.waiting import wait_until

RELOADS = 30
MOST_UNDER_WAY = 100  # datagrams; fits every buffer on the way
Serve = Callable[[dict[str, Any]], Balancer]
Answering = Callable[..., UdpEndpoint]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Makes endpoints."""
    with ExitStack() as stack:
        yield lambda answers=echo: stack.enter_context(UdpEndpoint(answers))


def arena(*endpoints: UdpEndpoint, **pool: Any) -> dict[str, Any]:
    """A document of one UDP listener, on every address of IPv6 and IPv4."""
    urls = [f"udp://{each.name}" for each in endpoints]
    return {
        "listeners": {"arena": {"address": "[::]:0", "protocol": "udp", "pool": "arena"}},
        "pools": {"arena": {"endpoints": urls, **pool}},
    }


def port_of(balancer: Balancer, listener: int = 0) -> int:
    address: str = balancer.status()["listeners"][listener]["address"]
    return int(address.rpartition(":")[2])


def start(serve: Serve, document: dict[str, Any]) -> Balancer:
    return serve(document).wait_until_ready()


def test_killed_worker_is_replaced_and_its_clients_find_the_same_endpoint(
    serve: Serve, answering: Answering
) -> None:
    endpoints = [answering() for _ in range(3)]
    hashed = arena(*endpoints, policy="maglev", hash_key="source_port")
    balancer = start(serve, hashed)
    clients = [UdpClient(("127.0.0.1", port_of(balancer))) for _ in range(16)]
    before = [client.ask(b"who") for client in clients]
    assert len(set(before)) == 3
    first, second = balancer.worker_pids()
    os.kill(first, signal.SIGKILL)
    balancer.wait_for_event("worker.ready", 3)
    # What came while nobody was there waits in the socket that the supervisor keeps.
    assert [client.ask(b"who") for client in clients] == before
    assert balancer.worker_pids()[1] == second
    for client in clients:
        client.close()


def test_reply_leaves_from_the_address_of_either_family_that_was_asked(
    serve: Serve, answering: Answering
) -> None:
    endpoint = answering()
    port = port_of(start(serve, arena(endpoint)))
    for host in ("127.0.0.1", "127.0.0.3"):
        client = UdpClient((host, port))
        assert client.ask(b"hello") == endpoint.mark + b"hello"
        assert client.heard_from == (host, port)
        client.close()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.settimeout(20.0)
        six.sendto(b"hello", ("::1", port))
        data, address = six.recvfrom(100)
    assert data == endpoint.mark + b"hello"
    assert address[:2] == ("::1", port)


def test_reloads_lose_no_datagram(serve: Serve, answering: Answering) -> None:
    endpoints = [answering() for _ in range(2)]
    document = arena(*endpoints)
    balancer = start(serve, document)
    client = UdpClient(("127.0.0.1", port_of(balancer)))
    mark = client.ask(b"who").split()[0] + b" "
    heard: list[bytes] = []
    for turn in range(RELOADS):
        document["via"] = f"edge{turn}"
        balancer.write(document)
        reloading = threading.Thread(target=balancer.reload)
        reloading.start()
        sent = len(heard)
        while reloading.is_alive() or sent < 300 * turn:
            client.send(b"%d" % sent)
            sent += 1
            if sent - len(heard) >= MOST_UNDER_WAY:
                heard.append(client.receive())
        reloading.join()
        heard += client.waiting(sent - len(heard))
    assert heard == [mark + b"%d" % number for number in range(len(heard))]
    assert len(heard) >= 300 * (RELOADS - 1)
    wait_until(lambda: balancer.status()["totals"]["sessions"] == 1, "it is the same session")
    client.close()


def test_tcp_and_udp_share_a_port(serve: Serve, answering: Answering, free_port: int) -> None:
    endpoint = answering()
    document = arena(endpoint)
    address = f"127.0.0.1:{free_port}"
    document["listeners"]["arena"]["address"] = address
    document["listeners"]["web"] = {"address": address, "protocol": "http"}
    document["routes"] = [{"match": {"listeners": "web"}, "respond": {"status": 200}}]
    balancer = start(serve, document)
    assert sorted(each["scheme"] for each in balancer.status()["listeners"]) == ["http", "udp"]
    client = UdpClient(("127.0.0.1", free_port))
    assert client.ask(b"hello") == endpoint.mark + b"hello"
    client.close()
    with socket.create_connection(("127.0.0.1", free_port)) as web:
        web.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert web.recv(100).startswith(b"HTTP/1.1 200")


def test_endpoint_is_checked_by_a_datagram(serve: Serve, answering: Answering) -> None:
    answer = {b"ping": [b"pong"]}
    ill: set[str] = set()

    def answers(name: str) -> Answers:
        return lambda data: [] if name in ill else answer.get(data, [data])

    one, other = answering(answers("one")), answering(answers("other"))
    check = {
        "kind": "udp",
        "send": "ping",
        "expect": "hex:706f6e67",
        "interval": "100ms",
        "timeout": "500ms",
        "rise": 1,
        "fall": 1,
    }
    balancer = start(serve, arena(one, other, health_check=check, policy="round-robin"))
    client = UdpClient(("127.0.0.1", port_of(balancer)))
    talks_to = client.ask(b"who").split()[0]
    ill.add("one" if talks_to + b" " == one.mark else "other")
    quiet, healthy = (one, other) if talks_to + b" " == one.mark else (other, one)
    wait_until(lambda: balancer.endpoint(quiet.name)["state"] == "down", "it is down")
    assert client.ask(b"who") == healthy.mark + b"who"
    ill.clear()
    wait_until(lambda: balancer.endpoint(quiet.name)["state"] == "up", "it is up again")
    client.close()


def test_ejected_endpoint_is_taken_back_once_it_takes_datagrams(
    serve: Serve, answering: Answering
) -> None:
    alive, gone = answering(), answering()
    gone.close()
    balancer = start(serve, arena(alive, gone, policy="round-robin"))

    def is_ejected() -> bool:
        client = UdpClient(("127.0.0.1", port_of(balancer)))
        client.send(b"hello")
        client.close()
        return bool(balancer.endpoint(gone.name)["state"] == "ejected")

    wait_until(is_ejected, "it is ejected")
    with UdpEndpoint(port=gone.port):
        wait_until(lambda: balancer.endpoint(gone.name)["state"] == "up", "it is taken back")
