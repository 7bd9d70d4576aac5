"""A UDP session: datagrams of one client address and port, relayed to one endpoint and back."""

from typing import Any, Final

from mypy_extensions import trait

from penstock.core.endpoint import Endpoint
from penstock.core.health.health import DOWN
from penstock.dataplane.board.layout import (
    DATAGRAM_DROPS,
    W_BYTES_FROM_CLIENTS,
    W_BYTES_TO_CLIENTS,
    W_DATAGRAM_DROPS,
    W_DATAGRAMS_FROM_CLIENTS,
    W_DATAGRAMS_TO_CLIENTS,
)
from penstock.dataplane.board.load_tally import LoadTally
from penstock.dataplane.tunnel.outlets import (
    FULL,
    MOVED,
    SENT,
    TOO_BIG,
    Outlet,
    Outlets,
    OutletUser,
)
from penstock.dataplane.tunnel.session_table import SessionRules
from penstock.wire.proxy_protocol import ProxyHeader

_AMPLIFICATION: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("amplification")
_BUFFER_FULL: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("buffer_full")
_UNREACHABLE: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("unreachable")
_TOO_BIG: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("too_big")


@trait
class DatagramFront:
    """Where clients' datagrams come from, and replies go: a listener."""

    def reply(self, session: "Session", data: bytes) -> int:
        """Send to its client; how it went, as ``tunnel.outlets`` has it."""
        raise NotImplementedError


@trait
class SessionOwner:
    """Whose session it is: an exchange."""

    def on_endpoint_down(self, data: bytes) -> None:
        """A datagram is for an endpoint that is dead: choose another."""
        raise NotImplementedError

    def on_unattached(self, data: bytes) -> None:
        """A datagram came while there is no endpoint."""
        raise NotImplementedError

    def on_first_reply(self) -> None:
        """The endpoint's first datagram came."""
        raise NotImplementedError

    def on_unreachable(self, number: int, data: bytes) -> None:
        """ICMP, or the system, says that nothing reaches the endpoint."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed: end it."""
        raise NotImplementedError


class SessionClient:
    """Who the client of a session is, and where replies to it go.

    ``address`` and ``control`` are what the listener's socket sends replies with. Behind a proxy
    that tells of its clients, they are the proxy's, and ``host`` and ``port`` those that it
    ``told``.
    """

    def __init__(
        self, host: str, address: Any, control: list[tuple[int, int, bytes]] | None = None
    ) -> None:
        self.host: str = host
        self.port: int = address[1]
        self.address: Any = address
        self.control: list[tuple[int, int, bytes]] = control or []
        self.told: ProxyHeader | None = None


