"""Many requests under upgrades and reloads: is one of them lost?

``python -m benchmarks.upgrades --requests 1000000 --upgrades 20``
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import click

from benchmarks.balancers.penstock import Penstock
from benchmarks.cores import available, split, together
from benchmarks.limits import raise_descriptor_limit
from benchmarks.load.wrk import Requests, send_requests
from benchmarks.process import end_in_order_when_terminated
from benchmarks.scenarios.request import start_two_backends
from benchmarks.scenarios.scenario import make_site, temporary_directory

_SLICE_S: Final = 5.0
_RELOAD_S: Final = 1.0
_POLL_S: Final = 0.1
_PATIENCE_S: Final = 120.0  # for one upgrade


class Upgraded(Penstock):
    """With a runtime directory of its own, by which its newest supervisor is found."""

    def __init__(self, python: str, runtime: Path, *, interpreted: bool) -> None:
        super().__init__(python, interpreted=interpreted)
        self._runtime = runtime

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "PENSTOCK_RUNTIME_DIR": str(self._runtime)}


def newest(runtime: Path) -> int:
    """The pid of the supervisor that can be upgraded; 0 where there is none at the moment."""
    found = list(runtime.glob("supervisor-*.sock"))
    return int(found[0].name.split("-")[1]) if len(found) == 1 else 0


def upgrade(runtime: Path) -> None:
    """Have it succeeded, with a reload every second. Raises TimeoutError."""
    before = _there(runtime)
    os.kill(before, signal.SIGUSR2)
    deadline = time.monotonic() + _PATIENCE_S
    while newest(runtime) in (0, before):
        if time.monotonic() > deadline:
            raise TimeoutError(f"supervisor {before} was not succeeded in {_PATIENCE_S:g} s")
        reload_now(runtime)
        time.sleep(_RELOAD_S)


def reload_now(runtime: Path) -> None:
    """Whoever is in charge."""
    with suppress(ProcessLookupError):
        if pid := newest(runtime):
            os.kill(pid, signal.SIGHUP)


def _there(runtime: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_S
    while not (pid := newest(runtime)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no supervisor in {runtime}")
        time.sleep(_POLL_S)
    return pid


@click.command()
@click.option("--requests", default=1_000_000, show_default=True, help="How many, at least.")
@click.option("--upgrades", default=20, show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.option("--interpreted", is_flag=True)
@click.option(
    "--penstock-python", default=sys.executable, help="The interpreter that has Penstock."
)
def main(
    requests: int, upgrades: int, workers: int, interpreted: bool, penstock_python: str
) -> None:
    """Send many requests under upgrades and a reload every second; tell how many were lost.

    Example: python -m benchmarks.upgrades --requests 1000000 --upgrades 20
    """
    raise_descriptor_limit()
    end_in_order_when_terminated()
    cores = split() if len(available()) > 1 else together(1)
    done: list[Requests] = []
    made = 0
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        runtime = directory / "run"
        balancer = Upgraded(penstock_python, runtime, interpreted=interpreted)
        endpoints = start_two_backends(stack, directory, cores.load)
        site = make_site(endpoints, directory, workers=workers)
        stack.enter_context(balancer.start(site, cores.balancer))
        threads = stack.enter_context(ThreadPoolExecutor(1))
        began = time.monotonic()
        while made < upgrades or sum(each.count for each in done) < requests:
            load: Future[Requests] = threads.submit(send_requests, site.url, cores.load, _SLICE_S)
            while not load.done():
                if made < upgrades:
                    upgrade(runtime)
                    made += 1
                else:
                    reload_now(runtime)
                time.sleep(_RELOAD_S)
            done.append(load.result())
        lasted_s = time.monotonic() - began
        os.kill(_there(runtime), signal.SIGTERM)
    answered = sum(each.count for each in done)
    lost = sum((Counter(each.errors) for each in done), Counter[str]())
    found = {
        "requests": answered,
        "upgrades": made,
        "seconds": round(lasted_s),
        "lost": lost.total(),
        "kinds": dict(lost),
        "p99_ms": round(max(each.p99_us for each in done) / 1000, 1),
    }
    click.echo(json.dumps(found))
    if lost:
        sys.exit(1)


if __name__ == "__main__":
    main()
