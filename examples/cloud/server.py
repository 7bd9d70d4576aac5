"""A server that takes a while for each request: `python server.py PORT`.

Of the standard library alone, so that it starts in a moment.
"""

import asyncio
import signal
import sys

SERVICE_S = 0.1


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests without a body, one after another."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"GET /health "):
                await asyncio.sleep(SERVICE_S)
            body = b"served by port " + sys.argv[1].encode() + b"\n"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the balancer closed it
    finally:
        writer.close()


async def main() -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
