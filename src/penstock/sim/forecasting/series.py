"""Series of equal steps, from request traces and from CSV files of timestamp and value."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Final, NamedTuple

from penstock.sim.trace import TraceError, TraceRequest, read_trace

DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
_HEADER: Final = ("timestamp", "value")
_STEPS_S: Final = (60.0, 10.0, 1.0)  # of a trace: the longest of which there are enough
_ENOUGH: Final = 300
_MOST: Final = 5_000_000


@dataclass(frozen=True)
class Series:
    """Loads, one for each step; None where nobody knows."""

    name: str
    step_s: float
    values: list[float | None]

    @property
    def length_s(self) -> float:
        """From the beginning of the first step to the end of the last."""
        return self.step_s * len(self.values)


class Sample(NamedTuple):
    """A value that a file has of a time, in seconds since 1 January 1970."""

    at_s: float
    value: float


def read_series(path: Path, step_s: float | None = None) -> list[Series]:
    """Of a trace the arrivals, prompt tokens and output tokens in each step; of a CSV its values.

    Without ``step_s`` a CSV's step is what most of its rows are apart, and a trace's the longest of
    a minute, 10 s and a second of which it has 300. Raises TraceError, OSError.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
    if tuple(cell.strip().lower() for cell in first.split(",")) == _HEADER:
        return [_from_samples(path, _samples(path), step_s)]
    if first and not first.lstrip().startswith(("{", "TIMESTAMP,")):
        raise TraceError(
            f"{path}: line 1 is neither the header timestamp,value nor the beginning of a request "
            "trace: a JSON object (Mooncake) or TIMESTAMP,ContextTokens,GeneratedTokens (Azure)"
        )
    return _from_requests(path, list(read_trace(path)), step_s)


def fitting_seasons(series: Series) -> tuple[float, ...]:
    """A day and a week, in seconds, as far as the series has two of them, in whole steps."""
    return tuple(
        season
        for season in (DAY_S, WEEK_S)
        if 2 * season <= series.length_s and steps_of(season, series.step_s) >= 2
    )


def steps_of(duration_s: float, step_s: float) -> int:
    """So many steps; 0 where it is no whole number of them."""
    steps = round(duration_s / step_s)
    return steps if abs(steps * step_s - duration_s) < 1e-6 * duration_s else 0


def _from_requests(
    path: Path, requests: Sequence[TraceRequest], step_s: float | None
) -> list[Series]:
    end_s = max(request.at_s for request in requests)
    begin_s = min(request.at_s for request in requests)
    if step_s is None:
        enough = (step for step in _STEPS_S if (end_s - begin_s) / step >= _ENOUGH)
        step_s = next(enough, _STEPS_S[-1])
    # The last step is not over: it would be counted too low.
    count = _counted(path, int((end_s - begin_s) / step_s))
    arrivals, prompt, output = [0.0] * count, [0.0] * count, [0.0] * count
    for request in requests:
        step = int((request.at_s - begin_s) / step_s)
        if step < count:
            arrivals[step] += 1.0
            prompt[step] += request.input_tokens
            output[step] += request.output_tokens
    return [
        Series("arrivals", step_s, [*arrivals]),
        Series("prompt tokens", step_s, [*prompt]),
        Series("output tokens", step_s, [*output]),
    ]


def _from_samples(path: Path, samples: Iterator[Sample], step_s: float | None) -> Series:
    known = sorted(samples)
    apart = Counter(b.at_s - a.at_s for a, b in pairwise(known) if b.at_s > a.at_s)
    if not apart:
        raise TraceError(f"{path} has fewer than two times in it")
    own_step_s = apart.most_common(1)[0][0]
    step_s = step_s or own_step_s
    in_step = steps_of(step_s, own_step_s)
    if not in_step:
        raise TraceError(
            f"{path}: a step of {step_s:g} s is no multiple of the {own_step_s:g} s that its rows "
            "are apart"
        )
    begin_s = known[0].at_s
    count = _counted(path, int((known[-1].at_s - begin_s) / step_s) + 1)
    sums, rows = [0.0] * count, [0] * count
    for sample in known:
        step = int((sample.at_s - begin_s) / step_s)
        sums[step] += sample.value
        rows[step] += 1
    # A step of which a part is missing is what the rest says of it.
    values = [
        total * in_step / found if 2 * found >= in_step else None
        for total, found in zip(sums, rows, strict=True)
    ]
    return Series("value", step_s, values)


def _samples(path: Path) -> Iterator[Sample]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            yield from _read_rows(file, path)
        except UnicodeDecodeError as error:
            raise TraceError(f"{path} is no text; if it is compressed, unpack it first") from error


def _read_rows(lines: Iterable[str], path: Path) -> Iterator[Sample]:
    reader = csv.reader(lines)
    next(reader)
    for row in reader:
        if not row:
            continue
        try:
            stamp, text = row
            value = float(text)
            if not isfinite(value) or value < 0.0:
                raise ValueError(f"a load is a number of at least 0, not {text}")
            yield Sample(_time(stamp.strip()), value)
        except ValueError as error:
            raise TraceError(f"{path}: line {reader.line_num}: {error}") from error


def _time(text: str) -> float:
    """Seconds since 1970 as they are, or a date and time, in UTC where no zone is named."""
    try:
        seconds = float(text)
    except ValueError:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not isfinite(seconds):
        raise ValueError(f"not a time: {text}")
    return seconds


def _counted(path: Path, steps: int) -> int:
    if steps < 2:
        raise TraceError(f"{path} has fewer than two steps; choose a shorter --step")
    if steps > _MOST:
        raise TraceError(f"{path} has {steps:,} steps; choose a longer --step")
    return steps
