"""What TCP tells of a request under which its connection ended."""

import socket
import sys
from typing import Final

from penstock.dataplane.io.system import Socket

# Of Linux' struct tcp_info (linux/tcp.h): its first byte, and tcpi_bytes_acked with what is before.
_TCP_CLOSE: Final = 7
_BYTES_ACKED_AT: Final = 120
_TCP_INFO_BYTES: Final = 128


def never_arrived(sock: Socket, sent_before: int) -> bool:
    """Whether nobody can have read any of a request; ``sent_before``: bytes of those before it.

    So it is when the endpoint's FIN came, which acknowledges what had arrived before it, then a RST
    for what arrived after (so that nobody reads that), and no byte of the request was acknowledged:
    the "means to detect that the original request was never applied" of RFC 9112, 9.3.1. A RST
    alone does not show it: closing with unread data is told by one, too.
    """
    try:
        if sock.recv(1) != b"":
            return False
        info: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return False
    if len(info) < _TCP_INFO_BYTES or info[0] != _TCP_CLOSE:
        return False
    acknowledged = int.from_bytes(info[_BYTES_ACKED_AT:_TCP_INFO_BYTES], sys.byteorder)
    return acknowledged == sent_before + 1  # the SYN counts as one
