"""A client's connection that is looked at first becomes that of a client like any other, with the
same socket: who looked at it is no longer there."""

import ssl

from penstock.dataplane.client.http1 import ClientConnection
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.client.tcp import TcpClient
from penstock.dataplane.context import Context
from penstock.dataplane.io.loop import READABLE, Pollable
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.proxy_protocol import ProxyHeader


def become_client(
    context: Context,
    before: Pollable,
    sock: Socket,
    tls: ssl.SSLContext | None,
    address: str,
    settings: ClientSettings,
    told: ProxyHeader | None,
    received: bytes,
) -> None:
    """``told``: what its connection began with; ``received``: of what came since."""
    before.deadline = 0.0
    channel = TlsChannel(tls, True, None) if tls is not None else None
    if settings.speaks_http:
        client = ClientConnection(context, sock, channel, address, settings)
        client.told = told
        context.loop.replace(before, client)
        if received:
            client.begin_with(received)
    else:
        stream = TcpClient(context, sock, channel, address, settings)
        stream.told = told
        context.loop.replace(before, stream)
        stream.begin(received)


def has_crashed_since(context: Context, before: Pollable) -> bool:
    """A bug showed. Whether it became a client, which may have crashed on the first bytes that it
    was given, and ends it."""
    now_there = context.loop.by_fd.get(before.fd)
    if now_there is before:
        return False
    if now_there is not None:
        now_there.on_crash()
    return True


def is_client_at_last(context: Context, before: Pollable) -> bool:
    """The worker stops: what is here already is still taken. Whether it has become a client by
    that, which is let go if it is idle, or is gone."""
    before.on_ready(READABLE)
    now_there = context.loop.by_fd.get(before.fd)
    if now_there is before:
        return False
    if now_there is not None:
        now_there.close_if_idle()
    return True
