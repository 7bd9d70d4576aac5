"""CPU of a short request, with a key and limits and without, of gateways that take turns."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import msgspec

from benchmarks.balancers import Balancer
from benchmarks.comparison import Median, median_of
from benchmarks.cores import Cores
from benchmarks.failure import LoadError, StartError
from benchmarks.load.wrk import send_requests_without_error
from benchmarks.process import Process
from benchmarks.scenarios.request import start_two_backends
from benchmarks.scenarios.scenario import CpuAccount, make_site
from benchmarks.tenants.asked import ANSWER, BODY, KEY

_WARM_UP_S = 1.0


class Cost(msgspec.Struct):
    """Microseconds of CPU per request, one for each round."""

    gateway: str
    without: str  # the gateway that is the same without key and limits; empty: itself
    us: list[float] = []
    per_s: list[float] = []


def compared(cost: Cost, to: Cost) -> Median | None:
    """How many times as much, by the ratios of rounds in which both were measured."""
    pairs = list(zip(cost.us, to.us, strict=False))
    return median_of([one / other for one, other in pairs]) if pairs else None


def measure(
    gateways: Sequence[tuple[Balancer, str]],
    rounds: int,
    seconds: float,
    cores: Cores,
    directory: Path,
    tell: Callable[[str], None],
) -> list[Cost]:
    """``gateways``, each with the name of the one it is compared with. All run all the time and
    are asked in turn, in the other order each second round; one that fails is left out."""
    with ExitStack() as stack:
        endpoints = start_two_backends(stack, directory, cores.load, body=ANSWER)
        running: list[tuple[Process, str, Cost]] = []
        for number, (gateway, without) in enumerate(gateways):
            own = directory / str(number)
            own.mkdir()
            site = make_site(endpoints, own)
            try:
                process = stack.enter_context(gateway.start(site, cores.balancer))
                _ask(site.url, cores, _WARM_UP_S)
            except (StartError, LoadError) as why:
                tell(f"without {gateway.name}: {why}")
                continue
            running.append((process, site.url, Cost(gateway.name, without)))
            tell(f"{gateway.name} answers")
        for number in range(rounds):
            for process, url, cost in running[:: -1 if number % 2 else 1]:
                account = CpuAccount(process)
                began = monotonic()
                count = _ask(url, cores, seconds)
                passed_s = monotonic() - began
                cost.us.append(account.per_unit(count, passed_s)["µs"])
                cost.per_s.append(count / passed_s)
                tell(f"{number + 1}/{rounds} {cost.gateway}: {cost.us[-1]:.4g} µs")
    return [cost for _, _, cost in running]


def _ask(url: str, cores: Cores, seconds: float) -> int:
    """Requests that were answered. Raises LoadError when one failed."""
    return send_requests_without_error(url, cores.load, seconds, body=BODY, key=KEY).count
