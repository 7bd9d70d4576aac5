"""Endpoints that end as clients ask: by a request's path, or the first line of a connection."""

import base64
import hashlib
import socket
import struct
import threading
from contextlib import suppress
from typing import Final

_RESET: Final = struct.pack("ii", 1, 0)  # struct linger: on, for no time
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_HEAD_END: Final = b"\r\n\r\n"
CLOSE_FRAME: Final = b"\x88\x02\x03\xe8"
HELLO: Final = b"\x81\x05hello"
# What servers do, by protocol, once they were asked.
HTTP: Final = ("whole", "chunked", "cut", "short", "refuse", "silent", "stream")
WEBSOCKET: Final = ("echo", "ws-reset", "ws-end", "ws-close", "ws-refuse")
TCP: Final = ("echo", "reset", "end", "silent")
UDP: Final = ("reply", "silent")


def reset(sock: socket.socket) -> None:
    """Close so that the peer gets an error."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


class Servers:
    """One of HTTP/1.1 and WebSocket, one of TCP, one of UDP; on ports of their own."""

    def __init__(self) -> None:
        self._http = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._tcp = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self.http_port: int = self._http.getsockname()[1]
        self.tcp_port: int = self._tcp.getsockname()[1]
        self.udp_port: int = self._udp.getsockname()[1]
        for listening, serve in ((self._http, _serve_http), (self._tcp, _serve_tcp)):
            threading.Thread(target=_accept, args=(listening, serve), daemon=True).start()
        threading.Thread(target=self._serve_udp, daemon=True).start()

    def _serve_udp(self) -> None:
        while True:
            data, address = self._udp.recvfrom(2048)
            if data == b"reply":
                self._udp.sendto(data, address)


def _accept(listening: socket.socket, serve: "object") -> None:
    assert callable(serve)
    while True:
        sock, _ = listening.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_guarded, args=(serve, sock), daemon=True).start()


def _guarded(serve: "object", sock: socket.socket) -> None:
    assert callable(serve)
    with suppress(OSError), sock:
        serve(sock)


def _until_end(sock: socket.socket, *, echoes: bool = False) -> None:
    while data := sock.recv(65536):
        if echoes:
            sock.sendall(data)


def _serve_http(sock: socket.socket) -> None:
    received = b""
    while True:
        while _HEAD_END not in received:
            data = sock.recv(65536)
            if not data:
                return
            received += data
        head, _, received = received.partition(_HEAD_END)
        how = head.split(b" ")[1].lstrip(b"/").decode()
        if how in WEBSOCKET:
            _serve_websocket(sock, how, head, received)
            return
        if not _answer(sock, how):
            return


def _answer(sock: socket.socket, how: str) -> bool:
    """Whether the connection goes on."""
    if how == "whole":
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
        return True
    if how == "chunked":
        begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(begun + b"5\r\nwhole\r\n0\r\n\r\n")
        return True
    if how == "silent":
        _until_end(sock)
    elif how == "stream":
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            sock.sendall(b"1000\r\n" + bytes(4096) + b"\r\n")
    elif how == "refuse":
        reset(sock)
    else:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        if how == "cut":
            reset(sock)
    return False


def _serve_websocket(sock: socket.socket, how: str, head: bytes, rest: bytes) -> None:
    if how == "ws-refuse":
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        return
    fields = dict(
        line.lower().split(b": ", 1)[:1] + line.split(b": ", 1)[1:]
        for line in head.split(b"\r\n")[1:]
    )
    accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + _MAGIC).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + HELLO
    )
    if how == "echo":
        sock.sendall(rest)
        _until_end(sock, echoes=True)
    elif how == "ws-reset":
        reset(sock)
    elif how == "ws-end":
        sock.shutdown(socket.SHUT_WR)
        _until_end(sock)
    else:
        sock.sendall(CLOSE_FRAME)
        _until_end(sock)


def _serve_tcp(sock: socket.socket) -> None:
    received = b""
    while b"\n" not in received:
        data = sock.recv(65536)
        if not data:
            return
        received += data
    how, _, rest = received.partition(b"\n")
    if how == b"echo":
        sock.sendall(rest)
        _until_end(sock, echoes=True)
    elif how == b"reset":
        sock.sendall(b"part")
        reset(sock)
    elif how == b"end":
        sock.shutdown(socket.SHUT_WR)
        _until_end(sock)
    else:
        _until_end(sock)
