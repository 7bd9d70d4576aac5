"""A non-blocking stream socket: read what is there, write at once, keep only what did not fit."""

import errno
import struct
from socket import SHUT_RD, SHUT_RDWR, SO_LINGER, SOL_SOCKET
from typing import Final

from penstock.dataplane.io.loop import BROKEN, PEER_CLOSED, READABLE, WRITABLE, Loop, Pollable
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel

READ_BYTES: Final = 65536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Connection(Pollable):
    """Base of both sides' connections.

    ``unsent`` holds bytes that the kernel did not take yet; while it is not empty, whoever feeds
    this connection pauses its own source, so at most one read's worth is ever held.
    """

    read_bytes: int = READ_BYTES  # at most, of one read

    def __init__(self, loop: Loop, sock: Socket, tls: TlsChannel | None) -> None:
        super().__init__(sock.fileno())
        self.loop: Loop = loop
        self.sock: Socket = sock
        self.tls: TlsChannel | None = tls
        self.unsent: bytearray | None = None
        self.sent_bytes: int = 0  # ciphertext, where it is TLS; with what still waits
        self.events: int = READABLE | PEER_CLOSED
        self.open: bool = True
        self.broken: bool = False  # the peer's end was a reset, not a close

    def take_over(self, before: "Connection") -> None:
        """Go on in the place of ``before``, which is done with the socket that both have."""
        self.unsent = before.unsent
        self.sent_bytes = before.sent_bytes
        self.events = before.events
        before.open = False
        before.deadline = 0.0
        before.unsent = None
        self.loop.replace(before, self)

    def on_drained(self) -> None:
        """Everything that waited was taken by the kernel."""

    def on_peer_closed(self) -> None:
        """The peer will send no more, and we are not reading."""

    def on_ready(self, events: int) -> None:
        if events & WRITABLE and self.unsent is not None:
            self._flush()
            if not self.open:
                return
        if self.events & READABLE:
            if events & (READABLE | PEER_CLOSED | BROKEN):
                self.on_readable()
        elif events & (PEER_CLOSED | BROKEN):
            self.on_peer_closed()

    def receive(self) -> bytes | None:
        """Bytes; b"" when the peer is gone (``broken`` tells how); None when nothing is there."""
        if self.tls is not None:
            return self._receive_tls()
        try:
            data: bytes = self.sock.recv(self.read_bytes)
        except BlockingIOError:
            return None
        except OSError:
            self.broken = True
            return b""
        return data

    def send(self, data: bytes, sealed: bool = False) -> bool:
        """Send now, or as soon as the kernel takes it; whether it took all of it.

        ``sealed``: it is what TLS sends of its own. A broken connection is not told here: the loop
        reports it, and reading finds it.
        """
        if self.tls is not None and not sealed:
            data = self.tls.encrypt(data)
            if self.tls.failure:
                self._end_at_once()
                return True
        self.sent_bytes += len(data)
        if self.unsent is not None:
            self.unsent += data
            return False
        try:
            sent: int = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            return not self._note_broken(error)
        if sent == len(data):
            return True
        self.unsent = bytearray(memoryview(data)[sent:])
        self.watch(self.events | WRITABLE)
        return False

    def _end_at_once(self) -> None:
        """Nothing can be sent any more: the loop tells of it as of any other broken connection."""
        self.broken = True
        try:
            self.sock.shutdown(SHUT_RDWR)
        except OSError:
            pass  # it is broken already, which the loop tells as well

    def watch(self, events: int) -> None:
        """Be told of these events only."""
        if events != self.events:
            self.events = events
            self.loop.change(self, events)

    def pause_reading(self) -> None:
        """Leave bytes in the kernel, so that the peer feels the pressure."""
        self.watch(self.events & ~READABLE)

    def resume_reading(self) -> None:
        self.watch(self.events | READABLE)

    def close(self) -> None:
        """Close once; calling again does nothing."""
        if self.open:
            self.open = False
            self.deadline = 0.0
            self.loop.remove(self)
            self.sock.close()
            self.left()

    def left(self) -> None:
        """Its socket was closed: whoever counts it counts it out."""

    def close_in_order(self) -> None:
        """Close what is idle; over TLS the peer is told that this was all (RFC 9112, 9.8)."""
        tls = self.tls
        if self.open and tls is not None and tls.established and self.unsent is None:
            self.send(tls.farewell(), True)
        self.close()

    def reset(self) -> None:
        """Close so that the peer gets an error rather than an end (RST in place of FIN)."""
        if self.open:
            try:
                self.sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET_ON_CLOSE)
            except OSError:
                pass  # already broken: there is nobody to tell
            self.close()

    def _flush(self) -> None:
        unsent = self.unsent
        if unsent is None:
            return
        try:
            sent: int = self.sock.send(unsent)
        except BlockingIOError:
            return
        except OSError as error:
            if self._note_broken(error):
                return
            sent = len(unsent)  # broken: reading finds it
        if sent < len(unsent):
            del unsent[:sent]
            self.on_progress()
            return
        self.unsent = None
        self.watch(self.events & ~WRITABLE)
        self.on_drained()

    def _note_broken(self, error: OSError) -> bool:
        """The system tells a reset once: sending took the news, and reading would see a mere end.

        After an end that came before it the error is EPIPE (Linux, tcp_reset): what was received is
        whole. Any other may leave the socket alive (ENOBUFS), and what was to be sent has a gap
        then: nothing may follow it, and the loop has to tell. No FIN is sent, which could let the
        peer take what it has for the whole. Returns whether that is so.
        """
        if error.errno == errno.EPIPE:
            return False
        self.broken = True
        try:
            self.sock.shutdown(SHUT_RD)
        except OSError:
            return False  # it was a reset
        self.unsent = bytearray()  # as it is never flushed, whatever else is sent stays behind it
        self.watch((self.events | PEER_CLOSED) & ~WRITABLE)
        return True

    def on_progress(self) -> None:
        """Some of what waited was taken by the kernel."""

    def _receive_tls(self) -> bytes | None:
        tls = self.tls
        assert tls is not None
        try:
            raw: bytes = self.sock.recv(self.read_bytes)
        except BlockingIOError:
            return None
        except OSError:
            self.broken = True
            return b""
        return self.unseal(raw)

    def unseal(self, raw: bytes) -> bytes | None:
        """What TLS makes of bytes that came, as ``receive`` returns it; its answer is sent."""
        tls = self.tls
        assert tls is not None
        data = tls.decrypt(raw)
        answer = tls.take_outgoing()
        if answer:
            self.send(answer, True)
        return data
