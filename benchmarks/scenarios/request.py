"""A proxied request: HTTP/1.1 keep-alive on both sides, in clear and over TLS."""

import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.backends import start_static
from benchmarks.backends.static import BODY
from benchmarks.cores import Cores, split
from benchmarks.load.wrk import Requests, send_requests_without_error
from benchmarks.process import Process
from benchmarks.scenarios.scenario import (
    ANCHORS,
    PENSTOCK,
    Bench,
    Case,
    CpuAccount,
    Sample,
    Scenario,
    Target,
    make_site,
    temporary_directory,
)
from benchmarks.site import Site

_WARM_UP_S = 1.0


class Request(Scenario):
    name = "request"
    title = "Request"
    unit = "µs of CPU per request"
    method = (
        "64 keep-alive connections of wrk send a 479-byte POST (15 headers) each as soon as the "
        "last one is answered; two nginx behind answer 71 bytes."
    )
    tls = False

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, ANCHORS, 0.95), Target(f"{PENSTOCK} interpreted", ANCHORS, 1.2)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            endpoints = start_two_backends(stack, directory, cores.load)
            site = make_site(endpoints, directory, tls=self.tls)
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            account, done = run_load(process, site, cores, bench.seconds)
            return request_sample(account, done)


class TlsRequest(Request):
    name = "tls"
    title = "Request over TLS"
    method = (
        "As above, with TLS 1.3 between client and balancer (ECDSA P-256 certificate), plain HTTP "
        "behind. The 64 handshakes are within the sum."
    )
    tls = True

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, ANCHORS, 1.0)]


def start_two_backends(
    stack: ExitStack,
    directory: Path,
    cores: frozenset[int],
    *,
    grpc: bool = False,
    body: str = BODY,
) -> list[tuple[str, int]]:
    """Two nginx with one worker each; they end with ``stack``."""
    endpoints: list[tuple[str, int]] = []
    for name in ("backend-1", "backend-2"):
        process, addresses = start_static(directory, cores, name, grpc=grpc, body=body)
        stack.enter_context(process)
        endpoints += addresses
    return endpoints


def run_load(
    process: Process,
    site: Site,
    cores: Cores,
    seconds: float,
    *,
    threads: int = 1,
    warm_up_s: float = _WARM_UP_S,
    prompt_tokens: int = -1,
) -> tuple[dict[str, float], Requests]:
    """Warm up, then the balancer's CPU account over one run of wrk."""
    send_requests_without_error(
        site.url, cores.load, warm_up_s, threads=threads, prompt_tokens=prompt_tokens
    )
    account = CpuAccount(process)
    begun = time.monotonic()
    done = send_requests_without_error(
        site.url, cores.load, seconds, threads=threads, prompt_tokens=prompt_tokens
    )
    return account.per_unit(done.count, time.monotonic() - begun), done


def request_sample(account: dict[str, float], done: Requests) -> Sample:
    """CPU per request; throughput and tail beside it."""
    seen = {name: value for name, value in account.items() if name != "µs"}
    seen["requests/s"] = done.per_s
    seen["p99 ms"] = done.p99_us / 1000
    return Sample(account["µs"], seen)
