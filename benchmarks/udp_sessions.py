"""Very many UDP sessions, and reloads under load: is anything lost, and is anything left behind?

``python -m benchmarks.udp_sessions`` runs 20,000 sessions with a datagram a second each for a
minute over two workers, then as many again for a short while, and then a hundred reloads at 20,000
datagrams a second. It exits with 1 where a datagram was lost, came twice or to somebody else, or
where sessions, descriptors or memory stayed behind. The CPU time of balancer, clients and endpoints
is told apart.
"""

import json
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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

_ENDPOINTS: Final = 4
_CLIENT: Final = "benchmarks.load.paced_datagrams"
_ENDPOINT: Final = "benchmarks.load.datagrams"
_IDLE_S: Final = 5
_WAVES_APART_SHARE: Final = 0.1  # by which memory may differ between two waves


@dataclass(frozen=True)
class Wave:
    """What came of one run of all clients."""

    sent: int
    lost: int
    repeated: int
    misled: int
    cpu_s: float
    p50_ms: float
    p99_ms: float

    @property
    def whole(self) -> bool:
        """Every datagram came back once, to who sent it."""
        return self.lost == self.repeated == self.misled == 0

    def __str__(self) -> str:
        return (
            f"{self.sent:,} sent, {self.lost:,} lost, {self.repeated:,} twice, {self.misled:,} to "
            f"others; p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms"
        )


