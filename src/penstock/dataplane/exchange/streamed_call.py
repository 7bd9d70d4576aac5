"""A gRPC call of many messages each way that the balancer answers itself."""

from mypy_extensions import trait


@trait
class CallOwner:
    """The exchange that it is."""

    def on_call_over(self) -> None:
        """Its trailers were told to the front: nothing more is said."""
        raise NotImplementedError


class StreamedCall:
    """Its head was sent already. It answers as messages come, and has the body held while it, or
    its client, takes no more."""

    status: int = -1  # how it ended, of ``wire.grpc``; -1: it has not

    def take(self, data: bytes, complete: bool) -> None:
        """More of the client's messages, in the framing of its request."""
        raise NotImplementedError

    def on_drained(self) -> None:
        """The client takes more again."""
        raise NotImplementedError

    def limit(self, most: int) -> None:
        """Say at most so much at a time; at 0, for now nothing."""
        raise NotImplementedError

    def gone(self, outcome: int) -> None:
        """It is over, and nobody hears what it says. ``outcome`` is of ``core.ticket``."""
        raise NotImplementedError
