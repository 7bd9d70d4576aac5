"""Ports that stay one's own while nobody listens on them."""

from __future__ import annotations

import socket
import sys


def hold(host: str, port: int) -> tuple[int, socket.socket | None]:
    """Keep a port from being given to others, until what is returned beside it is closed.

    Connecting to it is refused. Who is to listen on it sets SO_REUSEADDR, as here. Port 0 is any
    that is free. Raises OSError where somebody listens there.
    """
    holding = socket.socket()
    try:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holding.bind((host, port))
        port = int(holding.getsockname()[1])
    except OSError:
        holding.close()
        raise
    if sys.platform != "linux":  # elsewhere this would keep out who is to listen as well
        holding.close()
        return port, None
    return port, holding
