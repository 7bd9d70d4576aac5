"""What TLS cannot seal is not silently lost: the connection ends."""

import socket
from random import Random

from penstock.core.env import Env
from penstock.core.snapshot import EndpointTls
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.io.tls import TlsChannel, client_context


def test_a_write_that_tls_refuses_ends_the_connection() -> None:
    ours, theirs = socket.socketpair()
    channel = TlsChannel(client_context(EndpointTls()), False, "a.example")
    connection = Connection(Loop(Env(Random(1))), ours, channel)
    with theirs:
        connection.send(b"before there is a session")
        assert channel.failure
        assert connection.broken
        theirs.settimeout(5.0)
        assert theirs.recv(1) == b"", "the other side sees the end"
        ours.close()
