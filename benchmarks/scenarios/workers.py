"""From one worker to two: requests per second of the whole machine, and CPU per request."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.balancers import Balancer
from benchmarks.cores import Cores, available, split, together
from benchmarks.scenarios.request import request_sample, run_load, start_two_backends
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

_VARIANTS: Final = {1: "1 worker", 2: "2 workers"}
_FOR_BALANCER: Final = 2


class Workers(Scenario):
    name = "workers"
    title = "1 → 2 workers"
    unit = "requests/s"
    method = (
        "Where four cores can be had, balancer and load have two each, and the balancer's are the "
        "bottleneck. With fewer, everything (balancer, wrk, backends) shares one core at one "
        "worker and two cores at two, wrk with as many threads: the ratio then tells how the "
        "whole grows, the balancer being more than half of it. CPU per request, beside it, is "
        "measured either way: a second worker that hindered the first would raise it. Listening "
        "sockets are per worker (SO_REUSEPORT) in nginx and Penstock."
    )

    def cases(self, balancers: Sequence[Balancer]) -> list[Case]:
        return [Case(balancer, *variant) for balancer in balancers for variant in _VARIANTS.items()]

    def baselines(self, case: Case) -> dict[str, str]:
        return {"its own with 1": row(case.balancer.name, _VARIANTS[1])}

    def targets(self) -> list[Target]:
        one, two = row(PENSTOCK, _VARIANTS[1]), row(PENSTOCK, _VARIANTS[2])
        return [Target(two, (one,), 1.9, at_least=True)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = _cores(case.amount)
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            endpoints = start_two_backends(stack, directory, cores.load)
            site = make_site(endpoints, directory, workers=case.amount)
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            account, done = run_load(process, site, cores, bench.seconds, threads=len(cores.load))
            sample = request_sample(account, done)
        seen = {"µs of CPU per request": sample.value, **sample.seen}
        return Sample(seen.pop("requests/s"), seen)


def _cores(workers: int) -> Cores:
    if len(available()) >= 2 * _FOR_BALANCER:
        wide = split(_FOR_BALANCER)
        return Cores(frozenset(sorted(wide.balancer)[-workers:]), wide.load)
    return together(workers)
