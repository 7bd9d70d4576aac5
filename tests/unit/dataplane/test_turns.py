"""What comes in leaves in the same turn of the loop: a worker whose events are handed out by hand.

The loopback's sockets take what is sent at once, so that what an event made leave is under way when
the call returns. Nothing waits but for the kernel to carry it over: no other event could help.
"""

import json
import os
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final, Literal

import msgspec
import pytest

from penstock.core.health.health import UP
from penstock.core.snapshot import Endpoint, Listener, PolicyChoice, Snapshot
from penstock.dataplane.board.layout import S_HEALTH, S_WEIGHT_PPM
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.client.http1 import ClientConnection
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.io.loop import WRITABLE
from penstock.dataplane.worker.serving import Worker
from tests.harness.messages import HELLO, LAST, answer, post
from tests.harness.waiting import PATIENCE_S
from tests.harness.world import listener, pool, world
from tests.scenario.certificates import Authority

EVENTS: Final = 20
STREAMED: Final = ("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
USAGES: Final = ("hidden", "asked", "off")


def chunk(number: int) -> bytes:
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "%d"}}]}\n\n' % number
    return b"%x\r\n%b\r\n" % (len(event), event)


def chat() -> bytes:
    asked = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": "the water flows through the gate"}],
    }
    body = json.dumps(asked).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    return post(*fields, body=body, target="/v1/chat/completions")


class HandDriven:
    """A client, a worker and an endpoint; each connection is told of one event when told to."""

    def __init__(self, board: Board, snapshot: Snapshot, endpoint: socket.socket) -> None:
        self.context = Context(board, 0, os.getpid())
        self.worker = Worker(self.context)
        listening = socket.create_server(("127.0.0.1", 0))
        self.address = listening.getsockname()
        self.worker.configure(msgspec.to_builtins(snapshot), ["main"], [listening.detach()])
        self.endpoint = endpoint
        self.client: socket.socket = socket.create_connection(self.address)
        assert has_come(self.worker.listeners["main"].fd)
        self.worker.listeners["main"].on_readable()
        self.peer: socket.socket | None = None  # the endpoint's side of its connection

    def of_client(self) -> ClientConnection:
        (found,) = [
            item for item in self.context.loop.by_fd.values() if isinstance(item, ClientConnection)
        ]
        return found

    def of_endpoint(self) -> Http1Connection:
        (found,) = [
            item for item in self.context.loop.by_fd.values() if isinstance(item, Http1Connection)
        ]
        return found

    def secure(self, context: ssl.SSLContext) -> None:
        """A handshake of the client, step by step."""
        self.client.setblocking(False)
        secured = context.wrap_socket(
            self.client, server_hostname="localhost", do_handshake_on_connect=False
        )
        self.client = secured
        done = False
        while not done:
            try:
                secured.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            self.of_client().on_readable()

    def ask(self, request: bytes) -> None:
        """The request as far as the endpoint."""
        self.client.setblocking(True)
        self.client.sendall(request)
        self.client.setblocking(False)
        assert has_come(self.of_client().fd)
        self.of_client().on_readable()
        self.peer, _ = self.endpoint.accept()
        # Else the kernel keeps what the endpoint sends until what it sent before is acknowledged.
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.of_endpoint().on_ready(WRITABLE)
        assert has_come(self.peer.fileno())
        assert b"\r\n\r\n" in self.peer.recv(65536, socket.MSG_DONTWAIT)  # the whole head

    def pass_on(self, data: bytes) -> bytes:
        """What the client has when the worker was told once that the endpoint sent this."""
        assert self.peer is not None
        self.peer.sendall(data)
        assert has_come(self.of_endpoint().fd)
        self.of_endpoint().on_readable()
        while True:
            try:
                return self.client.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                if not has_come(self.client.fileno()):
                    return b""

    def close(self) -> None:
        self.worker.finish()
        for item in list(self.context.loop.by_fd.values()):
            if isinstance(item, Http1Connection):
                item.close()
        for each in self.worker.listeners.values():
            each.stop()
        self.client.close()
        if self.peer is not None:
            self.peer.close()


def has_come(fd: int) -> bool:
    """Whether there is something to be read, once the kernel has carried it over."""
    return bool(select.select([fd], [], [], PATIENCE_S)[0])


Drive = Callable[..., HandDriven]


@pytest.fixture
def drive() -> Iterator[Drive]:
    with ExitStack() as cleanup:
        board = create_board(workers=1, endpoint_rows=1, pool_rows=1)
        cleanup.callback(os.close, board.fd)
        board.cells[board.state(0) + S_HEALTH] = UP
        board.cells[board.state(0) + S_WEIGHT_PPM] = 1_000_000
        endpoint = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))

        def made(listening: Listener, **settings: object) -> HandDriven:
            host, port = endpoint.getsockname()
            member = Endpoint(name="e", host=host, port=port, row=0)
            members = msgspec.structs.replace(pool(member, row=0), **settings)
            driven = HandDriven(board, world(members, listeners=[listening]), endpoint)
            cleanup.callback(driven.close)
            return driven

        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("usage", USAGES)
def test_the_head_and_each_event_leave_in_the_turn_in_which_they_came(
    drive: Drive, authority: Authority, usage: Literal["hidden", "asked", "off"], tls: bool
) -> None:
    certificates = (authority.issue("localhost"),) if tls else ()
    driven = drive(
        listener(certificates=certificates),
        kind="llm",
        usage=usage,
        policy=PolicyChoice(name="marginal-cost"),
    )
    if tls:
        driven.secure(authority.client())
    driven.ask(chat())
    head = driven.pass_on(answer(*STREAMED, body=b""))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    for number in range(EVENTS):
        assert driven.pass_on(chunk(number)) == chunk(number)
    assert driven.pass_on(LAST) == LAST


def test_head_and_first_event_of_one_segment_leave_together(drive: Drive) -> None:
    driven = drive(listener(), kind="llm")
    driven.ask(chat())
    passed = driven.pass_on(answer(*STREAMED, body=chunk(0)))
    assert passed.startswith(b"HTTP/1.1 200 OK\r\n")
    assert passed.endswith(b"\r\n\r\n" + chunk(0))


def test_what_is_no_language_model_leaves_in_the_same_turn_too(drive: Drive) -> None:
    driven = drive(listener())
    driven.ask(post("Content-Length: 2", body=b"ok"))
    assert driven.pass_on(answer("Transfer-Encoding: chunked", body=b"")).endswith(b"\r\n\r\n")
    assert driven.pass_on(HELLO) == HELLO
    assert driven.pass_on(b"5\r\nhal") == b"3\r\nhal\r\n"
    assert driven.pass_on(b"f!\r\n") == b"2\r\nf!\r\n"
    assert driven.pass_on(LAST) == LAST
