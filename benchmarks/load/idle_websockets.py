"""A client that opens many WebSockets and is silent.

``python -m benchmarks.load.idle_websockets --port 8080 --connections 5000``; a line on stdin is
answered, once all are open, with how many still are.
"""

import json
import sys

import click

from benchmarks.limits import raise_descriptor_limit
from benchmarks.load.echo import open_websocket
from benchmarks.load.idle_client import still_open


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--connections", type=int, required=True)
def main(port: int, connections: int) -> None:
    """Open WebSockets, and hold them."""
    raise_descriptor_limit()
    held = [open_websocket(port) for _ in range(connections)]
    for _ in sys.stdin:
        print(json.dumps({"open": still_open(held)}), flush=True)


if __name__ == "__main__":
    main()
