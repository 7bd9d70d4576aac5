"""What waits at a UDP socket: many datagrams for a system call where there is our C module for it,
else one by one.

Who sent a datagram, and to which of our addresses, is a key that costs nothing to make and means
something to its reader alone.
"""

import socket
import struct
from typing import Any, Final

from penstock._in_c import in_c
from penstock.dataplane.io.datagrams import CONTROL_BYTES, IP_PKTINFO, Control, tells_destinations
from penstock.dataplane.io.system import Socket

Datagrams = list[tuple[bytes, Any]]

# struct sockaddr_in and sockaddr_in6, ip(7) and ipv6(7); the port and the address stand there in
# the network's order.
_FAMILY: Final = struct.Struct("=H")
_NAME4: Final = struct.Struct("=H2s4s8x")
_NAME6: Final = struct.Struct("=H2sI16sI")


class DatagramReader:
    """By Python's own sockets."""

    def __init__(self, sock: Socket, most: int, buffer: bytearray) -> None:
        """``most``: that are read at once. ``buffer`` may be shared by readers."""
        self._sock: Socket = sock
        self._most: int = most
        self._buffer: bytearray = buffer
        self._view: memoryview = memoryview(buffer)
        self._tells_destinations: bool = tells_destinations(sock)

    def read(self) -> Datagrams:
        """Those that wait, with the key of each; none where there is an error."""
        found: Datagrams = []
        for _ in range(self._most):
            try:
                if self._tells_destinations:
                    size, control, _, address = self._sock.recvmsg_into(
                        [self._buffer], CONTROL_BYTES
                    )
                    key: Any = (address, control[0][2] if control else b"")
                else:
                    size, address = self._sock.recvfrom_into(self._buffer)
                    key = address
            except OSError:
                break
            found.append((bytes(self._view[:size]), key))
        return found

    def key_of(self, address: Any) -> Any:
        """That of datagrams from an address, where the socket does not tell destinations."""
        return address

    def source_of(self, key: Any) -> tuple[Any, Control]:
        """The address that a key stands for, and what had it as its destination."""
        if not self._tells_destinations:
            return key, []
        address, asked = key
        return address, _control(self._sock.family, asked)


class BatchReader(DatagramReader):
    """By ``penstock._datagrams``."""

    def __init__(self, sock: Socket, most: int, buffer: bytearray, receive: Any) -> None:
        super().__init__(sock, most, buffer)
        self._fd: int = sock.fileno()
        self._receive: Any = receive

    def read(self) -> Datagrams:
        found: Datagrams = self._receive(self._fd, self._most)
        return found

    def key_of(self, address: Any) -> Any:
        port = int(address[1]).to_bytes(2, "big")
        if len(address) == 2:
            return _NAME4.pack(socket.AF_INET, port, socket.inet_pton(socket.AF_INET, address[0]))
        host = socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0])
        return _NAME6.pack(socket.AF_INET6, port, socket.htonl(address[2]), host, address[3])

    def source_of(self, key: Any) -> tuple[Any, Control]:
        (family,) = _FAMILY.unpack_from(key)
        if family == socket.AF_INET6:
            _, port, flow, host, scope = _NAME6.unpack_from(key)
            text = socket.inet_ntop(socket.AF_INET6, host)
            address: Any = (text, int.from_bytes(port, "big"), socket.ntohl(flow), scope)
            return address, _control(family, key[_NAME6.size :])
        _, port, host = _NAME4.unpack_from(key)
        address = (socket.inet_ntop(socket.AF_INET, host), int.from_bytes(port, "big"))
        return address, _control(family, key[_NAME4.size :])


def _control(family: int, asked: bytes) -> Control:
    if not asked:
        return []
    if family == socket.AF_INET6:
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, asked)]
    return [(socket.IPPROTO_IP, IP_PKTINFO, asked)]


_datagrams: Final[Any] = in_c("_datagrams")
_RECEIVE: Final[Any] = None if _datagrams is None else _datagrams.receive


def reader_of(sock: Socket, most: int, buffer: bytearray) -> DatagramReader:
    """The one that costs the least here."""
    if _RECEIVE is None:
        return DatagramReader(sock, most, buffer)
    return BatchReader(sock, most, buffer, _RECEIVE)
