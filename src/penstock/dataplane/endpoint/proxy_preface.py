"""The PROXY header that goes first on a connection to an endpoint, before TLS."""

from typing import Any, Final

from penstock.core.snapshot.address import LOCAL_HOST
from penstock.dataplane.io.system import Socket
from penstock.wire.proxy_protocol import PROXY, TCP, ProxyHeader
from penstock.wire.proxy_writing import V1_UNKNOWN, V2_LOCAL, write_v1, write_v2

# What ``proxy_protocol`` of a pool says, as a number; 0: there is no header.
PROXY_VERSIONS: Final = {"off": 0, "v1": 1, "v2": 2}
_MAPPED: Final = "::ffff:"  # IPv4 on a socket that takes both


def proxy_preface(version: int, client: ProxyHeader | None, sock: Socket) -> bytes:
    """The header for ``client``; where it is None, for a connection of our own, such as a check.

    Version 1 has no word for those: it gets the connection's own addresses, as HAProxy's checks
    send them, because some servers refuse UNKNOWN.
    """
    if version == 2:
        return write_v2(client) if client is not None else V2_LOCAL
    if client is not None:
        return write_v1(client)
    try:
        return write_v1(between(sock.getsockname(), sock.getpeername()))
    except OSError:  # it broke meanwhile
        return V1_UNKNOWN


def between(source: Any, destination: Any) -> ProxyHeader:
    """A header that tells of a connection, by the addresses that sockets have.

    Who uses a socket file, which has a path in place of them, is on this machine.
    """
    if not isinstance(source, tuple) or not isinstance(destination, tuple):
        source = destination = (LOCAL_HOST, 0)
    return ProxyHeader(
        PROXY,
        TCP,
        source[0].removeprefix(_MAPPED),
        source[1],
        destination[0].removeprefix(_MAPPED),
        destination[1],
    )
