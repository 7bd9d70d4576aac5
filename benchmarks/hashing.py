"""The hashing policies against their papers: ``python -m benchmarks.hashing --write-docs``.

Measures how unevenly keys are spread, and how many move when an endpoint goes or comes, and writes
a part of docs/reproductions.md, with all results in docs/data.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from random import Random
from typing import Final

import click

from benchmarks import data
from benchmarks.data import Record
from benchmarks.marked import replace
from benchmarks.reproductions.reproduction import table
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Policy, create
from penstock.core.request import Request
from penstock.core.ticket import Ticket

FILE: Final = Path("docs") / "reproductions.md"
SPREAD: Final = "hashing-spread"
BOUNDED: Final = "hashing-bounded"
BOUNDS: Final = (1.25, 1.5, 2.0)
_KEYS_PER_ENDPOINT: Final = 2000
_LOADED: Final = 50  # endpoints on which requests pile up
_IN_FLIGHT: Final = 5000
_OPENING: Final = """\
# Reproductions

Published results beside ours, each with the command that measures it.
"""


@dataclass(frozen=True)
class Published:
    """What a paper says: of the shares' spread, and of keys that move, for n endpoints."""

    name: str
    options: dict[str, object]
    spread: str
    moved: Callable[[int], float]  # when the last endpoint goes, as a share of all keys
    source: str
    slots: int = 0  # of its table, which is then counted out rather than sampled


PUBLISHED: Final = (
    Published(
        "consistent-hash",
        {},
        "1/√160 = 0.079",
        lambda n: 1 / n,
        "ring, 160 points: CV ≈ 1/√points; Karger et al. 1997",
    ),
    Published(
        "maglev",
        {},
        "max ≤ 1.01·mean for M > 100·n",
        lambda n: 2 / n,
        "about twice the ring's moves (M/n not given); Eisenbud et al. 2016",
        slots=65537,
    ),
    Published("rendezvous", {}, "0", lambda n: 1 / n, "Thaler, Ravishankar 1998"),
    Published("jump-hash", {}, "0", lambda n: 1 / n, "Lamping, Veach 2014"),
    Published("source-hash", {}, "0", lambda n: 1 - 1 / n, "hash mod n: all but 1/n of keys move"),
)


@click.command()
@click.option("--sizes", default="20,100,600", show_default=True, help="Numbers of endpoints.")
@click.option("--write-docs", is_flag=True, help=f"Replace the part in {FILE}.")
def main(sizes: str, write_docs: bool) -> None:
    """Measure, and print the part of the document."""
    numbers = [int(size) for size in sizes.split(",")]
    spread = [_spread_of(published, count) for published in PUBLISHED for count in numbers]
    bounded = _bounded()
    text = "\n".join(_document(spread, bounded))
    click.echo(text)
    if write_docs:
        replace(FILE, "hashing", text, _OPENING)
        data.write(SPREAD, spread)
        data.write(BOUNDED, bounded)


