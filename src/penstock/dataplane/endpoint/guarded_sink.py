"""Who takes a response that is one of many on its connection: a bug there must not end the others.

Each method passes on what ``ResponseSink`` has of that name, and says whether that went well; if
not, the stream was given up.
"""

from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.io.loop import report_bug
from penstock.wire.http1 import Field, ResponseHead


class GuardedSink:
    """Of one stream."""

    in_chunks: bool = False  # the body is wanted so

    def __init__(self, sink: ResponseSink, stream: EndpointStream) -> None:
        self.sink: ResponseSink = sink
        self._stream: EndpointStream = stream

    def on_connected(self) -> None:
        try:
            self.sink.on_connected()
        except Exception:  # noqa: BLE001
            self._crash()

    def on_unable(self, reason: str) -> None:
        try:
            self.sink.on_unable(reason)
        except Exception:  # noqa: BLE001
            self._crash()

    def on_drained(self) -> None:
        try:
            self.sink.on_endpoint_drained()
        except Exception:  # noqa: BLE001
            self._crash()

    def on_interim(self, head: ResponseHead) -> None:
        try:
            self.sink.on_interim(head)
        except Exception:  # noqa: BLE001
            self._crash()

    def on_switched(self, head: ResponseHead, rest: bytes) -> None:
        try:
            self.sink.on_switched(head, rest)
        except Exception:  # noqa: BLE001
            self._crash()

    def frames(self, head: ResponseHead) -> bool:
        """``in_chunks`` is known from then on."""
        try:
            # One with a length comes without, as over HTTP/1.1, however the client gets it.
            self.in_chunks = self.sink.frame_response(head) and head.content_length < 0
        except Exception:  # noqa: BLE001
            self._crash()
            return False
        return True

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> bool:
        try:
            self.sink.on_response(head, body, complete)
        except Exception:  # noqa: BLE001
            self._crash()
            return False
        return True

    def on_body(self, data: bytes, complete: bool) -> bool:
        try:
            self.sink.on_body(data, complete)
        except Exception:  # noqa: BLE001
            self._crash()
            return False
        return True

    def on_trailers(self, fields: list[Field]) -> bool:
        try:
            self.sink.on_trailers(fields)
        except Exception:  # noqa: BLE001
            self._crash()
            return False
        return True

    def drops(self, head: ResponseHead, trailers: list[Field]) -> bool:
        """``on_no_message``; one that went wrong wants nothing more either."""
        try:
            return self.sink.on_no_message(head, trailers)
        except Exception:  # noqa: BLE001
            self._crash()
            return True

    def on_failed(self, outcome: int, reason: str) -> None:
        try:
            self.sink.on_endpoint_failed(outcome, reason)
        except Exception:  # noqa: BLE001
            self._crash()

    def _crash(self) -> None:
        report_bug("on a stream to an endpoint")
        try:
            self.sink.on_crash()
        finally:
            self._stream.give_up()
