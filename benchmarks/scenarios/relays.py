"""What is relayed unread: a message over a WebSocket and over TCP, and a megabyte over TCP."""

import subprocess
import sys
from contextlib import ExitStack
from typing import ClassVar, Final

from benchmarks.cores import on, split
from benchmarks.failure import MeasurementError
from benchmarks.process import Process, free_ports
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

_PEERS: Final = ("nginx", "HAProxy")


class _Relay(Scenario):
    """``asked``: further arguments of the asking end."""

    protocol: ClassVar[str]
    asked: ClassVar[tuple[str, ...]] = ()

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            (port,) = free_ports(1)
            server = Process(
                [sys.executable, "-m", "benchmarks.load.echo", "serve", "--port", str(port)],
                cores=cores.load,
                log=directory / "echo.log",
            )
            stack.enter_context(server)
            server.wait_until_listening(port)
            site = make_site([("127.0.0.1", port)], directory, protocol=self.protocol)
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


class TcpMegabyte(_Relay):
    name = "tcp-megabyte"
    title = "TCP megabyte"
    unit = "µs of CPU per megabyte"
    method = "One connection, from the endpoint to the client, as fast as it goes."
    protocol = "tcp"
    asked = ("--megabytes",)

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, _PEERS, 0.6)]
