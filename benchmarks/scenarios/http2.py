"""Requests over HTTP/2: in front alone, in clear and over TLS; and gRPC, on both sides."""

import re
import shutil
import subprocess
import time
from contextlib import ExitStack
from typing import Final

from benchmarks.backends.static import MESSAGE
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

_PATIENCE_S: Final = 20.0
_DONE: Final = re.compile(r"(\d+) succeeded, (\d+) failed")


class Http2Request(Scenario):
    name = "h2c"
    title = "Request over HTTP/2"
    unit = "µs of CPU per request"
    method = (
        "8 connections of h2load with 8 streams each: a GET as soon as the last one is answered "
        "(h2c, prior knowledge); two nginx behind answer 71 bytes over HTTP/1.1."
    )
    protocol = "h2c"

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, ("Envoy",), 0.6), Target(PENSTOCK, ("HAProxy",), 1.0)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            endpoints = start_two_backends(
                stack, directory, cores.load, grpc=self.protocol == "grpc"
            )
            site = make_site(
                endpoints, directory, tls=self.protocol == "h2", protocol=self.protocol
            )
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            _wait_until_answering(self.asked(site), cores.load)
            return sample_of_load(
                process,
                lambda seconds: _send(self.asked(site), cores.load, seconds),
                bench.seconds,
                "requests/s",
            )

    def asked(self, site: Site) -> list[str]:
        """What h2load is told to ask for."""
        return [f"{site.url}/index.html"]


class Http2TlsRequest(Http2Request):
    name = "h2-tls"
    title = "Request over HTTP/2 and TLS"
    method = (
        "As above, with TLS 1.3 between client and balancer (ALPN, ECDSA P-256 certificate). The 8 "
        "handshakes are within the sum."
    )
    protocol = "h2"


class GrpcCall(Http2Request):
    name = "grpc-unary"
    title = "Unary gRPC call"
    unit = "µs of CPU per call"
    method = (
        "8 connections of h2load with 8 streams each: a POST of a 71-byte message as soon as the "
        "last one is answered, h2c on both sides; two nginx behind answer a 71-byte message with "
        "trailers."
    )
    protocol = "grpc"

    def asked(self, site: Site) -> list[str]:
        fields = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        message = str(site.directory / MESSAGE)
        return [*fields, "-d", message, f"{site.url}/bench.Service/Call"]


def _wait_until_answering(asked: list[str], cores: frozenset[int]) -> None:
    """A supervisor listens before its workers serve. Raises MeasurementError."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            _h2load(["-n", "1", *asked], cores, _PATIENCE_S)
        except MeasurementError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return


def _send(asked: list[str], cores: frozenset[int], seconds: float) -> int:
    # h2load closes its connections at the end of a duration, so answers of then fail.
    duration = max(int(seconds), 1)
    command = ["-c", "8", "-m", "8", "-D", str(duration), *asked]
    return _h2load(command, cores, duration + _PATIENCE_S)


def _h2load(arguments: list[str], cores: frozenset[int], timeout_s: float) -> int:
    """How many requests succeeded. Raises MeasurementError where none did."""
    h2load = shutil.which("h2load")
    if h2load is None:
        raise MeasurementError("h2load is not installed (Debian: nghttp2-client)")
    with on(cores):
        try:
            done = subprocess.run(
                [h2load, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"h2load did not end within {timeout_s:g} s") from None
    found = _DONE.search(done.stdout)
    if found is None or int(found[1]) == 0:
        raise MeasurementError(f"h2load failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    return int(found[1])