class Clients(ClientProcesses):
    """Who send, each process on its part of the sessions."""

    def __init__(self, port: int, sessions: int, per_s: float, seconds: float) -> None:
        options = (
            *("--port", str(port), "--sessions", str(sessions // PROCESSES)),
            *("--per-s", str(per_s / PROCESSES), "--seconds", str(seconds)),
        )
        super().__init__(_CLIENT, lambda number: options)

    def wait(self) -> Wave:
        return Wave(**self.told(("sent", "lost", "repeated", "misled")))


class Balancer:
    """Penstock before the endpoints."""

    def __init__(
        self,
        stack: ExitStack,
        directory: Path,
        ports: list[int],
        workers: int,
        sessions: int,
        idle_s: float,
    ) -> None:
        self.port, self._admin = free_ports(2)
        self._file = directory / "penstock.yaml"
        self._document: dict[str, Any] = {
            "workers": workers,
            "admin": f"127.0.0.1:{self._admin}",
            "listeners": {
                "arena": {
                    "address": f"127.0.0.1:{self.port}",
                    "protocol": "udp",
                    "pool": "arena",
                    # The kernel spreads them over the workers by chance.
                    "limits": {"sessions": 2 * sessions},
                }
            },
            "pools": {
                "arena": {
                    "endpoints": [f"udp://127.0.0.1:{port}" for port in ports],
                    "timeouts": {"session_idle": f"{idle_s:g}s"},
                }
            },
        }
        self.write("begin")
        self.process = start_penstock(stack, directory, self._file)
        self.process.wait_until_echoing(self.port)

    def write(self, via: str) -> None:
        self._file.write_text(json.dumps({**self._document, "via": via}))

    def reload(self, number: int) -> None:
        """With something in the file that differs."""
        self.write(f"edge{number}")
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._admin}/api/v1/reload",
            data=b"{}",
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30.0):
            pass

    def metric(self, name: str) -> dict[str, float]:
        """Its samples by their labels, those of workers added."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._admin}/metrics", timeout=30.0
        ) as answer:
            lines = answer.read().decode().splitlines()
        found: dict[str, float] = {}
        for line in lines:
            if line.startswith((f"penstock_{name}{{", f"penstock_{name} ")):
                labels, _, value = line.rpartition(" ")
                kept = labels.partition('reason="')[2].rstrip('"}')
                found[kept] = found.get(kept, 0.0) + float(value)
        return found

    def sessions(self) -> int:
        return int(sum(self.metric("sessions").values()))

    def drops(self) -> dict[str, int]:
        dropped = self.metric("dropped_datagrams_total")
        return {reason: int(count) for reason, count in dropped.items() if count}

    def memory_bytes(self) -> int:
        return accounts.memory_bytes(self.process.tree())

    def descriptors(self) -> int:
        return accounts.descriptors(self.process.tree())


def start_endpoints(stack: ExitStack, directory: Path) -> list[Process]:
    """Echoes, the ports of which are in their names."""
    started = []
    for port in free_ports(_ENDPOINTS):
        process = start_endpoint(stack, directory, _ENDPOINT, port)
        process.name = str(port)
        process.wait_until_echoing(port)
        started.append(process)
    return started


@click.command()
@click.option("--sessions", default=20_000, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="That they last.")
@click.option("--every", default=1.0, show_default=True, help="Seconds between two of a session.")
@click.option("--workers", default=2, show_default=True)
@click.option("--reloads", default=100, show_default=True)
@click.option("--per-s", default=20_000.0, show_default=True, help="Datagrams, during reloads.")
def main(
    sessions: int, seconds: float, every: float, workers: int, reloads: int, per_s: float
) -> None:
    """Run very many UDP sessions, and reload under load.

    Example, for a small machine: python -m benchmarks.udp_sessions --every 10 --per-s 2000
    """
    raise_descriptor_limit()
    end_in_order_when_terminated()
    faults: list[str] = []
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        endpoints = start_endpoints(stack, directory)
        ports = [int(each.name) for each in endpoints]
        direct = Clients(ports[0], sessions, sessions / every, min(seconds, 10.0)).wait()
        click.echo(f"without balancer: {direct}")
        balancer = Balancer(stack, directory, ports, workers, sessions, 2 * every + _IDLE_S)
        idle = balancer.descriptors()
        _run_sessions(balancer, endpoints, sessions, every, seconds, direct, idle, faults)
        if reloads:
            _run_reloads(balancer, reloads, per_s, faults)
        click.echo(f"dropped by the balancer: {balancer.drops() or 'none'}")
    sys.exit(told_faults(faults))


def _run_sessions(
    balancer: Balancer,
    endpoints: list[Process],
    sessions: int,
    every: float,
    seconds: float,
    direct: Wave,
    idle: int,
    faults: list[str],
) -> None:
    peaks: list[int] = []
    for wave_s in (seconds, min(seconds, 10.0 * every)):
        before_s, echoed_s = spent_s([balancer.process]), spent_s(endpoints)
        clients = Clients(balancer.port, sessions, sessions / every, wave_s)
        time.sleep(wave_s / 2)
        peaks.append(balancer.memory_bytes())
        open_now = balancer.sessions()
        wave = clients.wait()
        taken_s = spent_s([balancer.process]) - before_s
        click.echo(f"{open_now:,} sessions for {wave_s:g} s: {wave}")
        click.echo(
            f"CPU: balancer {taken_s:.1f} s ({taken_s * 1e6 / wave.sent:.1f} µs for each there and "
            f"back), clients {wave.cpu_s:.1f} s, endpoints {spent_s(endpoints) - echoed_s:.1f} s"
        )
        if not wave.whole:
            faults.append(f"{wave}")
        check_p99(wave.p99_ms, direct.p99_ms, faults)
        check_left(balancer.process, idle, balancer.sessions, "sessions", faults)
    click.echo(f"memory with all sessions: {', '.join(f'{p / 2**20:.1f} MiB' for p in peaks)}")
    if peaks[1] > peaks[0] * (1 + _WAVES_APART_SHARE):
        faults.append("the second wave took more memory than the first")


def _run_reloads(balancer: Balancer, reloads: int, per_s: float, faults: list[str]) -> None:
    clients = Clients(balancer.port, 1000, per_s, reloads * 0.5)
    done = 0
    while clients.are_running() and done < reloads:
        balancer.reload(done)
        done += 1
        time.sleep(0.2)
    wave = clients.wait()
    click.echo(f"{done} reloads at {per_s:,.0f} datagrams a second: {wave}")
    if not wave.whole or done < reloads:
        faults.append(f"{done} reloads: {wave}")


if __name__ == "__main__":
    main()
