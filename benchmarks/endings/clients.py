"""Clients that ask for an ending of the endpoint's, and end in a way of their own."""

import socket
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from benchmarks.endings.servers import HTTP, TCP, UDP, WEBSOCKET, reset

PATIENCE_S: Final = 10.0
_BRIEF_S: Final = 0.02  # to see some of what comes, before it ends it
_MASKED_CLOSE: Final = b"\x88\x82\0\0\0\0\x03\xe8"
_MASKED_HELLO: Final = b"\x81\x85\0\0\0\0hello"
_HANDSHAKE: Final = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
# What an endpoint that never ends by itself needs is a client that does not wait for it.
_ENDLESS: Final = ("silent", "stream", "echo")

Address = tuple[str, int]
Client = Callable[[Address, Random], None]


def _leave(sock: socket.socket, how: str, chance: Random, endless: bool) -> None:
    """End a connection."""
    leaving = chance.choice(("close", "reset", "half", "brief", "wait"))
    with suppress(OSError):
        if leaving == "half":
            sock.shutdown(socket.SHUT_WR)
        if leaving == "wait" and not endless:
            sock.settimeout(PATIENCE_S)
        elif leaving != "close":
            sock.settimeout(_BRIEF_S)
        if leaving != "close":
            while sock.recv(65536):
                pass
    if leaving == "reset":
        reset(sock)
    sock.close()


def http1(address: Address, chance: Random) -> None:
    how = chance.choice(HTTP)
    with socket.create_connection(address, PATIENCE_S) as sock, suppress(OSError):
        for _ in range(chance.randint(0, 2)):
            sock.sendall(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n")
            sock.recv(65536)
        sock.sendall(f"GET /{how} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        _leave(sock, how, chance, how in _ENDLESS)


def websocket(address: Address, chance: Random) -> None:
    how = chance.choice(WEBSOCKET)
    with socket.create_connection(address, PATIENCE_S) as sock, suppress(OSError):
        sock.sendall(f"GET /{how} HTTP/1.1\r\nHost: a\r\n{_HANDSHAKE}\r\n".encode())
        if chance.random() < 0.1:
            reset(sock)  # before it was agreed to
            return
        sock.recv(65536)
        sock.sendall(_MASKED_HELLO)
        if chance.random() < 0.4:
            sock.sendall(_MASKED_CLOSE)
        _leave(sock, how, chance, how in _ENDLESS)


def tcp(address: Address, chance: Random) -> None:
    how = chance.choice(TCP)
    with socket.create_connection(address, PATIENCE_S) as sock, suppress(OSError):
        if chance.random() < 0.9:  # else it says nothing
            sock.sendall(how.encode() + b"\nhello")
        _leave(sock, how, chance, how in _ENDLESS)


def udp(address: Address, chance: Random) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.settimeout(_BRIEF_S)
        for _ in range(chance.randint(1, 3)):
            sock.sendto(chance.choice(UDP).encode(), address)
        sock.recv(2048)


def http2(address: Address, chance: Random) -> None:
    """Requests and WebSockets on streams of one connection, which end one by one or with it."""
    with socket.create_connection(address, PATIENCE_S) as sock, suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        sock.sendall(connection.data_to_send())
        sock.settimeout(_BRIEF_S)
        _receive(sock, connection)
        for _ in range(STREAMS):
            _ask(connection, chance)
        sock.sendall(connection.data_to_send())
        for _ in range(3):
            _receive(sock, connection)
            for stream in list(connection.streams):
                _end_somehow(connection, stream, chance)
            with suppress(OSError):
                sock.sendall(connection.data_to_send())
        if chance.random() < 0.5:
            reset(sock)


STREAMS: Final = 6  # of a connection


def _ask(connection: h2.connection.H2Connection, chance: Random) -> None:
    stream = connection.get_next_available_stream_id()
    tunnels = chance.random() < 0.5
    how = chance.choice(WEBSOCKET if tunnels else HTTP)
    head = [(":scheme", "http"), (":authority", "a"), (":path", f"/{how}")]
    if tunnels:
        own = [(":method", "CONNECT"), (":protocol", "websocket"), *head]
        connection.send_headers(stream, [*own, ("sec-websocket-version", "13")])
        connection.send_data(stream, _MASKED_HELLO)
    else:
        connection.send_headers(stream, [(":method", "GET"), *head], end_stream=True)


def _receive(sock: socket.socket, connection: h2.connection.H2Connection) -> None:
    with suppress(TimeoutError, h2.exceptions.ProtocolError):
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    with suppress(h2.exceptions.ProtocolError):
                        connection.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id or 0
                        )
            if connection.data_to_send(0) is None:
                return
            sock.sendall(connection.data_to_send())
            if len(data) == 65536:
                return  # what never ends is not waited for


def _end_somehow(connection: h2.connection.H2Connection, stream: int, chance: Random) -> None:
    with suppress(h2.exceptions.ProtocolError, KeyError):
        how = chance.choice(("reset", "end", "close", "stay"))
        if how == "reset":
            connection.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        elif how == "end":
            connection.end_stream(stream)
        elif how == "close":
            connection.send_data(stream, _MASKED_CLOSE)


CLIENTS: Final[dict[str, Client]] = {
    "http1": http1,
    "http2": http2,
    "tcp": tcp,
    "udp": udp,
    "websocket": websocket,
}
ENDINGS_OF: Final = {"http2": STREAMS}  # of one call; else 1
