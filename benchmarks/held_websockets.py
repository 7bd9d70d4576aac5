"""Very many WebSockets at once: is anything lost, and is anything left behind?

``python -m benchmarks.held_websockets`` holds 18,000 over two workers for a minute, each with a
message every ten seconds. It exits with 1 where a message was lost or came late, or where
connections or descriptors stayed behind. CPU time is told apart for balancer, clients, endpoints.
"""

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from benchmarks import accounts
from benchmarks.cores import available
from benchmarks.limits import raise_descriptor_limit
from benchmarks.process import Process, end_in_order_when_terminated, free_ports
from benchmarks.scenarios.scenario import temporary_directory

_PROCESSES: Final = 2  # of clients and of endpoints, for each has 20,000 descriptors
_ADDED_P99_MS: Final = 5.0
_SETTLE_S: Final = 60.0


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


class Clients:
    """Processes that hold WebSockets, each to one of the ports in turn."""

    def __init__(self, ports: list[int], count: int, every_s: float, seconds: float) -> None:
        command = [sys.executable, "-m", "benchmarks.load.paced_websockets"]
        self._running = [
            subprocess.Popen(
                [
                    *command,
                    *("--port", str(ports[number % len(ports)])),
                    *("--count", str(count // _PROCESSES), "--every", str(every_s)),
                    *("--seconds", str(seconds), "--source", f"127.0.1.{number + 1}"),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(_PROCESSES)
        ]

    def wait_until_open(self) -> None:
        for each in self._running:
            assert each.stdout is not None
            if each.stdout.readline() != "open\n":
                raise SystemExit("the clients did not get their WebSockets")

    def wait(self) -> Told:
        told = [json.loads(each.communicate()[0]) for each in self._running]
        return Told(
            sent=sum(each["sent"] for each in told),
            lost=sum(each["lost"] for each in told),
            cpu_s=sum(each["cpu_s"] for each in told),
            p50_ms=max(each["p50_ms"] for each in told),
            p99_ms=max(each["p99_ms"] for each in told),
        )


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
        command = [sys.executable, "-m", "penstock", "serve", "--config", str(file)]
        self.process = Process(
            command, cores=frozenset(available()), log=directory / "penstock.log"
        )
        stack.enter_context(self.process)
        self.process.wait_until_answering(f"http://127.0.0.1:{self._admin}/readyz")
        for _ in range(4 * workers):  # each worker has its idle connections
            self.process.wait_until_answering(f"http://127.0.0.1:{self.port}/")

    def connections(self) -> int:
        url = f"http://127.0.0.1:{self._admin}/api/v1/status"
        with urllib.request.urlopen(url, timeout=30.0) as answer:
            return int(json.load(answer)["totals"]["connections"])

    def descriptors(self) -> int:
        return accounts.descriptors(self.process.tree())

    def wait_until_settled(self, descriptors: int) -> tuple[int, int]:
        """Connections and descriptors that are left when all clients are gone, given time."""
        end = time.monotonic() + _SETTLE_S
        while time.monotonic() < end and (self.connections() or self.descriptors() > descriptors):
            time.sleep(0.5)
        return self.connections(), self.descriptors()


def _start_endpoints(stack: ExitStack, directory: Path, ports: list[int]) -> list[Process]:
    started = []
    for port in ports:
        command = [sys.executable, "-m", "benchmarks.load.echo", "serve", "--port", str(port)]
        process = Process(command, cores=frozenset(available()), log=directory / f"echo-{port}.log")
        stack.enter_context(process)
        process.wait_until_listening(port)
        started.append(process)
    return started


def _spent_s(processes: list[Process]) -> float:
    return sum(
        each.total_s for process in processes for each in accounts.cpu(process.tree()).values()
    )


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
        ports = free_ports(_PROCESSES)
        endpoints = _start_endpoints(stack, directory, ports)
        clients = Clients(ports, websockets, every, min(seconds, 20.0))
        clients.wait_until_open()
        direct = clients.wait()
        click.echo(f"without balancer: {direct}")
        balancer = Balancer(stack, directory, ports, workers)
        idle = balancer.descriptors()
        memory = accounts.memory_bytes(balancer.process.tree())
        clients = Clients([balancer.port], websockets, every, seconds)
        clients.wait_until_open()
        began_s, echoed_s = _spent_s([balancer.process]), _spent_s(endpoints)
        time.sleep(seconds / 2)
        held = accounts.memory_bytes(balancer.process.tree()) - memory
        open_now = balancer.connections()
        told = clients.wait()
        spent_s = _spent_s([balancer.process]) - began_s
        click.echo(f"{open_now:,} WebSockets for {seconds:g} s: {told}")
        click.echo(
            f"CPU: balancer {spent_s:.1f} s ({spent_s * 1e6 / told.sent:.1f} µs for each message "
            f"there and back), clients {told.cpu_s:.1f} s, endpoints "
            f"{_spent_s(endpoints) - echoed_s:.1f} s; memory for each WebSocket "
            f"{held / 1024 / websockets:.2f} KiB"
        )
        if told.lost:
            faults.append(f"{told.lost:,} messages were lost")
        if told.p99_ms - direct.p99_ms > _ADDED_P99_MS:
            faults.append(f"p99 is {told.p99_ms - direct.p99_ms:.1f} ms more than without balancer")
        left, descriptors = balancer.wait_until_settled(idle)
        if left or descriptors > idle:
            faults.append(f"{left} connections and {descriptors - idle} descriptors are left")
    for fault in faults:
        click.echo(f"FAULT: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
