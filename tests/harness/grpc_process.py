"""A gRPC server of another make in a process of its own, so that it can be killed.

As a program: ``python -m tests.harness.grpc_process FILE`` prints its port, and appends to the file
the message of each call that reaches it.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

SERVICE = "/test.Held/"


class GrpcProcess:
    """``Wait`` answers, with the server's name, once ``let_go`` was called."""

    def __init__(self, seen: Path) -> None:
        self._seen = seen
        seen.touch()
        program = [sys.executable, "-m", "tests.harness.grpc_process", str(seen)]
        self._process = subprocess.Popen(program, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.host = "127.0.0.1"
        self.port = int(self._process.stdout.readline())

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    def seen(self) -> list[bytes]:
        """The messages of all calls that reached it."""
        return self._seen.read_bytes().split()

    def let_go(self) -> None:
        """Answer all calls, also those to come."""
        with grpc.insecure_channel(self.name) as channel:
            channel.unary_unary(SERVICE + "LetGo")(b"", timeout=60)

    def kill(self) -> None:
        """SIGKILL: it says nothing to anybody."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


async def serve(seen: str) -> None:
    """Until it is killed."""
    gate = asyncio.Event()
    port = 0
    with open(seen, "ab", buffering=0) as file:  # noqa: ASYNC230 - there is nothing to hold up

        async def wait(request: bytes, context: Any) -> bytes:
            file.write(request + b"\n")
            await gate.wait()
            return b"127.0.0.1:%d" % port

        async def let_go(request: bytes, context: Any) -> bytes:
            gate.set()
            return b""

        handlers = {
            "Wait": grpc.unary_unary_rpc_method_handler(wait),
            "LetGo": grpc.unary_unary_rpc_method_handler(let_go),
        }
        server = grpc.aio.server()
        service = grpc.method_handlers_generic_handler("test.Held", handlers)
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(port, flush=True)
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
