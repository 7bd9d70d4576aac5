"""A client that may be an ACME authority, which asks whether a name is ours.

Whoever orders a certificate is asked by addresses that nobody knows before (RFC 8555, 10.2), so
``allow``, ``deny`` and limits on clients are not held against these questions: who may not come
otherwise is told the answer to one of our tokens, or shown a challenge's certificate, and nothing
else. As long as nothing is being ordered, no connection comes by here.
"""

import re
import ssl
from typing import Final

from penstock.dataplane.board.layout import W_REFUSED_ADDRESS
from penstock.dataplane.client.becoming import become_client, has_crashed_since, is_client_at_last
from penstock.dataplane.client.settings import Challenges, ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.io.loop import Pollable
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.client_hello import ClientHelloReader
from penstock.wire.preface import FOUND, NEED_MORE
from penstock.wire.proxy_protocol import ProxyHeader

ALPN: Final = b"acme-tls/1"  # RFC 8737, 3
_MOST_HEAD_BYTES: Final = 4096
_SHORT_S: Final = 10.0  # where the listener sets no time of its own
_HEAD_END: Final = b"\r\n\r\n"
_REQUEST: Final = re.compile(rb"GET (/[!-~]+) HTTP/1\.[01]\r\n")
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%b"
)


class ChallengedClient(Pollable):
    """Until it is known what it wants. ``counted``: it is a client like any other, and is one from
    then on if it asks for no challenge; else it is closed."""

    def __init__(
        self,
        context: Context,
        sock: Socket,
        tls: ssl.SSLContext | None,
        address: str,
        settings: ClientSettings,
        challenges: Challenges,
        counted: bool,
    ) -> None:
        super().__init__(sock.fileno())
        self.told: ProxyHeader | None = None
        self._context: Context = context
        self._sock: Socket = sock
        self._tls: ssl.SSLContext | None = tls
        self._address: str = address
        self._settings: ClientSettings = settings
        self._challenges: Challenges = challenges
        self._counted: bool = counted
        self._received: bytes = b""
        self._hello: ClientHelloReader = ClientHelloReader()
        self._channel: TlsChannel | None = None  # in the challenge's handshake
        self.deadline = context.env.now + (settings.first_bytes_s(tls is not None) or _SHORT_S)
        if not counted:
            challenges.guests += 1

    def begin(self, first: bytes) -> None:
        """The first bytes came behind a PROXY header."""
        if first:
            self._take(first)

    def on_ready(self, events: int) -> None:
        try:
            data: bytes = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:
            self._close()

    def on_deadline(self) -> None:
        self._close()

    def on_crash(self) -> None:
        if not has_crashed_since(self._context, self):
            self._close()

    def close_if_idle(self) -> None:
        is_client_at_last(self._context, self)

    def cut_off(self) -> None:
        self._close()

    def _take(self, data: bytes) -> None:
        if self._channel is not None:
            self._shake_hands(self._channel, data)
            return
        self._received += data
        if self._tls is None:
            self._read_request()
            return
        if self._hello.feed(data) == NEED_MORE:
            return
        chosen: ssl.SSLContext | None = None
        if self._hello.outcome == FOUND and self._hello.alpn == (ALPN,):
            chosen = self._challenges.contexts.get(self._hello.server_name)
        if chosen is not None:
            self._channel = TlsChannel(chosen, True, None)
            self._shake_hands(self._channel, self._received)
        else:
            self._hand_over()

    def _shake_hands(self, channel: TlsChannel, data: bytes) -> None:
        """All that there is to see is the certificate: then it ends (RFC 8737, 3)."""
        channel.decrypt(data)
        out = channel.take_outgoing()
        if channel.established:
            out += channel.farewell()
        self._send(out)
        if channel.established or channel.failure:
            self._close()

    def _read_request(self) -> None:
        received = self._received
        if _HEAD_END not in received:
            if len(received) > _MOST_HEAD_BYTES:
                self._hand_over()
            return
        request = _REQUEST.match(received)
        answer = self._challenges.answers.get(request[1]) if request is not None else None
        if answer is None:
            self._hand_over()
            return
        self._send(_ANSWER % (len(answer), answer))
        self._close()

    def _send(self, data: bytes) -> None:
        """What does not fit into the socket at once is for nobody who asks honestly."""
        try:
            if data and self._sock.send(data) < len(data):
                self._close()
        except OSError:
            self._close()

    def _hand_over(self) -> None:
        """It asks for no challenge: a client like any other, if it may be one."""
        context = self._context
        if not self._counted:
            context.counters.bump(W_REFUSED_ADDRESS)
            self._close()
            return
        become_client(
            context,
            self,
            self._sock,
            self._tls,
            self._address,
            self._settings,
            self.told,
            self._received,
        )

    def _close(self) -> None:
        if self._context.loop.by_fd.get(self.fd) is not self:
            return
        self.deadline = 0.0
        self._context.loop.remove(self)
        self._sock.close()
        if self._counted:
            self._context.client_left(self._address)
        else:
            self._challenges.guests -= 1
