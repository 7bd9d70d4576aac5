"""An engine that answers each chat request after a while, and counts what it was asked.

``python -m benchmarks.tenants.engine --port 0 --delay 0.3`` prints its port and counts as JSON for
every line on its standard input, and begins anew.
"""

import argparse
import asyncio
import json
import sys
from typing import Final

from benchmarks.tenants.asked import ANSWER

_LENGTH: Final = b"content-length:"
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_ANSWER: Final = _HEAD % len(ANSWER) + ANSWER.encode()
_HEALTHY: Final = _HEAD % 2 + b"{}"


class Counts:
    """Requests that came, and the most at a time."""

    def __init__(self) -> None:
        self.requests = 0
        self.running = 0
        self.most = 0

    def begun(self) -> None:
        self.requests += 1
        self.running += 1
        self.most = max(self.most, self.running)

    def told(self, port: int) -> str:
        """As JSON; what comes from now on is counted anew."""
        text = json.dumps({"port": port, "requests": self.requests, "most": self.most})
        self.requests = 0
        self.most = self.running
        return text


async def serve(port: int, delay_s: float) -> None:
    """Until its standard input ends."""
    counts = Counts()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(_LENGTH)[2].partition(b"\r")[0]
                await reader.readexactly(int(length or b"0"))
                if not head.startswith(b"POST"):
                    writer.write(_HEALTHY)
                    continue
                counts.begun()
                try:
                    await asyncio.sleep(delay_s)
                finally:
                    counts.running -= 1
                writer.write(_ANSWER)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(counts.told(port), flush=True)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.delay))


if __name__ == "__main__":
    main()
