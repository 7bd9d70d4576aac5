"""The exchange of a stream that is one of many: a bug there must not end the others."""

from penstock.dataplane.exchange.exchange import Exchange
from penstock.dataplane.io.loop import report_bug
from penstock.wire.http2.stream import Stream


class GuardedExchange:
    """Each method passes on what ``Exchange`` has of that name."""

    def __init__(self, exchange: Exchange, stream: Stream, address: str) -> None:
        self.exchange: Exchange = exchange
        self._stream: Stream = stream
        self._address: str = address  # of the client

    def start(self, body: bytes, complete: bool) -> None:
        try:
            self.exchange.start(body, complete)
        except Exception:  # noqa: BLE001
            self._crash()

    def on_request_body(self, data: bytes, complete: bool) -> None:
        try:
            self.exchange.on_request_body(data, complete)
        except Exception:  # noqa: BLE001
            self._crash()

    def limit_answer(self, most: int) -> None:
        try:
            self.exchange.limit_answer(most)
        except Exception:  # noqa: BLE001
            self._crash()

    def on_client_drained(self) -> None:
        try:
            self.exchange.on_client_drained()
        except Exception:  # noqa: BLE001
            self._crash()

    def on_client_gone(self) -> None:
        try:
            self.exchange.on_client_gone()
        except Exception:  # noqa: BLE001
            report_bug(f"as stream {self._stream.id} of {self._address} was reset")

    def _crash(self) -> None:
        report_bug(f"while serving stream {self._stream.id} of {self._address}")
        self.exchange.on_crash()
