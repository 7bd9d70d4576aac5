"""From two endpoints to a thousand: CPU per request should not know the difference."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.backends import start_static
from benchmarks.balancers import Balancer
from benchmarks.cores import split
from benchmarks.scenarios.request import request_sample, run_load
from benchmarks.scenarios.scenario import (
    PENSTOCK,
    Bench,
    Case,
    Sample,
    Scenario,
    Target,
    make_site,
    row,
    temporary_directory,
)

_FEW: Final = (2, "2 endpoints")
# Until each of a thousand endpoints has the connections that it needs.
_WARM_UP_S: Final = 3.0
_MANY: Final = (1000, "1000 endpoints")


class Endpoints(Scenario):
    name = "endpoints"
    title = "2 → 1000 endpoints"
    unit = "µs of CPU per request"
    method = (
        "The request of above to a pool of 2 and to one of 1000 addresses of 127.0.0.0/8, all "
        "served by the same nginx with one worker. Health checks run every 5 s on each address "
        "(200 a second with 1000; nginx has none); what they cost is within the sum."
    )

    def cases(self, balancers: Sequence[Balancer]) -> list[Case]:
        return [Case(balancer, *variant) for balancer in balancers for variant in (_FEW, _MANY)]

    def baselines(self, case: Case) -> dict[str, str]:
        return {"its own with 2": row(case.balancer.name, _FEW[1])}

    def targets(self) -> list[Target]:
        return [Target(row(PENSTOCK, _MANY[1]), (row(PENSTOCK, _FEW[1]),), 1.05)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            addresses = [f"127.77.{n // 250}.{n % 250 + 1}" for n in range(case.amount)]
            backend, endpoints = start_static(directory, cores.load, "backend", addresses)
            stack.enter_context(backend)
            site = make_site(endpoints, directory, connections=1024)
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            account, done = run_load(process, site, cores, bench.seconds, warm_up_s=_WARM_UP_S)
            return request_sample(account, done)
