"""What a start takes, and the memory of what was started: ``python -m benchmarks.start``.

One endpoint, plain HTTP, and so many workers. Time is from the command to the first answer that
came from the endpoint; CPU is that of the supervisor, of what it started and waited for, and of the
workers; memory is proportional (PSS), of which private is what nobody shares.
"""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import click

from penstock._form import form

_TICK_S: Final = 1.0 / os.sysconf("SC_CLK_TCK")
_SETTLE_S: Final = 2.0


class _Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


@click.command()
@click.option("--workers", default=1, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(workers: int, rounds: int) -> None:
    """Start it some times, and print what each took."""
    endpoint = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    click.echo(f"{form()}, {workers} workers")
    for _ in range(rounds):
        _measure(endpoint.server_address[1], workers)


def _measure(endpoint_port: int, workers: int) -> None:
    port = _free_port()
    command = [sys.executable, "-m", "penstock", "serve", f"http://127.0.0.1:{endpoint_port}"]
    command += ["--listen", f"127.0.0.1:{port}", "--workers", str(workers)]
    command += ["--admin", f"127.0.0.1:{_free_port()}"]
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "XDG_RUNTIME_DIR": directory}
        began = monotonic()
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as supervisor:
            try:
                _ask(port)
                took_s = monotonic() - began
                sleep(_SETTLE_S)
                click.echo(f"first answer after {took_s:.2f} s")
                for pid in (supervisor.pid, *_children(supervisor.pid)):
                    click.echo(_told(pid))
            finally:
                supervisor.terminate()


def _ask(port: int) -> None:
    """Until it is answered."""
    while True:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
        try:
            client.request("GET", "/")
            if client.getresponse().status == 200:
                return
        except OSError:
            sleep(0.002)
        finally:
            client.close()


def _told(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = sum(int(ticks) for ticks in stat[11:15]) * _TICK_S
    kib: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, _, value = line.partition(":")
        kib[key] = int(value.split()[0])
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    name = (
        "worker" if "dataplane.worker" in Path(f"/proc/{pid}/cmdline").read_text() else "supervisor"
    )
    return (
        f"  {name}: {cpu_s:.2f} s of CPU, {kib['Pss'] / 1024:.1f} MB, "
        f"{private / 1024:.1f} MB of them private"
    )


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def _free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])


if __name__ == "__main__":
    main()
