"""A fresh connection to an endpoint, of the kind that speaks what the endpoint speaks."""

import errno

from penstock.dataplane.board.layout import L_CONNECTIONS
from penstock.dataplane.endpoint.address_race import AddressRace
from penstock.dataplane.endpoint.connection import EndpointConnection
from penstock.dataplane.endpoint.connector import Connector
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.endpoint.http2 import Http2Connections, Http2EndpointConnection
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.io.loop import WRITABLE
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.proxy_protocol import ProxyHeader


def connect_http(connector: Connector) -> Http1Connection:
    """A connection to an endpoint that speaks HTTP/1.1. Raises as ``connect`` does."""
    connection = _connection(connector)
    assert isinstance(connection, Http1Connection)
    return connection


def connect(connector: Connector, client: ProxyHeader | None = None) -> EndpointStream:
    """A stream on a connection that is under way; ``await_connection`` it.

    ``client``: for whom it is, where connections begin with a PROXY header; None: for ourselves.
    Raises OSError when there is no route or no descriptor for it.
    """
    if connector.settings.proxy_version:
        return _introduced(connector, client)
    if not connector.http2:
        return _connection(connector)
    streams = connector.streams
    if not isinstance(streams, Http2Connections):
        streams = Http2Connections()
        connector.streams = streams
    joined = streams.joinable()
    if joined is not None:
        return joined
    made = _connection(connector)
    assert isinstance(made, Http2EndpointConnection)
    return streams.add(made)


def _introduced(connector: Connector, client: ProxyHeader | None) -> EndpointStream:
    """On a connection for this one stream, which tells its client."""
    made = _connection(connector)
    if client is not None:
        if client.alpn and connector.settings.speaks_http:
            # What is spoken behind the header, whatever the client speaks.
            client.alpn = b"h2" if connector.http2 else b"http/1.1"
        made.client = client
    return made.new_stream() if isinstance(made, Http2EndpointConnection) else made


def _connection(connector: Connector) -> EndpointConnection:
    loop = connector.loop
    addresses = connector.addresses
    race: AddressRace | None = None
    if len(addresses) == 1:
        address = addresses[0]
        sock: Socket = loop.system.connect(address.family, address.sockaddr)
    elif addresses:
        race = AddressRace(loop, connector.in_order())
        sock, address = race.open_next()
    else:
        raise OSError(errno.EHOSTUNREACH, connector.no_address)
    tls = None
    if connector.tls is not None:
        tls = TlsChannel(connector.tls, False, connector.server_name)
    connection: EndpointConnection
    if not connector.settings.speaks_http:
        connection = EndpointConnection(connector, sock, address, tls)
    elif connector.http2:
        connection = Http2EndpointConnection(connector, sock, address, tls)
    else:
        connection = Http1Connection(connector, sock, address, tls)
    if race is not None:
        race.begin(connection)
        connection.race = race
    connection.events |= WRITABLE
    loop.add(connection, connection.events)
    connector.open_connections += 1
    connector.endpoint.tally.bump(L_CONNECTIONS)
    return connection
