"""The connection of a client's HTTP/2 stream, as the stream sees it."""

from mypy_extensions import trait

from penstock.wire.client_certificate import ClientCertificate
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.stream import Stream
from penstock.wire.proxy_protocol import ProxyHeader


@trait
class Http2Host:
    """The connection that a stream belongs to."""

    def http2(self) -> Http2Connection:
        """Its codec."""
        raise NotImplementedError

    def touch(self) -> None:
        """Something is to be sent."""
        raise NotImplementedError

    def watch_until(self, at: float) -> None:
        """Have ``run_out_of_time`` called then."""
        raise NotImplementedError

    def note_waiting(self, more: int) -> None:
        """So many more bytes of answers wait for the client to take them, or fewer."""
        raise NotImplementedError

    def is_short(self) -> bool:
        """Whether so many wait that endpoints are read only as far as there is room."""
        raise NotImplementedError

    def room(self, stream: Stream) -> int:
        """Bytes of content that would leave at once, or in this batch of events."""
        raise NotImplementedError

    def progressed_at(self) -> float:
        """When the client's system took anything last."""
        raise NotImplementedError

    def stream_over(self, stream: Stream) -> None:
        """Nothing is left to be done on it."""
        raise NotImplementedError

    def is_secure(self) -> bool:
        """Whether the client speaks TLS."""
        raise NotImplementedError

    def shown_certificate(self) -> ClientCertificate | None:
        """The client's, which was verified; None where it showed none."""
        raise NotImplementedError

    def proxy_header(self) -> ProxyHeader:
        """What a PROXY header tells an endpoint of the connection."""
        raise NotImplementedError
