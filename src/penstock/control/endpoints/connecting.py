"""Connections of the supervisor to endpoints, over whichever of their addresses works."""

import asyncio
import socket
from typing import Final

import aiohappyeyeballs

from penstock.core.snapshot import Endpoint
from penstock.core.snapshot.address import LOCAL_HOST, socket_path

_NEXT_ATTEMPT_S: Final = 0.25  # RFC 8305, 5, and as workers have it


class Connector:
    """Tries the address first that worked last."""

    def __init__(self) -> None:
        self._worked: dict[tuple[str, int], str] = {}

    async def connect(self, endpoint: Endpoint, port: int) -> socket.socket:
        """A connected socket. Raises OSError.

        Other ports of a server behind a socket file are on this machine.
        """
        hosts = endpoint.addresses or (endpoint.host,)
        if path := socket_path(endpoint.host):
            if port == endpoint.port:
                return await _connected_to_file(path)
            hosts = (LOCAL_HOST,)
        if endpoint.no_address:
            raise OSError(endpoint.no_address)
        worked = self._worked.get((endpoint.host, port))
        if worked in hosts:
            hosts = (worked, *[host for host in hosts if host != worked])
        infos = [
            info
            for host in hosts
            for info in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        ]
        sock = await aiohappyeyeballs.start_connection(
            infos, happy_eyeballs_delay=_NEXT_ATTEMPT_S, loop=asyncio.get_running_loop()
        )
        if len(hosts) > 1:
            self._worked[endpoint.host, port] = str(sock.getpeername()[0])
        return sock


async def _connected_to_file(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock
