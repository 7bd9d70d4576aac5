"""Sending as much as the other side takes, and no more."""

import fcntl
import select
import socket
import struct
import termios

from tests.harness.waiting import wait_until


def send_repeated(
    sock: socket.socket, piece: bytes, start: int, end: int, blocked_for_s: float
) -> int:
    """Send bytes ``start`` to ``end`` of ``piece`` repeated for ever.

    Returns how far it came: less than ``end`` when no byte was taken for that long.
    """
    position = start
    before = sock.gettimeout()
    sock.setblocking(False)
    try:
        while position < end:
            if not select.select([], [sock], [], blocked_for_s)[1]:
                break
            offset = position % len(piece)
            try:
                position += sock.send(piece[offset : offset + end - position])
            except BlockingIOError:
                continue
    finally:
        sock.settimeout(before)
    return position


def wait_until_taken(sock: socket.socket) -> None:
    """Wait until the other side's kernel has everything that was sent (tcp(7), SIOCOUTQ)."""

    def is_taken() -> bool:
        (waiting,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))
        return bool(waiting == 0)

    wait_until(is_taken, "everything sent was taken")


def unread_bytes(sock: socket.socket) -> int:
    """What lies in the other side's kernel and was not read yet (proc_net_tcp, rx_queue)."""
    near, far = (f":{name[1]:04X}" for name in (sock.getsockname(), sock.getpeername()))
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(far) and fields[2].endswith(near):
                return int(fields[4].partition(":")[2], 16)
    raise AssertionError("the other side's socket is not of this machine, or is gone")
