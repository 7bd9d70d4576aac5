"""What an exchange knows of its client: one request's way back, whatever protocol carries it."""

from mypy_extensions import trait

from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.io.handed_stream import Handed
from penstock.wire.forwarding import Edit, ResponseRules
from penstock.wire.http1 import Field, ResponseHead
from penstock.wire.proxy_protocol import ProxyHeader


@trait
class Front:
    """HTTP/1.1 has one per connection; HTTP/2 has one per stream.

    Heads come as values, and refusals as what they mean: framing, persistence and the form of both
    are the protocol's. Of ``respond`` and ``send_body`` False says that the client takes no more
    for now; ``Exchange.on_client_drained`` follows.
    """

    def frame(self, head: ResponseHead, rewritten: bool) -> bool:
        """A final head came: choose how its body is framed; ``rewritten``: its length changes.

        True when pieces are wanted in the chunks of HTTP/1.1, as servers mostly send them and may
        pass as they came; else as bare payload.
        """
        raise NotImplementedError

    def tell(self, lines: bytes) -> None:
        """Have the head of the answer, which follows, carry these field lines too, each with its
        line's end before it."""
        raise NotImplementedError

    def respond(
        self,
        head: ResponseHead,
        rules: ResponseRules,
        request_id: bytes,
        cookie: bytes,
        decoded: bool,
        body: bytes,
        complete: bool,
    ) -> bool:
        """Pass on a final head, edited by the rules, with what of the body came along.

        ``cookie`` is the value of a further Set-Cookie, b"" for none. ``decoded``: the body's
        content coding was taken off. ``complete``: ``finish`` follows.
        """
        raise NotImplementedError

    def send_body(self, data: bytes) -> bool:
        """Pass on more of the body, framed as ``frame`` said."""
        raise NotImplementedError

    def trailers(self, fields: list[Field]) -> None:
        """Fields behind the body: ``finish`` sends them, where the protocol can."""
        raise NotImplementedError

    def finish(self) -> None:
        """The response is whole, and settled."""
        raise NotImplementedError

    def interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx head to a client that can take it."""
        raise NotImplementedError

    def switch(
        self,
        head: ResponseHead,
        protocol: bytes,
        rules: ResponseRules,
        request_id: bytes,
        cookie: bytes,
    ) -> Handed:
        """Tell the client that its connection, or its stream, changes to that protocol; ``head`` is
        the 101 of the endpoint, edited by the rules. Returns it, for a relay to go on from."""
        raise NotImplementedError

    def take_received(self) -> bytes:
        """What the client sent behind its request, once."""
        raise NotImplementedError

    def send_continue(self) -> None:
        """Tell a client that waits for 100 that its body is wanted."""
        raise NotImplementedError

    def answer(self, answer: Answer, request_id: bytes, edits: list[Edit]) -> None:
        """Give an answer of our own, whole; ``finish`` follows."""
        raise NotImplementedError

    def response_bytes(self) -> int:
        """How many bytes of the response were passed on, as the protocol writes them."""
        raise NotImplementedError

    def close_after(self) -> None:
        """The connection must not take another request after this response."""
        raise NotImplementedError

    def cut(self, by_reset: bool) -> None:
        """The response will never be whole: end so that no client can take it for whole.

        ``by_reset``: in any case; else where nothing but the end would mark the end of the body.
        """
        raise NotImplementedError

    def continue_body(self) -> None:
        """The client was told to go on (100): its body is due."""
        raise NotImplementedError

    def hold_body(self) -> None:
        """Read no more of the request's body for a while."""
        raise NotImplementedError

    def take_body(self) -> None:
        """Go on reading the request's body."""
        raise NotImplementedError

    def proxy_header(self) -> ProxyHeader:
        """The client's connection, as a PROXY header tells an endpoint of it."""
        raise NotImplementedError
