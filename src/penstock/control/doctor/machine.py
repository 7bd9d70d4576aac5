"""The machine: descriptors, queues of the kernel, outgoing ports, clock, memory, processors."""

import ctypes
import re
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock._form import form
from penstock.config.compile.cores import usable_cores
from penstock.config.compile.snapshot import Configured
from penstock.control.doctor.finding import Finding, Harm

_FEW_DESCRIPTORS: Final = 4096
_ENOUGH_DESCRIPTORS: Final = 65536
_FEW_PORTS: Final = 16384  # of the 28232 that Linux has for outgoing connections
_WORKER_BYTES: Final = 64 << 20  # an idle one, interpreted
_MADE_S: Final = 1764547200.0  # 2025-12-01: no clock is right that says an earlier time
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES: Final = 512  # struct timex has 208


@dataclass(frozen=True)
class Machine:
    """What was read of it. 0 or None where it could not be."""

    descriptors: int  # the hard limit, to which the soft one is raised
    somaxconn: int
    outgoing_ports: int
    memory_bytes: int  # that are free for use
    synchronized: bool | None  # whether its clock is
    now_s: float
    cores: int
    form: str


def read_machine(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> Machine:
    """This one, as it is now."""
    ports = _numbers(proc / "sys/net/ipv4/ip_local_port_range")
    return Machine(
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        somaxconn=next(iter(_numbers(proc / "sys/net/core/somaxconn")), 0),
        outgoing_ports=ports[1] - ports[0] + 1 if len(ports) == 2 else 0,
        memory_bytes=_free_bytes(proc, cgroup),
        synchronized=_is_synchronized(),
        now_s=time.time(),
        cores=usable_cores(),
        form=form(),
    )


def judge_machine(machine: Machine, configured: Configured | None) -> Iterator[Finding]:
    """What of it does harm to what the file asks for."""
    yield from _descriptors(machine, configured)
    yield from _queues(machine, configured)
    yield from _clock(machine)
    yield from _memory(machine, configured)
    if machine.outgoing_ports and machine.outgoing_ports < _FEW_PORTS:
        yield Finding(
            Harm.ADVICE,
            "outgoing ports",
            f"{machine.outgoing_ports} bound the connections to one endpoint's address",
            "sysctl net.ipv4.ip_local_port_range='10240 65535'",
        )
    if configured is not None and configured.workers > machine.cores:
        yield Finding(
            Harm.ADVICE,
            "workers",
            f"{configured.workers} share {machine.cores} cores",
            "`workers: auto`, which is one for each core",
        )
    if machine.form == "interpreted":
        yield Finding(
            Harm.ADVICE,
            "penstock",
            "it runs interpreted, at about twice the CPU time of its compiled form",
            "install a C compiler, then penstock-lb again, or a wheel for this Python",
        )


def _descriptors(machine: Machine, configured: Configured | None) -> Iterator[Finding]:
    """Each relayed request holds two: its client's and its endpoint's."""
    limit = machine.descriptors
    if limit == resource.RLIM_INFINITY or limit >= _ENOUGH_DESCRIPTORS:
        return
    bound = (
        max((each.limits.connections for each in configured.snapshot.listeners), default=0)
        if configured is not None
        else 0
    )
    asked = 2 * bound // max(1, configured.workers) if configured is not None else 0
    harm = Harm.WARNING if limit < max(_FEW_DESCRIPTORS, asked) else Harm.ADVICE
    yield Finding(
        harm,
        "file descriptors",
        f"a process may have {limit}: about {limit // 2} requests at a time in each worker",
        "LimitNOFILE=1048576 in its systemd unit, or `ulimit -Hn 1048576` before it starts",
    )


def _queues(machine: Machine, configured: Configured | None) -> Iterator[Finding]:
    if configured is None or not machine.somaxconn:
        return
    asked = max((each.backlog for each in configured.snapshot.listeners), default=0)
    if machine.somaxconn < asked:
        yield Finding(
            Harm.WARNING if machine.somaxconn < 1024 else Harm.ADVICE,
            "somaxconn",
            f"the kernel lets {machine.somaxconn} connections wait for a worker, of {asked} asked "
            "for: in a burst others wait a second and more",
            f"sysctl net.core.somaxconn={asked}",
        )


def _clock(machine: Machine) -> Iterator[Finding]:
    if machine.now_s < _MADE_S:
        told = time.strftime("%Y-%m-%d", time.gmtime(machine.now_s))
        yield Finding(
            Harm.ERROR,
            "clock",
            f"it says {told}: certificates are refused as not yet valid",
            "set it, and keep it right by NTP (chrony, systemd-timesyncd)",
        )
    elif machine.synchronized is False:
        yield Finding(
            Harm.ADVICE,
            "clock",
            "nothing synchronizes it: logs of several machines will not agree, and certificates "
            "begin and end late",
            "run chrony or systemd-timesyncd; in a container, on its host",
        )


def _memory(machine: Machine, configured: Configured | None) -> Iterator[Finding]:
    if configured is None or not machine.memory_bytes:
        return
    bodies = 0
    if any(pool.kind == "llm" for pool in configured.snapshot.pools):
        bodies = configured.snapshot.prompt_bytes
    needed = configured.workers * (_WORKER_BYTES + bodies)
    if needed > machine.memory_bytes:
        yield Finding(
            Harm.WARNING,
            "memory",
            f"{configured.workers} workers may take {needed >> 20} MiB, prompts that they hold "
            f"included, and {machine.memory_bytes >> 20} MiB are free",
            "fewer `workers`, a smaller `prompt_memory`, or more memory",
        )


def _is_synchronized() -> bool | None:
    """What the kernel says (adjtimex, reading only); None where it cannot be asked."""
    try:
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # all zero: modes 0 changes nothing
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(timex))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def _free_bytes(proc: Path, cgroup: Path) -> int:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read(proc / "meminfo"), re.MULTILINE)
    free = int(found.group(1)) << 10 if found else 0
    most = _numbers(cgroup / "memory.max")
    used = _numbers(cgroup / "memory.current")
    if most and used:
        left = max(0, most[0] - used[0])
        return min(free, left) if free else left
    return free


def _numbers(file: Path) -> list[int]:
    return [int(each) for each in _read(file).split() if each.isdecimal()]


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
