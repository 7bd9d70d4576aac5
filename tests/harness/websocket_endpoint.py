"""A WebSocket server of another make, as an endpoint."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

Handler = Callable[[ServerConnection], None]


def _chosen(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


class WebSocketEndpoint:
    """Plays ``handler`` on each WebSocket. ``close_codes``: those that it was told."""

    def __init__(self, handler: Handler) -> None:
        self.requests: list[Request] = []
        self.close_codes: list[int | None] = []
        self._handler = handler
        self._server = serve(
            self._handle,
            "127.0.0.1",
            0,
            select_subprotocol=_chosen,
            process_request=self._note,
            max_size=None,
        )
        self.host, self.port = self._server.socket.getsockname()[:2]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()

    def _note(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return None

    def _handle(self, connection: ServerConnection) -> None:
        try:
            self._handler(connection)
        finally:
            self.close_codes.append(connection.close_code)
