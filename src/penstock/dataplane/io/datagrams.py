"""What the socket module does not say of UDP on Linux: options, control messages, error queues."""

import errno
import socket
import struct
from typing import Any, Final

from penstock.dataplane.io.system import Socket

# ip(7), ipv6(7), socket(7); Python's socket module lacks these.
IP_PKTINFO: Final = 8
IP_RECVERR: Final = 11
IPV6_RECVERR: Final = 25
_SO_RCVBUFFORCE: Final = 33

MAX_DATAGRAM_BYTES: Final = 65536  # more than any holds: none is ever cut short
# Of struct in_pktinfo and in6_pktinfo, with room for a time stamp that nobody asked for.
CONTROL_BYTES: Final = 64
# Room for 200 ms of 20,000 small datagrams a second, or of 5,000; the kernel counts 1 KiB for each.
LISTENER_ROOM_BYTES: Final = 4 * 1024 * 1024
OUTLET_ROOM_BYTES: Final = 1024 * 1024
_ERROR_BYTES: Final = 512  # of control messages: struct sock_extended_err and an address
_PKTINFO4: Final = struct.Struct("=i4s4s")  # interface, our address, that of the header
_PKTINFO6: Final = struct.Struct("=16si")  # address, interface
_LINK_LOCAL: Final = b"\xfe\x80"
_ERROR_NUMBER: Final = struct.Struct("=I")  # at the beginning of struct sock_extended_err
# ICMP that says nothing of who is there: a datagram did not fit through (RFC 1191).
_HARMLESS: Final = frozenset((errno.EMSGSIZE,))

Control = list[tuple[int, int, bytes]]


def ask_for_room(sock: Socket, room_bytes: int) -> None:
    """A receive buffer of that size as far as it is allowed: for bursts, and for the time that a
    reload takes. Nothing is taken of it before it is used."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room_bytes)
    except OSError:  # it needs CAP_NET_ADMIN to go beyond net.core.rmem_max
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)


def tells_destinations(sock: Socket) -> bool:
    """Whether datagrams come with the address that they were sent to (``IP_PKTINFO``)."""
    if sock.family == socket.AF_INET6:
        return bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO))
    return bool(sock.getsockopt(socket.IPPROTO_IP, IP_PKTINFO))


def report_errors(sock: Socket, family: int) -> None:
    """Have ICMP errors queued, each with the address that it is about."""
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def reply_control(control: Control) -> Control:
    """From what came with a datagram to what has the reply leave from the address it was sent to.

    The interface is left to routing, but where an address means nothing without it.
    """
    for level, kind, data in control:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO and len(data) >= _PKTINFO4.size:
            _, ours, _ = _PKTINFO4.unpack_from(data)
            return [(level, kind, _PKTINFO4.pack(0, ours, bytes(4)))]
        if (
            level == socket.IPPROTO_IPV6
            and kind == socket.IPV6_PKTINFO
            and len(data) >= _PKTINFO6.size
        ):
            ours, interface = _PKTINFO6.unpack_from(data)
            kept = interface if ours[:2] == _LINK_LOCAL else 0
            return [(level, kind, _PKTINFO6.pack(ours, kept))]
    return []


def asked_address(control: Control) -> str:
    """The address of ours that ``reply_control`` has replies leave from; "" without any."""
    for level, _, data in control:
        if level == socket.IPPROTO_IP:
            return socket.inet_ntop(socket.AF_INET, _PKTINFO4.unpack_from(data)[1])
        return socket.inet_ntop(socket.AF_INET6, _PKTINFO6.unpack_from(data)[0])
    return ""


def queued_error(sock: Socket) -> tuple[tuple[Any, ...], int, bytes] | None:
    """The next error that ICMP told of: the address it is about, its number, and the beginning of
    the datagram. None when there is none; harmless ones are left out."""
    while True:
        try:
            data, control, _, address = sock.recvmsg(
                MAX_DATAGRAM_BYTES, _ERROR_BYTES, socket.MSG_ERRQUEUE
            )
        except OSError:
            return None
        for level, kind, body in control:
            is_error = (level == socket.IPPROTO_IP and kind == IP_RECVERR) or (
                level == socket.IPPROTO_IPV6 and kind == IPV6_RECVERR
            )
            if is_error and len(body) >= _ERROR_NUMBER.size:
                (number,) = _ERROR_NUMBER.unpack_from(body)
                if number not in _HARMLESS:
                    return address, number, data
