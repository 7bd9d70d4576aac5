"""docs/performance.md and its data files: what was measured, and how."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from benchmarks import data
from benchmarks.balancers import Balancer
from benchmarks.record import Record
from benchmarks.report import records, section, targets
from benchmarks.scenarios import Scenario
from benchmarks.site import Certificate, Site

FILE: Final = Path("docs") / "performance.md"
# What people write about the numbers stands below this line and is left as it is.
BY_HAND: Final = "<!-- Below this line: written by people, kept by the benchmark. -->"

_OPENING: Final = """\
# Performance

Written by `{command}` on {date}.

Machine: {machine}. Measured: {versions}.

How it was measured:

- Every balancer runs with one worker (thread, process) on a core of its own; load and backends
  share the others, everything over loopback. A fresh process is started for every measurement,
  in a process group of its own and in the benchmark's session, as a shell starts its jobs: with a
  session each (`setsid`), Linux would share processors out among sessions (autogroup, sched(7)).
- CPU is user and system time of all the balancer's processes (parent, workers, health checks
  included) from `/proc/PID/stat`, divided by what was counted at the client in the same time. It
  includes the kernel's work on loopback, which is the greater part of it.
- The balancers take turns within a round; a ratio is the median of the ratios of each round, with
  the least and the greatest in parentheses. Compare only within a table.
- On everywhere: keep-alive on both sides, least connections, `X-Forwarded-For`, `-Proto`, `-Host`,
  a random `X-Request-ID`; active health checks every 5 s and metrics (nginx has neither in its
  open-source form). Request logs are off everywhere.
- The file that each scenario links to also has user mode, the parent process, cores busy,
  throughput and p99.
"""


def write(record: Record, scenarios: Sequence[Scenario], balancers: Sequence[Balancer]) -> Path:
    """All runs in ``record``, in the order of ``scenarios``; what people wrote is kept."""
    by_hand = ""
    if FILE.exists():
        by_hand = FILE.read_text().partition(BY_HAND)[2].strip()
    data.DIRECTORY.mkdir(parents=True, exist_ok=True)
    _write_data(record, scenarios, balancers)
    text = "\n\n".join([_generated(record, scenarios, balancers), BY_HAND, by_hand]).strip()
    FILE.write_text(text + "\n")
    return FILE


def _write_data(
    record: Record, scenarios: Sequence[Scenario], balancers: Sequence[Balancer]
) -> None:
    for scenario in scenarios:
        if run := record.runs.get(scenario.name):
            data.write(f"performance-{scenario.name}", records(scenario, run.result))
    for balancer in balancers:
        _configuration(balancer).write_text(_example(balancer) + "\n")


def _configuration(balancer: Balancer) -> Path:
    """Where its example lies. Variants of one balancer have the same."""
    return data.DIRECTORY / f"performance-{balancer.name.split()[0].lower()}.conf"


def _link(name: str) -> str:
    return f"[{name}]({data.DIRECTORY.name}/{name})"


def _generated(record: Record, scenarios: Sequence[Scenario], balancers: Sequence[Balancer]) -> str:
    shown = [scenario for scenario in scenarios if scenario.name in record.runs]
    last = list(record.runs.values())[-1]
    opening = _OPENING.format(
        command=last.command,
        date=last.date,
        machine=last.machine,
        versions=", ".join([f"{name} {version}" for name, version in last.versions.items()]),
    )
    parts = [opening.strip()]
    if short := _in_short(record, shown):
        parts.append("## In short\n\n" + "\n".join(short))
    for scenario in shown:
        run = record.runs[scenario.name]
        parts.append(section(scenario, run.result, everything=False))
        parts.append(_link(f"performance-{scenario.name}.csv"))
        differs = (run.date, run.machine, run.versions) != (last.date, last.machine, last.versions)
        if differs:
            versions = ", ".join([f"{name} {version}" for name, version in run.versions.items()])
            parts.append(f"(Measured on {run.date}: {run.machine}; {versions}.)")
    parts.append("## Configurations")
    names = [_configuration(each).name for each in balancers if _configuration(each).exists()]
    parts.append(
        "As generated for the request over TLS, with paths and ports as placeholders: "
        f"{', '.join(_link(name) for name in dict.fromkeys(names))}."
    )
    return "\n\n".join(parts)


def _in_short(record: Record, shown: Sequence[Scenario]) -> list[str]:
    return [
        f"- {scenario.title}: {line}"
        for scenario in shown
        for line in targets(scenario, record.runs[scenario.name].result)
    ]


def _example(balancer: Balancer) -> str:
    directory = Path("/run/benchmark")
    certificate = Certificate(
        directory / "certificate.pem", directory / "key.pem", directory / "bundle.pem"
    )
    site = Site(
        directory=directory,
        port=8443,
        admin_port=9900,
        endpoints=[("127.0.0.1", 8001), ("127.0.0.1", 8002)],
        certificate=certificate,
    )
    text = balancer.configuration(site).strip()
    if not text.startswith("{"):
        return text
    shown: str = yaml.safe_dump(json.loads(text), sort_keys=False)
    return shown.strip()
