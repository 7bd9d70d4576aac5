"""What a balancer adds to the time to first token: ``python -m benchmarks.first_token``.

The same streamed chat requests go to an emulated engine and, interleaved with them, through each
balancer to the same engine. The engine once more, as if it were a balancer, tells what difference
is none. Where other programs run, ``chrt -f 1`` before it keeps their time slices out of the times.
"""

import asyncio
import gc
import json
import math
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import click

from benchmarks import record
from benchmarks.balancers import Balancer, HAProxy, Nginx, Penstock, available
from benchmarks.balancers.routers import Router
from benchmarks.cores import Cores, on, split
from benchmarks.load.answer_client import AnswerClient
from benchmarks.marked import replace
from benchmarks.process import end_in_order_when_terminated
from benchmarks.scenarios.scenario import make_site, temporary_directory
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.process import HostProcess

FILE: Final = Path("docs") / "performance.md"
ENGINE: Final = EngineSpec("engine", model="emulated-8b", profile="llama-3-8b-h100", speedup=4.0)
DIRECT: Final = "the engine itself"
AGAIN: Final = "the engine once more"
QUANTILES: Final = (0.5, 0.9, 0.99)
TARGET_MS: Final = 1.0
_TOKEN_BYTES: Final = 4
_APART_S: Final = 0.007  # callers begin: about as often as their requests come from then on
_RESAMPLED: Final = 1000  # times, for an interval
_WARMING_UP: Final = 2  # rounds that are not counted


