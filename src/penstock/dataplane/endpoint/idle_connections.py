"""The idle connection that a request takes."""

from typing import Final

from penstock.dataplane.endpoint.connector import Connector
from penstock.dataplane.endpoint.http1 import Http1Connection

# An idle connection is believed to be alive for this long; the loop tells of those that close.
_FRESH_S: Final = 1.0


def take_idle(connector: Connector, now: float, once: bool) -> Http1Connection | None:
    """The one used last, which is the likeliest to be alive; None when there is none to be used.

    ``once``: the request cannot be sent twice, so the connection must be one that the endpoint is
    not about to close, as far as its history tells (``core.reuse``).
    """
    idle = connector.idle
    if not once:
        connection = idle.pop()
        assert isinstance(connection, Http1Connection)
        if now - connection.idle_since < _FRESH_S or connection.survived():
            return connection
        return None
    history = connector.reuse
    for at in range(len(idle) - 1, -1, -1):
        connection = idle[at]
        assert isinstance(connection, Http1Connection)
        idle_s = now - connection.idle_since
        if idle_s < history.rest_s(connection.streamed):
            continue
        if history.is_too_old(idle_s):
            return None  # those before it are older still
        del idle[at]
        if idle_s < _FRESH_S or connection.survived():
            return connection
        return None
    return None
