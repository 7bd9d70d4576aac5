"""What an exchange knows of its client: a stream that takes a response and may hold its body."""

from mypy_extensions import trait


@trait
class Front:
    """One request's way back. HTTP/1.1 has one per connection; HTTP/2 will have many."""

    def keeps_alive(self) -> bool:
        """Whether the connection will take another request after this response."""
        raise NotImplementedError

    def write(self, data: bytes) -> bool:
        """Pass on bytes of the response, at once or as soon as the client takes them.

        False when some wait because the client reads slowly; ``on_client_drained`` follows.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """The response is whole."""
        raise NotImplementedError

    def close_after(self) -> None:
        """The connection must not take another request after this response."""
        raise NotImplementedError

    def cut(self, by_reset: bool) -> None:
        """The response will never be whole: end so that no client can take it for whole.

        ``by_reset`` where nothing but the end of the connection would mark the end of the body.
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