@dataclass(frozen=True)
class Load:
    """``callers`` at once, each with one connection to each balancer. In a round all of them make
    ``turns`` requests on one path, one after the other, then on the next."""

    name: str
    callers: int
    turns: int
    rounds: int
    prompt_tokens: int
    fewest_tokens: int  # of an answer
    most_tokens: int

    def requests_of(self, number: int, path: str) -> list[list[bytes]]:
        """Those of a round, for each caller: the same on each path, but that they begin with its
        name, so that the engine's cache holds none of them."""
        dice = Random(f"{self.name} {number}")
        return [
            [self._request(dice, f"{path} {number} {caller} {turn}") for turn in range(self.turns)]
            for caller in range(self.callers)
        ]

    def _request(self, dice: Random, name: str) -> bytes:
        text = f"{name} {dice.getrandbits(64):016x} ".ljust(_TOKEN_BYTES * self.prompt_tokens, "a")
        body = json.dumps(
            {
                "model": ENGINE.model,
                "stream": True,
                "max_tokens": dice.randint(self.fewest_tokens, self.most_tokens),
                "ignore_eos": True,
                "messages": [{"role": "user", "content": text}],
            }
        ).encode()
        return (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: inference.example.com\r\n"
            b"Content-Type: application/json\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )


LOADS: Final = (
    Load("one at a time", 1, 1, 400, 256, 8, 8),
    Load("one at a time, prompts of 16,000 tokens", 1, 1, 150, 16_000, 4, 4),
    # Answers of different lengths, so that requests come in any moment of the engine's steps.
    Load("32 streams at once", 32, 6, 15, 256, 32, 64),
)

Rounds = list[list[float]]  # seconds to the first token, by round


async def measure(load: Load, ports: dict[str, int], share: float) -> dict[str, Rounds]:
    """On each path, by its name. Raises MeasurementError."""
    callers = {
        name: [await AnswerClient.connect(name, port) for _ in range(load.callers)]
        for name, port in ports.items()
    }
    found: dict[str, Rounds] = {name: [] for name in ports}
    names = list(ports)
    counted = max(math.ceil(load.rounds * share), 2)
    for number in range(-_WARMING_UP, counted):
        Random(number).shuffle(names)
        for name in names:
            asked = load.requests_of(number, name)
            times = await asyncio.gather(
                *[
                    _call(caller, requests, order * _APART_S)
                    for order, (caller, requests) in enumerate(
                        zip(callers[name], asked, strict=True)
                    )
                ]
            )
            if number >= 0:
                found[name].append([first_s for each in times for first_s in each])
    for each in callers.values():
        for caller in each:
            caller.close()
    return found


async def _call(caller: AnswerClient, requests: list[bytes], begin_s: float) -> list[float]:
    await asyncio.sleep(begin_s)
    return [await caller.first_token_s(request) for request in requests]


def quantiles(rounds: Rounds) -> list[float]:
    """Nearest rank, in milliseconds."""
    times = sorted([first_s for each in rounds for first_s in each])
    return [times[math.ceil(share * len(times)) - 1] * 1e3 for share in QUANTILES]


def added(through: Rounds, direct: Rounds) -> list[tuple[float, float, float]]:
    """By how much each quantile is later, and the 95% interval: rounds drawn anew, the same of
    both (a paired bootstrap), as what one round has in common is not independent."""
    dice = Random(1)
    drawn: list[list[float]] = []
    for _ in range(_RESAMPLED):
        chosen = dice.choices(range(len(direct)), k=len(direct))
        drawn.append(_later([through[i] for i in chosen], [direct[i] for i in chosen]))
    found = []
    for position, value in enumerate(_later(through, direct)):
        values = sorted([each[position] for each in drawn])
        found.append((value, values[_RESAMPLED // 40], values[-_RESAMPLED // 40]))
    return found


def _later(through: Rounds, direct: Rounds) -> list[float]:
    pairs = zip(quantiles(through), quantiles(direct), strict=True)
    return [of_one - of_other for of_one, of_other in pairs]


def verdict(name: str, through: Rounds, direct: Rounds) -> str:
    """What is added beside the target, quantile by quantile: open where the interval holds it."""
    words = []
    for _, low, high in added(through, direct):
        words.append("met" if high < TARGET_MS else "**missed**" if low >= TARGET_MS else "open")
    shares = ", ".join([f"p{round(share * 100)}" for share in QUANTILES])
    return f"- {name} at {shares}; target < {TARGET_MS:g} ms: {', '.join(words)}"


def table(times: dict[str, Rounds], direct: str) -> list[str]:
    """The direct path first, then what each other adds to it."""
    heads = [f"p{round(share * 100)}, ms" for share in QUANTILES]
    more = [f"added at {head}" for head in heads]
    lines = [f"| | {' | '.join([*heads, *more])} |", f"|---|{'--:|' * 2 * len(QUANTILES)}"]
    for name, rounds in times.items():
        cells = [name, *[f"{value:.2f}" for value in quantiles(rounds)]]
        if name == direct:
            cells += [""] * len(heads)
        else:
            cells += [
                f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
                for value, low, high in added(rounds, times[direct])
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


async def measure_all(
    balancers: Sequence[Balancer], cores: Cores, directory: Path, share: float
) -> list[str]:
    """The lines of all tables. Raises StartError, RuntimeError, MeasurementError."""
    lines: list[str] = []
    async with AsyncExitStack() as cleanup:
        host = HostProcess([ENGINE])
        cleanup.push_async_callback(host.stop)
        with on(cores.load):
            await host.start()
        port = int(host.urls[ENGINE.name].rpartition(":")[2])
        ports = {DIRECT: port, AGAIN: port}
        for balancer in balancers:
            site = make_site([("127.0.0.1", port)], directory, streaming=True)
            cleanup.enter_context(balancer.start(site, cores.balancer))
            ports[balancer.name] = site.port
        for load in LOADS:
            click.echo(f"measuring: {load.name}", err=True)
            gc.disable()
            times = await measure(load, ports, share)
            gc.enable()
            count = sum([len(each) for each in times[AGAIN]])
            lines += [
                "",
                f"{load.name[0].upper()}{load.name[1:]}; {count:,} requests on each path:",
            ]
            lines += ["", *table(times, DIRECT), ""]
            lines += [
                verdict(each.name, times[each.name], times[DIRECT])
                for each in balancers
                if isinstance(each, Penstock)
            ]
    return lines


def _before_others() -> str:
    """How this was started so that no other program of the machine goes first."""
    return "chrt -f 1 " if os.sched_getscheduler(0) == os.SCHED_FIFO else ""


@click.command()
@click.option("--share", default=1.0, show_default=True, help="Of the rounds: 0.1 is a trial.")
@click.option("--write-docs", is_flag=True, help=f"Replace the section in {FILE}.")
@click.option("--penstock-python", default=sys.executable, help="The interpreter that has it.")
@click.option("--interpreted", is_flag=True, help="Run Penstock uncompiled.")
def main(share: float, write_docs: bool, penstock_python: str, interpreted: bool) -> None:
    """Measure what balancers add to the time to first token; print the tables."""
    end_in_order_when_terminated()
    balancers: list[Balancer] = [
        Penstock(penstock_python, interpreted=interpreted, policy="marginal-cost", kind="llm"),
        Nginx(),
        HAProxy(),
        Router("vllm-router", "cache_aware"),
    ]
    versions = available(balancers)
    measured = [balancer for balancer in balancers if balancer.name in versions]
    cores = split()
    with temporary_directory() as directory, on(cores.load):
        lines = asyncio.run(measure_all(measured, cores, directory, share))
    told = ", ".join([f"{name} {version}" for name, version in versions.items()])
    text = "\n".join(
        [
            "## Added time to first token",
            "",
            f"`{_before_others()}python -m benchmarks.first_token --write-docs` on "
            f"{record.today()}: {record.machine()}. {told}.",
            "",
            "The same streamed chat requests, with no prefix in common, to one emulated engine and "
            "through each balancer to it, in turn within each round, over connections that stay "
            "open. The balancers have one core, the engine and the caller the other. Added: the "
            "quantile less that of the engine itself, with the 95% interval of a paired bootstrap "
            "over rounds; what the engine adds to itself is noise. `chrt -f 1` keeps the time "
            "slices of other programs, 3 ms and more, out of the times. nginx is told to keep "
            "bodies of up to a mebibyte in memory; by default, over 16 KiB, it writes them to a "
            "file, and the long prompts took 42 ms more.",
            *lines,
        ]
    )
    click.echo(text)
    if write_docs:
        replace(FILE, "first_token", text, "# Performance\n")


if __name__ == "__main__":
    main()
