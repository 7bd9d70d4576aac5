"""Who takes a response from an endpoint, piece by piece."""

from mypy_extensions import mypyc_attr

from penstock.wire.http1 import Field, ResponseHead


# No trait: every chunk comes through here, and a trait's methods are looked up.
@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseSink:
    """Whoever sent the request: an exchange, or a mirror that drops the answer."""

    def on_connected(self) -> None:
        """The connection asked for is there; send now."""
        raise NotImplementedError

    def on_stream_replaced(self, stream: object) -> None:
        """Another ``EndpointStream`` carries it, as the endpoint chose another protocol than was
        expected; nothing was sent. ``on_connected`` follows, now or later."""
        raise NotImplementedError

    def on_interim(self, head: ResponseHead) -> None:
        """A 1xx head came; the final one follows."""
        raise NotImplementedError

    def on_switched(self, head: ResponseHead, rest: bytes) -> None:
        """The endpoint changed to the protocol that it was asked for (101); ``rest`` came behind.
        The connection is to be taken over."""
        raise NotImplementedError

    def on_unable(self, reason: str) -> None:
        """The endpoint cannot do what is asked of it, which is no failure of it; nothing was
        sent, and nothing will come."""
        raise NotImplementedError

    def frame_response(self, head: ResponseHead) -> bool:
        """A final head came. Say whether its body is wanted in chunks (else as bare payload)."""
        raise NotImplementedError

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        """The final head, with what of its body came along."""
        raise NotImplementedError

    def on_body(self, data: bytes, complete: bool) -> None:
        """More of the body, framed as asked."""
        raise NotImplementedError

    def on_trailers(self, fields: list[Field]) -> None:
        """Fields behind the body, whose end follows with ``on_body``."""

    def on_no_message(self, head: ResponseHead, trailers: list[Field]) -> bool:
        """A head came and trailers at once behind it, with nothing between. True: nobody wants
        them, and the stream was given up; else ``on_response`` and the others follow."""
        return False

    def on_endpoint_failed(self, outcome: int, reason: str) -> None:
        """No whole response will come; ``outcome`` as in core.ticket. The connection is closed."""
        raise NotImplementedError

    def on_endpoint_drained(self) -> None:
        """What was sent has left; more may be sent."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed in one of these methods: give up, and leave nobody waiting."""
        raise NotImplementedError
