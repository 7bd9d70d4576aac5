"""A request over HTTP/2 with prior knowledge in front, HTTP/1.1 behind."""

import re
import shutil
import subprocess
from contextlib import ExitStack
from typing import Final

from benchmarks.cores import on, split
from benchmarks.failure import MeasurementError
from benchmarks.scenarios.request import start_two_backends
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

_DONE: Final = re.compile(r"(\d+) succeeded, (\d+) failed")


class Http2Request(Scenario):
    name = "h2c"
    title = "Request over HTTP/2"
    unit = "µs of CPU per request"
    method = (
        "8 connections of h2load with 8 streams each: a GET as soon as the last one is answered "
        "(h2c, prior knowledge); two nginx behind answer 71 bytes over HTTP/1.1."
    )

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, ("HAProxy",), 1.0)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            endpoints = start_two_backends(stack, directory, cores.load)
            site = make_site(endpoints, directory, protocol="h2c")
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            return sample_of_load(
                process,
                lambda seconds: self._send(site, cores.load, seconds),
                bench.seconds,
                "requests/s",
            )

    def _send(self, site: Site, cores: frozenset[int], seconds: float) -> int:
        h2load = shutil.which("h2load")
        if h2load is None:
            raise MeasurementError("h2load is not installed (Debian: nghttp2-client)")
        # h2load closes its connections at the end of a duration, so answers of then fail.
        command = [h2load, "-c", "8", "-m", "8", "-D", str(max(int(seconds), 1))]
        with on(cores):
            done = subprocess.run(
                [*command, f"http://127.0.0.1:{site.port}/index.html"],
                capture_output=True,
                text=True,
                check=False,
            )
        found = _DONE.search(done.stdout)
        if found is None or int(found[1]) == 0:
            raise MeasurementError(f"h2load failed: {done.stdout[-300:]}{done.stderr[-300:]}")
        return int(found[1])
