"""How evenly what is in flight lies over the endpoints."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import floor
from statistics import fmean, pstdev

import msgspec


@dataclass(frozen=True)
class Stay:
    """A request at an endpoint, in seconds of any one clock."""

    endpoint: str
    began: float
    ended: float


class _Line(msgspec.Struct):
    """What a line of the request log tells, as far as it matters here."""

    time: datetime
    endpoint: str = ""
    t_total: float = 0.0  # milliseconds


_decode = msgspec.json.Decoder(_Line).decode


def spread(samples: Sequence[Sequence[float]]) -> float:
    """The standard deviation over the endpoints, which ``samples`` hold in the same order each,
    in the mean over the samples; 0 without any."""
    return fmean([pstdev(each) for each in samples]) if samples else 0.0


def stays(lines: Sequence[bytes]) -> list[Stay]:
    """Of a request log in JSON, without those that reached no endpoint."""
    found = []
    for told in map(_decode, lines):
        if told.endpoint:
            ended = told.time.timestamp()
            found.append(Stay(told.endpoint, ended - told.t_total / 1000, ended))
    return found


def sampled(
    requests: Sequence[Stay], endpoints: Sequence[str], start: float, end: float, every_s: float
) -> list[list[int]]:
    """How many are at each endpoint, every so often from ``start`` to before ``end``."""
    samples = []
    for number in range(max(floor((end - start) / every_s), 0)):
        at = start + number * every_s
        there = Counter(each.endpoint for each in requests if each.began <= at < each.ended)
        samples.append([there[name] for name in endpoints])
    return samples
