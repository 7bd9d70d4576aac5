"""A connection to an endpoint, whatever is spoken on it: connecting, TLS, time, and its end."""

import errno
import socket
from typing import Final

from mypy_extensions import trait

from penstock.core.ticket import CONNECT_FAILED, GARBAGE
from penstock.dataplane.board.load_tally import LoadTally
from penstock.dataplane.endpoint.address_race import Address, AddressRace, Racer
from penstock.dataplane.endpoint.connector import Connector, KeptConnection
from penstock.dataplane.endpoint.proxy_preface import proxy_preface
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.io.handed_stream import Handed
from penstock.dataplane.io.loop import PEER_CLOSED, READABLE, WRITABLE
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.proxy_protocol import ProxyHeader

CONNECTING: Final = 0
HANDSHAKE: Final = 1
CONNECTED: Final = 2


@trait
class ProtocolChooser:
    """Makes of a connection one that speaks what its endpoint chose."""

    def settle(self, connection: "EndpointConnection") -> bool:
        """TLS is there; whether another connection goes on in this one's place."""
        raise NotImplementedError


class EndpointConnection(KeptConnection, Racer, EndpointStream):
    """Made for one sink, which is told once it is there. What is spoken on it is the subclass's;
    of TCP alone nothing is."""

    def __init__(
        self,
        connector: Connector,
        sock: Socket,
        address: Address,
        tls: TlsChannel | None,
    ) -> None:
        super().__init__(connector.loop, sock, tls, address)
        self.race: AddressRace | None = None  # while it may still connect to another address
        self.connector: Connector = connector
        self.tally: LoadTally = connector.endpoint.tally
        self.address_generation: int = connector.address_generation  # when this was opened
        self.timed_out: bool = False
        self.sink: ResponseSink | None = None
        self.requests: int = 0
        self.answered: bool = False  # any byte of the response under way came
        self.lost_request: bool = False  # nobody read the one under which this ended
        self.expires_at: float = 0.0  # when the whole request must be done; 0.0: never
        self.phase: int = CONNECTING
        self.proxy_version: int = connector.settings.proxy_version
        self.chooser: ProtocolChooser | None = None  # where the endpoint chooses what is spoken
        self.early: bytes = b""  # that came with the last bytes of the TLS handshake
        self.client: ProxyHeader | None = None  # for whom it is, if that is told; None: for us

    def arm(self, timeout: float) -> None:
        deadline = self.loop.env.now + timeout if timeout > 0.0 else 0.0
        expires = self.expires_at
        if expires > 0.0 and (deadline == 0.0 or expires < deadline):
            deadline = expires
        race = self.race
        if race is not None:
            race.deadline = deadline
            deadline = race.next_look(self.loop.env.now)
        self.deadline = deadline

    # --- as the stream of a request (EndpointStream) -----------------------------------------

    def await_connection(self, sink: ResponseSink, expires_at: float) -> None:
        self.sink = sink
        self.expires_at = expires_at

    def is_full(self) -> bool:
        return self.unsent is not None

    def waiting_bytes(self) -> int:
        return len(self.unsent) if self.unsent is not None else 0

    def take_answer(self, takes: bool) -> bool:
        if not self.open or takes == (self.events & READABLE != 0):
            return False
        if takes:
            self.resume_reading()
        else:
            self.pause_reading()
        return True

    def limit_reading(self, most: int) -> None:
        self.read_bytes = most

    def peer(self) -> bytes:
        return self.address.shown

    def is_first(self) -> bool:
        return self.requests == 0

    def was_reused(self) -> bool:
        return self.requests > 1

    def was_answered(self) -> bool:
        return self.answered

    def ran_out_of_time(self) -> bool:
        return self.timed_out

    def never_arrived(self) -> bool:
        return self.lost_request

    def hand_over(self) -> Handed:
        self.sink = None
        return self

    def give_up(self) -> None:
        self.sink = None
        self.close()

    def left(self) -> None:
        self.connector.open_connections -= 1
        if self.race is not None:
            self.race.cancel()

    # --- events -----------------------------------------------------------------------------

    def on_ready(self, events: int) -> None:
        sink = self.sink
        try:
            if self.phase == CONNECTING:
                self._finish_connecting()
            else:
                super().on_ready(events)
        except Exception:
            self.tell_of_crash(sink)
            raise

    def on_readable(self) -> None:
        sink = self.sink
        try:
            self.after_handshake(self.receive())
        except Exception:
            self.tell_of_crash(sink)
            raise

    def tell_of_crash(self, sink: ResponseSink | None) -> None:
        """The response may be whole, and its sink no longer known to ``on_crash``."""
        if sink is not None:
            sink.on_crash()

    def on_drained(self) -> None:
        if self.sink is not None:
            self.sink.on_endpoint_drained()

    def on_peer_closed(self) -> None:
        """The endpoint ended while reading is paused for a slow client.

        What the kernel holds is still to be read, and the loop would tell of the end without end:
        so it is not asked of it any more. Of what is broken it tells unasked; then it is asked
        nothing until reading goes on.
        """
        if self.events & PEER_CLOSED:
            self.watch(self.events & ~PEER_CLOSED)
        else:
            self.loop.remove(self)

    def watch(self, events: int) -> None:
        if self.fd in self.loop.by_fd:
            super().watch(events)
        else:
            self.events = events  # sending finds that it is broken, and waits for nothing

    def resume_reading(self) -> None:
        if self.fd not in self.loop.by_fd:
            self.loop.add(self, self.events)
        super().resume_reading()

    def on_deadline(self) -> None:
        sink = self.sink
        try:
            if sink is not None and self.phase != CONNECTED:
                self.connect_late()
            else:
                self.run_out_of_time()
        except Exception:
            if sink is not None:
                sink.on_crash()
            raise

    def run_out_of_time(self) -> None:
        """The deadline passed of one that is connected, or that nobody waits for."""
        self.close_in_order()

    def on_crash(self) -> None:
        self.give_up()

    # --- connecting -------------------------------------------------------------------------

    def _finish_connecting(self) -> None:
        code: int = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            self._tcp_connected()
            return
        race = self.race
        if race is None:
            self.fail(CONNECT_FAILED, f"connecting failed: {errno.errorcode.get(code, code)}")
        elif race.goes_on(self.address, code):
            self.deadline = race.next_look(self.loop.env.now)
        else:
            self.fail(CONNECT_FAILED, f"connecting failed: {', '.join(race.failed)}")

    def connect_late(self) -> None:
        """Connecting takes too long, at this address at least."""
        race = self.race
        now = self.loop.env.now
        if race is not None and race.start_another(now):
            self.deadline = race.next_look(now)
            return
        self.timed_out = True
        told = f": {race.waiting(self.address)}" if race is not None else ""
        self.fail(CONNECT_FAILED, f"connecting took too long{told}")

    def take_socket(self, sock: Socket, address: Address) -> None:
        self.loop.remove(self)
        self.sock.close()
        self.sock = sock
        self.fd = sock.fileno()
        self.address = address
        self.loop.add(self, self.events)

    def on_won(self) -> None:
        sink = self.sink
        try:
            self._tcp_connected()
        except Exception:
            self.tell_of_crash(sink)
            raise

    def _tcp_connected(self) -> None:
        race = self.race
        if race is not None:
            self.race = None
            race.cancel()
            self.deadline = race.deadline
        self.connector.connected_to(self.address)
        self.watch(self.events & ~WRITABLE)
        if self.proxy_version:
            self.send(proxy_preface(self.proxy_version, self.client, self.sock), True)
        if self.tls is None:
            self._connected()
            return
        self.phase = HANDSHAKE
        self.send(self.tls.begin(), True)

    def after_handshake(self, data: bytes | None) -> None:
        """Something of the TLS handshake came; b"": an end."""
        tls = self.tls
        assert tls is not None
        if tls.failure or data == b"":
            reason = tls.failure or "the endpoint closed the connection"
            self.fail(CONNECT_FAILED, f"TLS handshake failed: {reason}")
        elif tls.established and data and tls.agreed_protocol() != "h2":
            self.fail(GARBAGE, "the endpoint spoke before it was asked")
        elif tls.established:
            if data:
                self.early = data  # in HTTP/2 both begin at once (RFC 9113, 3.4)
            self._connected()

    def _connected(self) -> None:
        self.phase = CONNECTED
        self.deadline = 0.0
        chooser = self.chooser
        if chooser is None or not chooser.settle(self):
            self.connected()

    def connected(self) -> None:
        """It is there, TLS included: who waits for it is told."""
        sink = self.sink
        if sink is None:
            self.close()
        else:
            sink.on_connected()

    def told_end(self) -> str:
        """How the endpoint ended it, in a sentence; by TLS 1.3 it refuses our certificate so."""
        tls = self.tls
        if tls is not None and tls.failure:
            return f"the endpoint ended TLS before the response was whole: {tls.failure}"
        return "the endpoint closed the connection before the response was whole"

    def fail(self, outcome: int, reason: str) -> None:
        """Close, and tell the sink that no whole response will come."""
        sink = self.sink
        self.sink = None
        self.close()
        if sink is not None:
            sink.on_endpoint_failed(outcome, reason)