def _document(spread: list[Record], bounded: list[Record]) -> list[str]:
    """Of the sizes the middle one, of the bounds the narrowest; the rest is in the data files."""
    sizes = list(dict.fromkeys(each["endpoints"] for each in spread))
    size = sizes[len(sizes) // 2]
    columns = ["published spread", "spread", "max/mean", "published moved", "moved"]
    shown = [each for each in spread if each["endpoints"] == size]
    piled = [each for each in bounded if each["bound c"] == str(min(BOUNDS))]
    return [
        "## Hashing",
        "",
        f"`python -m benchmarks.hashing --write-docs`, {_KEYS_PER_ENDPOINT:,} random keys per "
        f"endpoint, seed 1. Here for {size} endpoints; for {', '.join(sizes)} in "
        f"[{SPREAD}.csv](data/{SPREAD}.csv).",
        "",
        "Spread is the standard deviation of the endpoints' shares over their mean, less what "
        "chance does to the keys themselves; where it is within 3 σ of that chance it is 0 (chance "
        "stays in max/mean). Maglev's table (M = 65537) is counted slot by slot. Moved is the "
        "share of keys that change their endpoint when the last one goes.",
        "",
        *table(
            ["policy", *columns, "source"],
            [
                [each["policy"], *(each[column] for column in columns), each["source"]]
                for each in shown
            ],
        ),
        "",
        f"Bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018): {_IN_FLIGHT:,} requests in flight "
        f"on {_LOADED} endpoints, keys of Zipf's law with exponent 1.1. Published: no endpoint "
        "above ⌈c·m/n⌉. Penstock counts m anew every n/8 picks. Here for c = "
        f"{min(BOUNDS)}; for {', '.join(map(str, BOUNDS))} in [{BOUNDED}.csv](data/{BOUNDED}.csv).",
        "",
        *table(list(piled[0]), [list(each.values()) for each in piled]),
    ]


def _spread_of(published: Published, count: int) -> Record:
    endpoints = _endpoints(count)
    keys = list(range(1, published.slots + 1)) or _keys(count * _KEYS_PER_ENDPOINT)
    before = _owners(create(published.name, dict(published.options)), endpoints, keys)
    after = _owners(create(published.name, dict(published.options)), endpoints[:-1], keys)
    counts = Counter(before)
    mean = len(keys) / count
    variance = sum((counts[e.name] - mean) ** 2 for e in endpoints) / count
    chance = 0.0 if published.slots else mean  # variance of a count of keys, each by itself
    excess = variance - chance
    shown = "0"
    if excess > 3.0 * chance * sqrt(2.0 / count):  # 3 σ of the variance's estimate
        shown = f"{sqrt(excess) / mean:.3f}"
    moved = sum(1 for old, new in zip(before, after, strict=True) if old != new) / len(keys)
    gone = endpoints[-1].name
    others = moved - counts[gone] / len(keys)
    return {
        "policy": published.name,
        "endpoints": str(count),
        "published spread": published.spread,
        "spread": shown,
        "max/mean": f"{max(counts.values()) / mean:.3f}",
        "published moved": f"{published.moved(count):.4f}",
        "moved": f"{moved:.4f}",
        "others' keys moved": f"{others:.4f}",
        "source": published.source,
    }


def _bounded() -> list[Record]:
    """Requests that pile up under skewed keys, with and without a bound."""
    records: list[Record] = []
    for name in ("consistent-hash", "maglev", "rendezvous", "jump-hash", "source-hash"):
        free, homes = _piled_up(create(name), _LOADED, _IN_FLIGHT)
        for bound in BOUNDS:
            policy = create(name, {"bounded_load": bound})
            most, placed = _piled_up(policy, _LOADED, _IN_FLIGHT)
            kept = sum(1 for a, b in zip(homes, placed, strict=True) if a == b) / _IN_FLIGHT
            records.append(
                {
                    "policy": name,
                    "bound c": str(bound),
                    "⌈c·m/n⌉": str(ceil(bound * _IN_FLIGHT / _LOADED)),
                    "most on one endpoint": str(most),
                    "without a bound": str(free),
                    "at home": f"{kept:.2f}",
                }
            )
    return records


def _piled_up(policy: Policy, count: int, in_flight: int) -> tuple[int, list[str]]:
    """The most that one endpoint holds, and where each request went."""
    endpoints = _endpoints(count)
    policy.rebuild(endpoints)
    env = Env(Random(1))
    keys = _keys(1000)
    weights = [1.0 / (rank + 1) ** 1.1 for rank in range(len(keys))]
    placed = []
    for key in env.rng.choices(keys, weights, k=in_flight):
        request = Request(key_hash=key)
        picked = policy.pick(request, endpoints, env)
        assert picked is not None
        Ticket(picked, policy, request, 0.0)
        placed.append(picked.name)
    return max(endpoint.load() for endpoint in endpoints), placed


def _endpoints(count: int) -> list[Endpoint]:
    return [Endpoint(f"10.0.{i // 256}.{i % 256}:8000") for i in range(count)]


def _keys(count: int) -> list[int]:
    dice = Random(1)
    return [dice.randrange(1, 1 << 64) for _ in range(count)]


def _owners(policy: Policy, endpoints: list[Endpoint], keys: list[int]) -> list[str]:
    policy.rebuild(endpoints)
    env = Env(Random(1))
    request = Request()
    owners = []
    for key in keys:
        request.key_hash = key
        picked = policy.pick(request, endpoints, env)
        assert picked is not None
        owners.append(picked.name)
    return owners


if __name__ == "__main__":
    main()
