"""What is known of a client, for the PROXY headers of endpoints."""

from typing import Final

from penstock.dataplane.endpoint.proxy_preface import between
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.datagrams import asked_address
from penstock.dataplane.io.system import Socket
from penstock.dataplane.tunnel.session import SessionClient
from penstock.wire.client_certificate import ClientCertificate
from penstock.wire.proxy_protocol import PROXY, TCP, UDP, ProxyHeader
from penstock.wire.proxy_ssl import TLV_SSL, ssl_value

# Of ALPN (RFC 7301, 3.1) and of a host name in SNI; what a header told may be longer.
_MAX_NAME_BYTES: Final = 255


def header_of(
    client: Connection,
    address: str,
    told: ProxyHeader | None,
    certificate: ClientCertificate | None = None,
) -> ProxyHeader:
    """A header that tells of a client; ``told`` is the one that its connection began with.

    Addresses and ports are those that the client itself connected with, over however many proxies
    that is known. TLS that ends here tells its names and the client's certificate,
    else those names pass that were told.
    """
    if told is not None:
        header = _passed_on(told, TCP)
    else:
        try:
            header = between(client.sock.getpeername(), client.sock.getsockname())
            header.source = address
        except OSError:  # it left; nobody will use what is told of it
            header = ProxyHeader(PROXY)
    tls = client.tls
    if tls is not None and tls.established:
        header.alpn = tls.agreed_protocol().encode()
        header.authority = tls.server_name()
        version, cipher = tls.version_and_cipher()
        name = certificate.common_name if certificate is not None else None
        header.others.append((TLV_SSL, ssl_value(version, cipher, name)))
    return header


def datagram_header_of(client: SessionClient, sock: Socket) -> ProxyHeader:
    """The same of a UDP session; ``sock`` is the listener's."""
    if client.told is not None:
        return _passed_on(client.told, UDP)
    ours = sock.getsockname()
    host = (asked_address(client.control) or ours[0]).removeprefix("::ffff:")
    return ProxyHeader(PROXY, UDP, client.host, client.port, host, ours[1])


def _passed_on(told: ProxyHeader, transport: str) -> ProxyHeader:
    header = ProxyHeader(
        PROXY,
        transport,
        told.source,
        told.source_port,
        told.destination,
        told.destination_port,
    )
    if len(told.alpn) <= _MAX_NAME_BYTES:
        header.alpn = told.alpn
    if len(told.authority.encode()) <= _MAX_NAME_BYTES:
        header.authority = told.authority
    return header
