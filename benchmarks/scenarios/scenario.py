"""What all scenarios have in common: cases, one sample of a case, and the CPU account."""

import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from benchmarks import accounts
from benchmarks.accounts import Cpu
from benchmarks.balancers import Balancer
from benchmarks.certificate import make_certificate
from benchmarks.failure import MeasurementError
from benchmarks.process import Process, free_ports
from benchmarks.site import Site

PENSTOCK = "Penstock"
ANCHORS = ("nginx", "HAProxy")
WARM_UP_S = 1.0


@dataclass(frozen=True)
class Bench:
    """How long and how often. ``quick`` makes everything small enough to see that it works."""

    rounds: int
    seconds: float
    quick: bool = False


@dataclass(frozen=True)
class Case:
    """One row: a balancer, and what is different in this row (workers, endpoints)."""

    balancer: Balancer
    amount: int = 1
    variant: str = ""  # ``amount`` in words

    @property
    def label(self) -> str:
        return row(self.balancer.name, self.variant)


def row(name: str, variant: str) -> str:
    """The label of a balancer's row."""
    return f"{name}, {variant}" if variant else name


@dataclass(frozen=True)
class Sample:
    """One measurement: the value that is compared, and what else was seen, by column title."""

    value: float
    seen: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A bound for the row ``label``, divided by the least of the rows ``to`` in the same round.

    Without ``to``: for the value itself.
    """

    label: str
    to: tuple[str, ...]
    bound: float
    at_least: bool = False


class Scenario(ABC):
    """``unit`` is that of a sample's value."""

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str]
    method: ClassVar[str]
    shown: ClassVar[tuple[str, ...]] = ()  # titles of what else is seen and a document shows

    def cases(self, balancers: Sequence[Balancer]) -> list[Case]:
        """In the order in which they take turns within a round."""
        return [Case(balancer) for balancer in balancers]

    def baselines(self, case: Case) -> dict[str, str]:
        """The rows that this case's is divided by, under the titles of the columns."""
        return {name: name for name in ANCHORS}

    def targets(self) -> list[Target]:
        return []

    @abstractmethod
    def measure(self, case: Case, bench: Bench) -> Sample:
        """One sample. Starts and ends all that it needs."""


class CpuAccount:
    """CPU time that a process tree spends from here on."""

    def __init__(self, process: Process) -> None:
        self.root = process.pid
        self._pids = process.tree()
        self._before = accounts.cpu(self._pids)

    def spent(self) -> dict[int, Cpu]:
        """By process. Raises MeasurementError when one ended: its time would be missing."""
        after = accounts.cpu(self._pids)
        if lost := set(self._before) - set(after):
            raise MeasurementError(f"of the balancer's processes, {sorted(lost)} ended")
        return {pid: after[pid].since(before) for pid, before in self._before.items()}

    def per_unit(self, units: int, elapsed_s: float) -> dict[str, float]:
        """Microseconds in all, of them in user mode and in the parent of others; cores busy."""
        spent = self.spent()
        total_s = sum([each.total_s for each in spent.values()])
        user_s = sum([each.user_s for each in spent.values()])
        seen = {"µs": total_s * 1e6 / units, "µs in user mode": user_s * 1e6 / units}
        if len(spent) > 1:
            seen["µs in the parent"] = spent[self.root].total_s * 1e6 / units
        seen["cores busy"] = total_s / elapsed_s
        return seen


def sample_of_load(
    process: Process, load: Callable[[float], int], seconds: float, rate: str
) -> Sample:
    """CPU time per unit of ``load``, which runs for so many seconds and returns how many units were
    done; it warms up before. ``rate`` names the units in a second."""
    load(WARM_UP_S)
    account = CpuAccount(process)
    begun = time.monotonic()
    count = load(seconds)
    seen = account.per_unit(count, time.monotonic() - begun)
    value = seen.pop("µs")
    seen[rate] = count / seconds
    return Sample(value, seen)


def make_site(
    endpoints: list[tuple[str, int]],
    directory: Path,
    *,
    tls: bool = False,
    workers: int = 1,
    streaming: bool = False,
    connections: int = 1024,
    protocol: str = "http",
) -> Site:
    """A site on free ports."""
    port, admin_port = free_ports(2)
    return Site(
        directory=directory,
        port=port,
        admin_port=admin_port,
        endpoints=endpoints,
        certificate=make_certificate(directory) if tls else None,
        workers=workers,
        streaming=streaming,
        connections=connections,
        protocol=protocol,
    )


@contextmanager
def temporary_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)
