"""A gRPC server of another make (grpcio), as an endpoint; messages are plain bytes."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc

SERVICE = "/test.Service/"


class GrpcEndpoint:
    """``calls``: the metadata of each, by its method. ``hold`` keeps ``Held`` calls waiting.
    ``fails_with``: how ``Echo`` and ``Split`` end, in place of their answers."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[tuple[str, dict[str, str | bytes]]] = []
        self.fails_with: grpc.StatusCode | None = None
        self.pushes_back = False  # tells clients when to call again, where it fails
        self.cancelled = threading.Event()
        self.hold = threading.Event()
        self.host = "127.0.0.1"
        self._server = grpc.server(
            ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", -1)]
        )
        handlers = {
            "Echo": grpc.unary_unary_rpc_method_handler(self._echo),
            "Split": grpc.unary_stream_rpc_method_handler(self._split),
            "Join": grpc.stream_unary_rpc_method_handler(self._join),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Held": grpc.unary_unary_rpc_method_handler(self._held),
        }
        service = grpc.method_handlers_generic_handler("test.Service", handlers)
        self._server.add_generic_rpc_handlers((service,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

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
        self.stop()

    def stop(self) -> None:
        """At once: calls under way are cut."""
        self.hold.set()
        self._server.stop(None).wait()

    def _note(self, method: str, context: Any) -> None:
        self.calls.append((method, dict(context.invocation_metadata())))

    def _fail_if_told(self, context: Any) -> None:
        if self.fails_with is not None:
            if self.pushes_back:
                context.set_trailing_metadata((("grpc-retry-pushback-ms", "100"),))
            context.abort(self.fails_with, "as told")

    def _echo(self, request: bytes, context: Any) -> bytes:
        self._note("Echo", context)
        self._fail_if_told(context)
        context.send_initial_metadata((("x-initial", "1"),))
        context.set_trailing_metadata((("x-served-by", self.name),))
        return request

    def _split(self, request: bytes, context: Any) -> Iterator[bytes]:
        self._note("Split", context)
        for byte in request:
            yield bytes((byte,))
        self._fail_if_told(context)

    def _join(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b"".join(requests)

    def _chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield request.upper()

    def _fail(self, request: bytes, context: Any) -> bytes:
        code = grpc.StatusCode[request.decode()]
        context.abort(code, "because: 100% ü")
        return b""

    def _held(self, request: bytes, context: Any) -> bytes:
        self._note("Held", context)
        context.add_callback(self.cancelled.set)
        self.hold.wait()
        return request
