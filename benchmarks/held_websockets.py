"""Very many WebSockets at once: is anything lost, and is anything left behind?

``python -m benchmarks.held_websockets`` holds 18,000 over two workers for a minute, each with a
message every ten seconds. It exits with 1 where a message was lost or came late, or where
connections or descriptors stayed behind. CPU time is told apart for balancer, clients, endpoints.
"""

import json
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from benchmarks import accounts
from benchmarks.crowd import (
    PROCESSES,
    ClientProcesses,
    check_left,
    check_p99,
    spent_s,
    start_endpoint,
    start_penstock,
    told_faults,
)
from benchmarks.limits import raise_descriptor_limit
from benchmarks.process import Process, end_in_order_when_terminated, free_ports
from benchmarks.scenarios.scenario import temporary_directory

_CLIENT: Final = "benchmarks.load.paced_websockets"
_ENDPOINT: Final = "benchmarks.load.echo"


@dataclass(frozen=True)
class Told:
    """What came of one run of all clients."""

    sent: int
    lost: int
    cpu_s: float
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.sent:,} sent, {self.lost:,} lost; p50 {self.p50_ms:.2f} ms, p99 "
            f"{self.p99_ms:.2f} ms"
        )


class Clients(ClientProcesses):
    """Who hold WebSockets, each process to one of the ports in turn."""

    def __init__(self, ports: list[int], count: int, every_s: float, seconds: float) -> None:
        share = str(count // PROCESSES)
        super().__init__(
            _CLIENT,
            lambda number: (
                *("--port", str(ports[number % len(ports)]), "--count", share),
                *("--every", str(every_s), "--seconds", str(seconds)),
            ),
        )
        self.wait_until_said("open")

    def wait(self) -> Told:
        return Told(**self.told(("sent", "lost")))


class Balancer:
    """Penstock before the endpoints."""

    def __init__(self, stack: ExitStack, directory: Path, ports: list[int], workers: int) -> None:
        self.port, self._admin = free_ports(2)
        file = directory / "penstock.yaml"
        document = {
            "workers": workers,
            "admin": f"127.0.0.1:{self._admin}",
            "listen": f"127.0.0.1:{self.port}",
            "endpoints": [f"http://127.0.0.1:{port}" for port in ports],
        }
        file.write_text(json.dumps(document))
        self.process = start_penstock(stack, directory, file)
        self.process.wait_until_answering(f"http://127.0.0.1:{self._admin}/readyz")
        for _ in range(4 * workers):  # each worker has its idle connections
            self.process.wait_until_answering(f"http://127.0.0.1:{self.port}/")

    def connections(self) -> int:
        url = f"http://127.0.0.1:{self._admin}/api/v1/status"
        with urllib.request.urlopen(url, timeout=30.0) as answer:
            return int(json.load(answer)["totals"]["connections"])

    def descriptors(self) -> int:
        return accounts.descriptors(self.process.tree())

    def memory_bytes(self) -> int:
        return accounts.memory_bytes(self.process.tree())


def _start_endpoints(stack: ExitStack, directory: Path, ports: list[int]) -> list[Process]:
    started = [start_endpoint(stack, directory, _ENDPOINT, port) for port in ports]
    for process, port in zip(started, ports, strict=True):
        process.wait_until_listening(port)
    return started


@click.command()
@click.option("--websockets", default=18_000, show_default=True)
@click.option("--every", default=10.0, show_default=True, help="Seconds between two messages.")
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--workers", default=2, show_default=True)
def main(websockets: int, every: float, seconds: float, workers: int) -> None:
    """Hold very many WebSockets.

    Example: python -m benchmarks.held_websockets --websockets 2000 --seconds 10
    """
    raise_descriptor_limit()
    end_in_order_when_terminated()
    faults: list[str] = []
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        ports = free_ports(PROCESSES)
        endpoints = _start_endpoints(stack, directory, ports)
        direct = Clients(ports, websockets, every, min(seconds, 20.0)).wait()
        click.echo(f"without balancer: {direct}")
        balancer = Balancer(stack, directory, ports, workers)
        idle = balancer.descriptors()
        memory = balancer.memory_bytes()
        clients = Clients([balancer.port], websockets, every, seconds)
        began_s, echoed_s = spent_s([balancer.process]), spent_s(endpoints)
        time.sleep(seconds / 2)
        held = balancer.memory_bytes() - memory
        open_now = balancer.connections()
        told = clients.wait()
        taken_s = spent_s([balancer.process]) - began_s
        click.echo(f"{open_now:,} WebSockets for {seconds:g} s: {told}")
        click.echo(
            f"CPU: balancer {taken_s:.1f} s ({taken_s * 1e6 / told.sent:.1f} µs for each message "
            f"there and back), clients {told.cpu_s:.1f} s, endpoints "
            f"{spent_s(endpoints) - echoed_s:.1f} s; memory for each WebSocket "
            f"{held / 1024 / websockets:.2f} KiB"
        )
        if told.lost:
            faults.append(f"{told.lost:,} messages were lost")
        check_p99(told.p99_ms, direct.p99_ms, faults)
        check_left(balancer.process, idle, balancer.connections, "connections", faults)
    sys.exit(told_faults(faults))


if __name__ == "__main__":
    main()
