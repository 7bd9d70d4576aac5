"""A client's TLS made step by step, so that a test decides how its bytes go out."""

import ssl

import pytest

from tests.harness.client import Client


class Handshake:
    """``hello`` is its first message; ``finish`` and what follows need a client that sent it."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name
        )
        with pytest.raises(ssl.SSLWantReadError):
            self._session.do_handshake()
        self.hello = self._outgoing.read()

    def finish(self, client: Client) -> None:
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                self._incoming.write(client.read_some())
            else:
                client.send(self._outgoing.read())
                return

    def asked(self, client: Client, data: bytes, until: bytes) -> bytes:
        """Send that, and read until that comes."""
        self._session.write(data)
        client.send(self._outgoing.read())
        answer = b""
        while until not in answer:
            try:
                answer += self._session.read(65536)
            except ssl.SSLWantReadError:
                piece = client.read_some()
                assert piece, f"it ended after {answer!r}"
                self._incoming.write(piece)
        return answer
