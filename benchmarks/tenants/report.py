"""Both tables, and what is kept of a run."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from benchmarks.comparison import Median
from benchmarks.reproductions.reproduction import table
from benchmarks.tenants.cost import Cost, compared
from benchmarks.tenants.overshoot import Overshoot

FILE: Final = Path(".benchmarks") / "tenants.json"
PENSTOCK: Final = "Penstock llm, key and limits"


class Run(msgspec.Struct):
    """One call of the command."""

    command: str
    date: str
    machine: str
    versions: dict[str, str]
    costs: list[Cost]
    overshoots: list[Overshoot]


def save(run: Run) -> None:
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(run)))


def told(run: Run) -> list[str]:
    """As Markdown."""
    versions = ", ".join([f"{name} {version}" for name, version in run.versions.items()])
    lines = [f"`{run.command}` on {run.date}: {run.machine}. {versions}."]
    if run.costs:
        lines += ["", *costs(run.costs)]
    if run.overshoots:
        lines += ["", *overshoots(run.overshoots)]
    return lines


def costs(found: Sequence[Cost]) -> list[str]:
    """A row for each gateway, beside itself without key and limits, and beside Penstock."""
    by_name = {cost.gateway: cost for cost in found}
    heads = ["gateway", "µs of CPU", "÷ without", "95% interval", f"÷ {PENSTOCK}"]
    rows = []
    for cost in (each for each in found if each.us):
        without, ours = by_name.get(cost.without), by_name.get(PENSTOCK)
        ratio = compared(cost, without) if without else None
        beside = compared(cost, ours) if ours else None
        rows.append(
            [
                cost.gateway,
                f"{median(cost.us):,.1f}",
                f"{ratio.value:.3f}" if ratio else "",
                _interval(ratio),
                f"{beside.value:,.2f}" if beside else "",
            ]
        )
    return table(heads, rows)


def overshoots(found: Sequence[Overshoot]) -> list[str]:
    """A row for each crowd, those of a bound together."""
    bounds = list(dict.fromkeys([each.bound for each in found]))
    heads = ["limit", "gateway", "at most", "passed", "beyond", "of it", "429", "other", "s"]
    rows = [
        [
            f"{each.amount:,} {each.unit}, {each.bound}",
            each.gateway,
            f"{each.allowed:,.0f}",
            f"{each.passed:,}",
            f"{each.beyond:,.0f}",
            f"{each.beyond / each.amount:.0%}",
            f"{each.refused:,}",
            f"{each.other:,}",
            f"{each.took_s:.1f}",
        ]
        for each in sorted(found, key=lambda each: bounds.index(each.bound))
    ]
    return table(heads, rows)


def _interval(found: Median | None) -> str:
    if found is None or found.low is None or found.high is None:
        return ""
    return f"{found.low:.3f}–{found.high:.3f}"
