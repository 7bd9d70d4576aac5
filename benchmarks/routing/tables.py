"""Tables of what live runs measured: means over the seeds, with their 95% intervals."""

from collections.abc import Callable, Sequence
from math import isnan
from typing import Final, NamedTuple

from benchmarks.reproductions.reproduction import table
from benchmarks.routing.floor import NAME, Floor
from benchmarks.routing.live import Row
from penstock.sim.statistics import Interval, interval


class _Column(NamedTuple):
    head: str
    value: Callable[[Row], float]
    digits: int
    unit: str = ""
    best: Callable[[Sequence[float]], float] | None = None  # of several routers' means


_COLUMNS: Final = (
    _Column("TTFT mean, ms", lambda row: row.ttft_mean_s * 1000, 0, best=min),
    _Column("TTFT p99, ms", lambda row: row.ttft_p99_s * 1000, 0, best=min),
    _Column("time per token, ms", lambda row: row.tpot_mean_s * 1000, 1, best=min),
    _Column("goodput, /s", lambda row: row.goodput_per_s, 2, best=max),
    _Column("hit rate", lambda row: row.hit_rate * 100, 1, "%", best=max),
    _Column("router's CPU per request, ms", lambda row: row.cpu_per_request_s * 1000, 1),
)
_COUNTED: Final = ("failed", "client late at p99, ms")


def live(rows: Sequence[Row], floors: Sequence[Floor] = ()) -> list[str]:
    """A Markdown table of one workload on one fleet, shortest mean time to first token first.

    The best of each column is bold. Failures are those of all seeds together, and a client's
    lateness that of the worst.
    """
    by_router: dict[str, list[Row]] = {}
    for row in rows:
        by_router.setdefault(row.router, []).append(row)
    found = {
        router: [interval([column.value(row) for row in seeds]) for column in _COLUMNS]
        for router, seeds in by_router.items()
    }
    best = [
        _best(column, [each[number].mean for each in found.values()])
        for number, column in enumerate(_COLUMNS)
    ]
    lines = []
    if floors:
        lines.append(_floor(floors))
    for router in sorted(found, key=lambda router: found[router][0].mean):
        seeds = by_router[router]
        cells = [
            _cell(each, column, best=each.mean == most)
            for each, column, most in zip(found[router], _COLUMNS, best, strict=True)
        ]
        failed = sum(row.failed for row in seeds)
        late_s = max(row.client_lag_p99_s for row in seeds)
        lines.append([router, *cells, str(failed), f"{late_s * 1000:.0f}"])
    heads = [column.head for column in _COLUMNS]
    return table(["router", *heads, *_COUNTED], lines)


def _best(column: _Column, means: Sequence[float]) -> float | None:
    """None where there is none, or all are equal."""
    if column.best is None or len(set(means)) == 1:
        return None
    return column.best(means)


def _floor(floors: Sequence[Floor]) -> list[str]:
    mean = interval([each.ttft_mean_s * 1000 for each in floors])
    tail = interval([each.ttft_p99_s * 1000 for each in floors])
    cells = [_cell(found, column) for found, column in zip((mean, tail), _COLUMNS, strict=False)]
    others = len(_COLUMNS) - len(cells) + len(_COUNTED)
    return [NAME, *cells, *["–"] * others]


def _cell(found: Interval, column: _Column, *, best: bool = False) -> str:
    text = f"{found.mean:,.{column.digits}f}"
    text = (f"**{text}**" if best else text) + column.unit
    if not isnan(found.half_width):
        text += f" ± {found.half_width:,.{column.digits}f}{column.unit}"
    return text
