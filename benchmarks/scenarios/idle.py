"""Memory of idle keep-alive connections."""

import time
from contextlib import ExitStack
from typing import Final

from benchmarks import accounts
from benchmarks.cores import split
from benchmarks.failure import LoadError
from benchmarks.load.counted import CountedLoad
from benchmarks.load.wrk import send_requests_without_error
from benchmarks.process import Process
from benchmarks.scenarios.request import start_two_backends
from benchmarks.scenarios.scenario import (
    PENSTOCK,
    Bench,
    Case,
    Sample,
    Scenario,
    Target,
    make_site,
    temporary_directory,
)
from benchmarks.site import Site

_CONNECTIONS: Final = 9_000
_QUICK_CONNECTIONS: Final = 1_000
_WARM_UP_S: Final = 1.0
_SETTLE_S: Final = 1.0
_CLIENT: Final = "benchmarks.load.idle_client"


class IdleConnections(Scenario):
    name = "idle"
    title = "Idle keep-alive connection"
    unit = "KB of user memory per connection"
    method = (
        "Growth of the user memory (anonymous and shared, in proportion; no mapped files) of all "
        "the balancer's processes, from after a second of load, over 9,000 connections that made "
        "one request each and are then silent, divided by their number. What a program sets aside "
        "for connections when it starts is not in the growth; the whole memory is beside it."
    )

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, (), 0.5)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        connections = _QUICK_CONNECTIONS if bench.quick else _CONNECTIONS
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            endpoints = start_two_backends(stack, directory, cores.load)
            site = make_site(endpoints, directory, connections=connections + 128)
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            send_requests_without_error(site.url, cores.load, _WARM_UP_S)
            return memory_of_idle(process, _CLIENT, cores.load, site, connections)


def memory_of_idle(
    process: Process, client: str, cores: frozenset[int], site: Site, connections: int
) -> Sample:
    """KB of user memory that each costs of so many which ``client`` opens and holds in silence.

    Raises LoadError where one was closed.
    """
    time.sleep(_SETTLE_S)
    pids = process.tree()
    before = accounts.memory_bytes(pids)
    with CountedLoad(client, cores, port=site.port, connections=connections) as load:
        load.wait_until("open", connections)
        time.sleep(_SETTLE_S)
        after = accounts.memory_bytes(pids)
        if (still := load.ask()["open"]) != connections:
            raise LoadError(f"{connections - still} idle connections were closed")
    return Sample(
        (after - before) / connections / 1024,
        {"MB before": before / 2**20, "MB with all open": after / 2**20},
    )
