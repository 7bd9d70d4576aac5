"""What live runs measured, as rows of a data file: means over the seeds, with 95% intervals."""

from collections.abc import Callable, Sequence
from math import isnan
from typing import Final, NamedTuple

from benchmarks import data
from benchmarks.data import Record
from benchmarks.routing.floor import NAME, Floor
from benchmarks.routing.live import Row
from penstock.sim.statistics import Interval, interval


class _Column(NamedTuple):
    title: str
    value: Callable[[Row], float]
    digits: int


TTFT: Final = "TTFT mean ms"
TTFT_P99: Final = "TTFT p99 ms"
ROUTER: Final = "router"
# What tells one table of live results from another.
TABLE: Final = ("workload", "engines", "seconds")
_COLUMNS: Final = (
    _Column(TTFT, lambda row: row.ttft_mean_s * 1000, 0),
    _Column(TTFT_P99, lambda row: row.ttft_p99_s * 1000, 0),
    _Column("time per token ms", lambda row: row.tpot_mean_s * 1000, 1),
    _Column("goodput per s", lambda row: row.goodput_per_s, 2),
    _Column("hit rate", lambda row: row.hit_rate, 3),
    _Column("CPU of the router per request ms", lambda row: row.cpu_per_request_s * 1000, 1),
)


def live(rows: Sequence[Row], floors: Sequence[Floor] = ()) -> list[Record]:
    """One workload on one fleet: a row for each router, shortest mean time to first token first.

    Failures are those of all seeds together, and a client's lateness that of the worst.
    """
    by_router: dict[str, list[Row]] = {}
    for row in rows:
        by_router.setdefault(row.router, []).append(row)
    found = {
        router: [interval([column.value(row) for row in seeds]) for column in _COLUMNS]
        for router, seeds in by_router.items()
    }
    records = []
    if floors:
        records.append({**_setting(rows), **_floor(floors)})
    for router in sorted(found, key=lambda router: found[router][0].mean):
        seeds = by_router[router]
        record = {**_setting(rows), ROUTER: router}
        for column, each in zip(_COLUMNS, found[router], strict=True):
            record |= _cell(column, each)
        late_s = max(row.client_lag_p99_s for row in seeds)
        record |= _counted(str(sum(row.failed for row in seeds)), f"{late_s * 1000:.0f}")
        records.append(record)
    return records


def _setting(rows: Sequence[Row]) -> Record:
    """What all routers of a table share. Requests are those of a run, on average."""
    return {
        "workload": rows[0].kind,
        "engines": rows[0].fleet,
        "seconds": f"{rows[0].seconds:g}",
        "measured on": " and ".join(sorted({row.date for row in rows})),
        "speed of the engines": f"{rows[0].speedup:g}",
        "seeds": str(len({row.seed for row in rows})),
        "requests": str(round(sum(row.requests for row in rows) / len(rows))),
    }


def _floor(floors: Sequence[Floor]) -> Record:
    record = {ROUTER: NAME}
    known = {
        TTFT: interval([each.ttft_mean_s * 1000 for each in floors]),
        TTFT_P99: interval([each.ttft_p99_s * 1000 for each in floors]),
    }
    for column in _COLUMNS:
        record |= _cell(column, known.get(column.title))
    return record | _counted("", "")


def _cell(column: _Column, found: Interval | None) -> Record:
    if found is None:
        return data.spread(column.title, "", "")
    wide = "" if isnan(found.half_width) else f"{found.half_width:.{column.digits}f}"
    return data.spread(column.title, f"{found.mean:.{column.digits}f}", wide)


def _counted(failed: str, late_ms: str) -> Record:
    return {"failed": failed, "client late at p99 ms": late_ms}
