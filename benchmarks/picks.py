"""What a pick costs: ``python -m benchmarks.picks --write-docs`` makes docs/picks.md and
its data in docs/data.

For each policy and pool size: nanoseconds of CPU time per pick, on endpoints that have a few
requests in flight and, for policies that learn, were measured; and the memory of what ``rebuild``
prepared. Compiled and interpreted, each in a process of its own.
"""

import json
import os
import platform
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

import click

from benchmarks import data, prompt_picks
from benchmarks.data import Record
from benchmarks.marked import replace
from benchmarks.reproductions.reproduction import table
from benchmarks.timed_picks import ROUNDS, seconds_per_pick
from penstock._form import form
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Policy, create, policies
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket

FILE: Final = Path("docs") / "picks.md"
DATA: Final = "picks"
SIZES: Final = (2, 16, 100, 1000, 10_000)
_COLUMNS: Final = (
    *(("compiled", size) for size in (16, 1000, 10_000)),
    *(("interpreted", size) for size in (16, 1000)),
)
# Those that stand for others in the document, and for which.
_SHOWN: Final = {
    "round-robin": "as `first-available`; `random`, `join-idle-queue`, `source-hash`: 30 ns",
    "least-request": "draws two of more than 16; as `subset`, `adaptive`, `zone-aware`",
    "power-of-two": "from 100 endpoints on also `peak-ewma`, `least-response-time`, `c3`",
    "maglev": "`consistent-hash`, `jump-hash`: up to 110 ns",
    "static-edf": "also `reported-weight`",
    "prequal": "",
    "join-shortest-queue": "compares all endpoints",
    "session": "hashes all endpoints, as `rendezvous`",
    "marginal-cost": "weighs all endpoints, as all policies for prompts do; here without a prompt",
}
_OPENING: Final = "# What a pick costs\n"

# Nanoseconds per pick and bytes by policy, then by pool size.
Costs = dict[str, dict[str, list[float]]]


class _Nothing(Policy):
    """Picks the first; what it costs is the measuring's own price."""

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        return eligible[0]


@click.command()
@click.option("--only", default="", help="Policies, as in maglev,random. Default: all.")
@click.option("--write-docs", is_flag=True, help=f"Replace the table in {FILE}, and its data.")
@click.option("--as-json", is_flag=True, help="This form only, as JSON.")
def main(only: str, write_docs: bool, as_json: bool) -> None:
    """Measure, and print the table."""
    chosen = [name for name in policies() if not only or name in only.split(",")]
    if as_json:
        told = {"form": form(), "costs": _costs(chosen), "prompts": prompt_picks.costs(chosen)}
        click.echo(json.dumps(told))
        return
    records: list[Record] = []
    with_prompts: list[Record] = []
    for pure in ("", "1"):
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks.picks", "--as-json", "--only", ",".join(chosen)],
            env={**os.environ, "PENSTOCK_PURE": pure},
            stdout=subprocess.PIPE,
            check=True,
        )
        measured = json.loads(process.stdout)
        if pure == "" and measured["form"] != "compiled":
            click.echo("not compiled: run `make test` or `python setup.py build_ext --inplace`")
            continue
        records += _records(measured["form"], measured["costs"])
        with_prompts += prompt_picks.records(measured["form"], measured["prompts"])
    parts = [_introduction(), "", *_table(records), "", *prompt_picks.shown(with_prompts)]
    text = "\n".join(parts)
    click.echo(text)
    if write_docs:
        replace(FILE, "picks", text, _OPENING)
        data.write(DATA, records)
        data.write(prompt_picks.DATA, with_prompts)


def _costs(names: list[str]) -> Costs:
    costs: Costs = {}
    jobs: list[tuple[str, str, bool]] = [(name, name, False) for name in names]
    jobs += [(f"{name}, unequal weights", name, True) for name in names if _by_weight(name)]
    with click.progressbar(jobs, file=sys.stderr, label=form()) as bar:
        for label, name, unequal in bar:
            costs[label] = {str(size): _measured(name, size, unequal) for size in SIZES}
    return costs


def _by_weight(name: str) -> bool:
    """Whether unequal weights take another way through the policy."""
    return name in ("round-robin", "random", "least-request", "power-of-two", "rendezvous")


def _measured(name: str, size: int, unequal: bool) -> list[float]:
    """Nanoseconds per pick, bytes prepared."""
    endpoints = _endpoints(size, unequal)
    env = Env(Random(1), 100.0)
    requests = [Request(key_hash=env.rng.getrandbits(64)) for _ in range(1000)]
    tracemalloc.start()
    policy = create(name)
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    policy.pick(requests[0], endpoints, env)  # some prepare at the first pick
    prepared, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if policy.observes:
        _teach(policy, endpoints, env)
    nothing_s = seconds_per_pick(_Nothing(), requests, endpoints, env)
    pick_s = seconds_per_pick(policy, requests, endpoints, env)
    return [max(pick_s - nothing_s, 0.0) * 1e9, float(prepared)]


def _endpoints(size: int, unequal: bool) -> list[Endpoint]:
    dice = Random(size)
    endpoints = [
        Endpoint(f"10.0.{i // 256}.{i % 256}:8000", weight=float(i % 3 + 1) if unequal else 1.0)
        for i in range(size)
    ]
    for order, endpoint in enumerate(endpoints):
        endpoint.order = order
        endpoint.in_flight = dice.randint(1, 5)
    return endpoints


def _teach(policy: Policy, endpoints: list[Endpoint], env: Env) -> None:
    """One answered request to every endpoint."""
    for endpoint in endpoints:
        ticket = Ticket(endpoint, policy, Request(), env.now)
        ticket.first_byte(env.now + 0.01 + 0.01 * env.random())
        ticket.settle(DONE, ticket.first_byte_at)


def _introduction() -> str:
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    return (
        f"Written by `python -m benchmarks.picks --write-docs` on {datetime.now(UTC):%Y-%m-%d} "
        f"({machine}). Nanoseconds of CPU per pick by number of endpoints, the best of {ROUNDS} "
        "rounds, less the cost of calling a policy that does nothing. Endpoints have one to five "
        "requests in flight and equal weights."
    )


def _records(how: str, costs: Costs) -> list[Record]:
    """Rows of the data file; the memory is what ``rebuild`` prepared for 1000 endpoints."""
    records: list[Record] = []
    for label, by_size in costs.items():
        name, _, weights = label.partition(", ")
        record = {"form": how, "policy": name, "weights": weights.partition(" ")[0] or "equal"}
        record |= {f"ns for {size}": f"{by_size[str(size)][0]:.0f}" for size in SIZES}
        record["bytes for 1000"] = f"{by_size['1000'][1]:.0f}"
        records.append(record)
    return records


def _table(records: list[Record]) -> list[str]:
    """A few policies that stand for the others."""
    shown: dict[tuple[str, str], Record] = {
        (each["form"], each["policy"]): each for each in records if each["weights"] == "equal"
    }
    rows = [
        [
            policy,
            *(f"{int(shown[how, policy][f'ns for {size}']):,}" for how, size in _COLUMNS),
            note,
        ]
        for policy, note in _SHOWN.items()
        if all((how, policy) in shown for how, _ in _COLUMNS)
    ]
    heads = [f"{how}, {size:,} endpoints" for how, size in _COLUMNS]
    return table(["policy", *heads, ""], rows)


if __name__ == "__main__":
    main()
