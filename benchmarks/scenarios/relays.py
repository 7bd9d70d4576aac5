"""What is relayed unread: a message over a WebSocket and over TCP, and a megabyte over TCP."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.cores import Cores, on, split
from benchmarks.failure import MeasurementError
from benchmarks.load.counted import CountedLoad
from benchmarks.process import Process, free_ports
from benchmarks.scenarios.idle import memory_of_idle
from benchmarks.scenarios.scenario import (
    PENSTOCK,
    Bench,
    Case,
    Sample,
    Scenario,
    Target,
    make_site,
    sample_of_load,
    temporary_directory,
)
from benchmarks.site import Site

_PEERS: Final = ("nginx", "HAProxy", "Envoy")
_HOLDING: Final = "benchmarks.load.idle_websockets"
_HELD: Final = 4_000
_QUICK_HELD: Final = 500
_WARM_UP_HELD: Final = 100


class _Relay(Scenario):
    """``asked``: further arguments of the asking end."""

    protocol: ClassVar[str]
    asked: ClassVar[tuple[str, ...]] = ()

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            endpoint = _start_echo(stack, directory, cores)
            site = make_site([endpoint], directory, protocol=self.protocol)
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            return sample_of_load(
                process,
                lambda seconds: self._ask(site, cores.load, seconds),
                bench.seconds,
                "units/s",
            )

    def _ask(self, site: Site, cores: frozenset[int], seconds: float) -> int:
        command = [sys.executable, "-m", "benchmarks.load.echo", "ask", "--port", str(site.port)]
        with on(cores):
            done = subprocess.run(
                [*command, "--seconds", str(seconds), *self.asked],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode or not done.stdout.strip().isdigit() or int(done.stdout) == 0:
            raise MeasurementError(f"the asking end failed: {done.stderr.strip() or done.stdout}")
        return int(done.stdout)


def _start_echo(stack: ExitStack, directory: Path, cores: Cores) -> tuple[str, int]:
    """An endpoint that sends back what it gets."""
    (port,) = free_ports(1)
    server = Process(
        [sys.executable, "-m", "benchmarks.load.echo", "serve", "--port", str(port)],
        cores=cores.load,
        log=directory / "echo.log",
    )
    stack.enter_context(server)
    server.wait_until_listening(port)
    return "127.0.0.1", port


class WebSocketMessage(_Relay):
    name = "websocket"
    title = "WebSocket message"
    unit = "µs of CPU per message there and back"
    method = "64 WebSockets, each with a frame of 100 bytes as soon as the last one came back."
    protocol = "websocket"
    asked = ("--websocket",)

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, _PEERS, 1.0)]


class TcpMessage(_Relay):
    name = "tcp"
    title = "TCP message"
    unit = "µs of CPU per message there and back"
    method = "64 connections, each with 106 bytes as soon as the last ones came back."
    protocol = "tcp"

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, _PEERS, 1.0)]


class TcpConnection(_Relay):
    name = "tcp-connection"
    title = "TCP connection"
    unit = "µs of CPU per connection"
    method = "Connections one at a time, each with 106 bytes there and back."
    protocol = "tcp"
    asked = ("--fresh",)

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, _PEERS, 1.0)]


class TcpMegabyte(_Relay):
    name = "tcp-megabyte"
    title = "TCP megabyte"
    unit = "µs of CPU per megabyte"
    method = "One connection, from the endpoint to the client, as fast as it goes."
    protocol = "tcp"
    asked = ("--megabytes",)

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, _PEERS, 0.6)]


class IdleTunnel(Scenario):
    name = "idle-tunnel"
    title = "Idle WebSocket"
    unit = "KB of user memory per WebSocket"
    method = (
        "Growth of the user memory (anonymous and shared, in proportion; no mapped files) of all "
        "the balancer's processes over 4,000 WebSockets that are silent, divided by their number."
    )

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, _PEERS, 1.0)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        held = _QUICK_HELD if bench.quick else _HELD
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            endpoint = _start_echo(stack, directory, cores)
            site = make_site(
                [endpoint], directory, protocol="websocket", connections=2 * held + 128
            )
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            first = CountedLoad(_HOLDING, cores.load, port=site.port, connections=_WARM_UP_HELD)
            with first:
                first.wait_until("open", _WARM_UP_HELD)
            return memory_of_idle(process, _HOLDING, cores.load, site, held)
