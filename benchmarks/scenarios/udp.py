"""A datagram there and back, over many UDP sessions."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.balancers.balancer import Balancer
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

_SESSIONS: Final = 1000


class UdpDatagram(Scenario):
    name = "udp"
    title = "UDP datagram"
    unit = "µs of CPU per datagram there and back"
    method = (
        f"{_SESSIONS:,} clients in turn, each with 100 bytes; 128 datagrams under way at a time."
    )

    def cases(self, balancers: Sequence[Balancer]) -> list[Case]:
        """HAProxy relays no UDP."""
        return [Case(balancer) for balancer in balancers if balancer.name != "HAProxy"]

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, ("nginx", "Envoy"), 0.9)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            (port,) = free_ports(1)
            command = [sys.executable, "-m", "benchmarks.load.datagrams"]
            server = Process(
                [*command, "serve", "--port", str(port)],
                cores=cores.load,
                log=directory / "echo.log",
            )
            stack.enter_context(server)
            server.wait_until_echoing(port)
            site = make_site(
                [("127.0.0.1", port)], directory, protocol="udp", connections=_SESSIONS * 4
            )
            process = stack.enter_context(case.balancer.start(site, cores.balancer))

            def ask(seconds: float) -> int:
                asking = [*command, "ask", "--port", str(site.port), "--sessions", str(_SESSIONS)]
                with on(cores.load):
                    done = subprocess.run(
                        [*asking, "--seconds", str(seconds)],
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                if not done.stdout.strip().isdigit() or int(done.stdout) == 0:
                    raise MeasurementError(f"nothing came back: {done.stderr.strip()}")
                return int(done.stdout)

            return sample_of_load(process, ask, bench.seconds, "units/s")
