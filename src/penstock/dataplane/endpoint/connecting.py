"""A fresh connection to an endpoint, of the kind that speaks what the endpoint speaks."""

import errno
from typing import Final

from penstock.core.ticket import ABANDONED, CONNECT_FAILED
from penstock.dataplane.board.layout import L_CONNECTIONS
from penstock.dataplane.endpoint.address_race import AddressRace
from penstock.dataplane.endpoint.connection import (
    CONNECTED,
    EndpointConnection,
    ProtocolChooser,
)
from penstock.dataplane.endpoint.connector import Connector
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.endpoint.http2 import Http2Connections, Http2EndpointConnection
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.io.loop import EXHAUSTED, WRITABLE
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.proxy_protocol import ProxyHeader


def connect_http(connector: Connector) -> Http1Connection:
    """A connection to an endpoint that speaks HTTP/1.1. Raises as ``connect`` does."""
    if connector.http2:
        raise OSError(errno.EPROTONOSUPPORT, "the endpoint speaks HTTP/2")
    connection = _connection(connector)
    assert isinstance(connection, Http1Connection)
    return connection


def connect(
    connector: Connector, client: ProxyHeader | None = None, over_http1: bool = False
) -> EndpointStream:
    """A stream on a connection that is under way; ``await_connection`` it.

    ``client``: for whom it is, where connections begin with a PROXY header; None: for ourselves.
    ``over_http1``: though the endpoint would choose HTTP/2. Raises OSError when there is no route
    or no descriptor for it.
    """
    if connector.settings.proxy_version:
        return _introduced(connector, client, over_http1)
    if over_http1 or not connector.http2:
        return _connection(connector, over_http1)
    streams = _streams_of(connector)
    joined = streams.joinable()
    if joined is not None:
        return joined
    made = _connection(connector)
    assert isinstance(made, Http2EndpointConnection)
    return streams.add(made)


def _streams_of(connector: Connector) -> Http2Connections:
    streams = connector.streams
    if not isinstance(streams, Http2Connections):
        streams = Http2Connections()
        connector.streams = streams
    return streams


def _introduced(
    connector: Connector, client: ProxyHeader | None, over_http1: bool
) -> EndpointStream:
    """On a connection for this one stream, which tells its client."""
    made = _connection(connector, over_http1)
    if client is not None:
        if client.alpn and connector.settings.speaks_http:
            # What is spoken behind the header, whatever the client speaks.
            client.alpn = b"h2" if connector.http2 and not over_http1 else b"http/1.1"
            if connector.negotiates and not over_http1:
                client.alpn = b""  # that is chosen behind it
        made.client = client
    return made.new_stream() if isinstance(made, Http2EndpointConnection) else made


def _connection(connector: Connector, over_http1: bool = False) -> EndpointConnection:
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
    context = connector.tls_over_http1 if over_http1 else connector.tls
    tls = TlsChannel(context, False, connector.server_name) if context is not None else None
    connection: EndpointConnection
    if not connector.settings.speaks_http:
        connection = EndpointConnection(connector, sock, address, tls)
    elif connector.http2 and not over_http1:
        connection = Http2EndpointConnection(connector, sock, address, tls)
    else:
        connection = Http1Connection(connector, sock, address, tls)
    if over_http1:
        connection.chooser = _HTTP1_ALONE
    elif connector.negotiates:
        connection.chooser = _BY_ALPN
    if race is not None:
        race.begin(connection)
        connection.race = race
    connection.events |= WRITABLE
    loop.add(connection, connection.events)
    connector.open_connections += 1
    connector.endpoint.tally.bump(L_CONNECTIONS)
    return connection


class _ByAlpn(ProtocolChooser):
    """What an endpoint chose last is expected of it next; what it chooses now is spoken."""

    def settle(self, connection: EndpointConnection) -> bool:
        tls = connection.tls
        assert tls is not None
        connector = connection.connector
        http2 = tls.agreed_protocol() == "h2"
        if connector.negotiates and connection.address_generation == connector.address_generation:
            connector.http2 = http2
        if isinstance(connection, Http2EndpointConnection):
            if not http2:
                _go_on_over_http1(connection)
                return True
        elif http2:
            _go_on_over_http2(connection)
            return True
        return False


_BY_ALPN: Final = _ByAlpn()


class _Http1Alone(ProtocolChooser):
    """Nothing else was offered; who chooses by ALPN and not this speaks HTTP/2 alone."""

    def settle(self, connection: EndpointConnection) -> bool:
        tls = connection.tls
        if tls is not None and tls.agreed_protocol() == "http/1.1":
            return False
        connection.fail(CONNECT_FAILED, "is not spoken")
        return True


_HTTP1_ALONE: Final = _Http1Alone()


def _go_on_over_http2(before: EndpointConnection) -> None:
    sink = before.sink
    if sink is None:
        before.close()
        return
    connector = before.connector
    made = Http2EndpointConnection(connector, before.sock, before.address, before.tls)
    _put_in_place(made, before)
    stream = made.new_stream() if made.proxy_version else _streams_of(connector).add(made)
    stream.await_connection(sink, before.expires_at)
    sink.on_stream_replaced(stream)
    if made.open:  # it may have given it up
        made.connected()


def _go_on_over_http1(before: Http2EndpointConnection) -> None:
    """The first that waits has this connection; the others get one each."""
    connector = before.connector
    made: Http1Connection | None = None
    first: ResponseSink | None = None
    for stream in before.release():
        sink = stream.leave()
        if sink is None:
            continue
        if made is not None:
            _connect_anew(connector, sink, stream.expires_at())
            continue
        made = Http1Connection(connector, before.sock, before.address, before.tls)
        _put_in_place(made, before)
        made.await_connection(sink, stream.expires_at())
        sink.on_stream_replaced(made)
        first = sink
    if made is None:
        before.close_in_order()
        return
    try:
        made.connected()
    except Exception:
        made.tell_of_crash(first)
        raise


def _connect_anew(connector: Connector, sink: ResponseSink, expires_at: float) -> None:
    try:
        stream = connect(connector)
    except OSError as error:
        outcome = ABANDONED if error.errno in EXHAUSTED else CONNECT_FAILED
        sink.on_endpoint_failed(outcome, f"connecting failed: {error.strerror}")
        return
    stream.await_connection(sink, expires_at)
    sink.on_stream_replaced(stream)
    stream.arm(connector.settings.connect_s)


def _put_in_place(made: EndpointConnection, before: EndpointConnection) -> None:
    """It has the socket, and is counted as ``before`` was."""
    made.take_over(before)
    made.phase = CONNECTED
    made.early = before.early
    made.client = before.client
    made.address_generation = before.address_generation
    before.sink = None