class Session(OutletUser):
    """Between a listener and an outlet, as long as ``attach`` says which."""

    def __init__(
        self,
        owner: SessionOwner,
        front: DatagramFront,
        rules: SessionRules,
        client: SessionClient,
        outlets: Outlets,
    ) -> None:
        self.rules: SessionRules = rules
        self.client: SessionClient = client
        self.last_sent: int = 0  # bytes of the datagram that was sent last
        self._owner: SessionOwner | None = owner
        self._front: DatagramFront = front
        self._outlets: Outlets = outlets
        self._values: list[int] = outlets.values
        self._endpoint: Endpoint | None = None
        self._tally: LoadTally | None = None
        self._outlet: Outlet | None = None
        self._family: int = 0
        self._to: Any = None
        self._silent: bool = True  # nothing has come of this endpoint
        self._header: bytes = b""  # a PROXY header that the next datagram begins with
        self._keeps_header: bool = False  # and those after it
        self._last_header_bytes: int = 0  # of the datagram that was sent last

    def attach(
        self,
        endpoint: Endpoint,
        tally: LoadTally,
        family: int,
        to: Any,
        header: bytes = b"",
        keeps_header: bool = False,
    ) -> bool:
        """Relay to that endpoint from here on; False when no socket is left for it.

        ``header`` goes before the first datagram that is sent there, or before each.
        """
        self.detach()
        outlet = self._outlets.take(family, to, self)
        if outlet is None:
            return False
        self._endpoint = endpoint
        self._tally = tally
        self._outlet = outlet
        self._family = family
        self._to = to
        self._silent = True
        self._header = header
        self._keeps_header = keeps_header
        return True

    def detach(self) -> None:
        """What comes of that endpoint is for nobody."""
        outlet = self._outlet
        self._outlet = None
        self._endpoint = None
        if outlet is not None:
            self._outlets.release(outlet, self._family, self._to, self.rules.idle_s)

    def endpoint_name(self) -> str:
        """Empty where there is none."""
        return self._endpoint.name if self._endpoint is not None else ""

    def is_attached(self) -> bool:
        """Whether there is an endpoint."""
        return self._outlet is not None

    def take(self, data: bytes) -> None:
        """The client sent a datagram."""
        size = len(data)
        rules = self.rules
        values = self._values
        values[W_DATAGRAMS_FROM_CLIENTS] += 1
        values[W_BYTES_FROM_CLIENTS] += size
        rules.take(size, self._outlets.loop.env.now)
        endpoint = self._endpoint
        owner = self._owner
        if owner is None:
            self.drop(_UNREACHABLE)  # it is over
        elif endpoint is None:
            owner.on_unattached(data)
        elif endpoint.health == DOWN or endpoint.ejected or endpoint.cut_out or endpoint.removed:
            owner.on_endpoint_down(data)
        else:
            self.send(data)

    def send(self, data: bytes) -> None:
        """To the endpoint."""
        outlet = self._outlet
        tally = self._tally
        if outlet is None or tally is None:
            self.drop(_UNREACHABLE)  # no endpoint is left that could be tried
            return
        header = self._header
        whole = header + data if header else data
        size = len(whole)
        self.last_sent = size
        self._last_header_bytes = len(header)
        how = outlet.send(whole, self._to)
        if how == SENT:
            tally.bytes_sent += size
            if header and not self._keeps_header:
                self._header = b""
            return
        if how == MOVED:
            self.send(data)  # to where it goes on, if anywhere
        elif how == FULL:
            self.drop(_BUFFER_FULL)
        elif how == TOO_BIG:
            self.drop(_TOO_BIG)
        elif self._owner is not None:
            self._owner.on_unreachable(outlet.error, data)

    def on_reply(self, data: bytes) -> None:
        size = len(data)
        rules = self.rules
        if rules.bounded and not rules.may_send(size):
            self.drop(_AMPLIFICATION)
            return
        how = self._front.reply(self, data)
        if how == TOO_BIG:
            self.drop(_TOO_BIG)
            return
        if how != SENT:
            self.drop(_BUFFER_FULL if how == FULL else _UNREACHABLE)
            return
        rules.replied(size, self._outlets.loop.env.now)
        values = self._values
        values[W_DATAGRAMS_TO_CLIENTS] += 1
        values[W_BYTES_TO_CLIENTS] += size
        tally = self._tally
        if tally is not None:
            tally.bytes_received += size
        if self._silent:
            self._silent = False
            if self._owner is not None:
                self._owner.on_first_reply()

    def on_unreachable(self, number: int, data: bytes) -> None:
        whole = len(data) == self.last_sent
        again = data[self._last_header_bytes :] if whole else b""
        if not again:  # only what came back whole can be sent once more
            self.drop(_UNREACHABLE)
        if self._owner is not None:
            self._owner.on_unreachable(number, again)

    def on_crash(self) -> None:
        if self._owner is not None:
            self._owner.on_crash()

    def leave(self) -> None:
        """It is over: without a way back to its owner both are freed at once, uncollected."""
        self.detach()
        self._owner = None

    def hand_on(self, size: int) -> None:
        """What it took last is another session's."""
        values = self._values
        values[W_DATAGRAMS_FROM_CLIENTS] -= 1
        values[W_BYTES_FROM_CLIENTS] -= size

    def drop(self, why: int) -> None:
        """A datagram of it is lost; ``why`` is the counter's number."""
        self.rules.dropped += 1
        self._values[why] += 1
