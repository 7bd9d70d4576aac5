"""What was measured, kept in a file, so that the report can be made of several calls."""

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.rounds import Result

FILE: Final = Path(".benchmarks") / "results.json"


@dataclass
class Run:
    """One scenario's result, and when, where and how it was measured."""

    result: Result
    date: str
    command: str
    machine: str
    versions: dict[str, str]


@dataclass
class Record:
    """The last run of each scenario, by its name."""

    runs: dict[str, Run] = field(default_factory=dict)


def load() -> Record:
    """What the file holds; nothing when there is none."""
    if not FILE.exists():
        return Record()
    return msgspec.json.decode(FILE.read_bytes(), type=Record)


def save(record: Record) -> None:
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(msgspec.json.encode(record))


def keep(record: Record, name: str, run: Run) -> None:
    """The scenario's last run, and the last of all."""
    record.runs.pop(name, None)
    record.runs[name] = run


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def machine() -> str:
    """Processor, cores that may be used, memory, kernel and Python; no names."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    return (
        f"{_processor()}, {cores} cores, {memory_bytes / 2**30:.0f} GiB of memory, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
