"""Answers that are cut at random tokens: ``python -m benchmarks.resuming [--engine llamacpp]``.

Connections are reset by a relay on their way, and engines are killed, while several clients read
answers at temperature 0. Each answer is compared with that of an uncut run: how many are declared
exact (by token ids, ``resume: {exact: true}``), how many are byte for byte the same, and how many
tokens are told twice or missing. Ends with 1 if any is, or if an answer differs from a cut on; what
differs elsewhere is the engine's own doing.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp
import click

from benchmarks.resuming.apis import APIS, TOKENS, Api, Told, read
from benchmarks.resuming.cutting_relay import HEADER, Cuts, CuttingRelay
from benchmarks.resuming.engines import EmulatedEngine, Engine, LlamaCppEngine
from penstock.fleet.balancer import start_balancer

ENGINES: Final = 3  # of each kind
CLIENTS: Final = 4
QUESTIONS: Final = 16  # different ones
EMULATED: Final = ("vllm", "sglang", "llamacpp", "ollama")
_PATIENCE_S: Final = 60.0
_DOWN_S: Final = 0.3
# An engine may answer a question in more than one way by itself, at temperature 0: llama.cpp does
# where two tokens are as likely, as others are computed along or not. Such questions are left out.
_UNCUT_EACH: Final = 3  # of each question, by each engine
_SHOWN: Final = 4  # answers that differ, of each API
_MODELS: Final = {"emulated": "emulated-model", "llamacpp": "tiny"}


@dataclass
class Counts:
    """Of one API at one kind of engine."""

    answers: int = 0
    cuts: int = 0  # by the relay
    resumed: int = 0  # answers that were cut and came whole
    refused: int = 0  # that ended where they were cut
    exact: int = 0  # of those resumed, by token ids
    same: int = 0  # of those resumed, text, end, usage and names as uncut
    wrong_exact: int = 0
    wrong_at_cut: int = 0  # of all that differ, those that do from a cut on
    twice_or_missing: int = 0  # tokens
    left_out: int = 0  # questions, to which the engine by itself has several answers
    odd: list[str] = field(default_factory=list)  # where they differ, for people

    def take(self, api: Api, told: Told, uncut: Sequence[Told], cuts: int, plan: list[int]) -> None:
        self.answers += 1
        self.cuts += cuts
        if not told.whole:
            self.refused += 1
            if not any(each.text.startswith(told.text) for each in uncut):
                self.twice_or_missing += 1
            return
        same = len(told.names) <= 1 and any(
            (told.text, told.ends, told.usage) == (each.text, each.ends, each.usage)
            for each in uncut
        )
        self.resumed += cuts > 0
        self.exact += cuts > 0 and api.exact
        self.same += cuts > 0 and same
        self.wrong_exact += api.exact and not same
        size = len(uncut[0].text)
        self.twice_or_missing += abs(len(told.text) - size) // max(size // TOKENS, 1)
        if not same:
            unit = max(size // TOKENS, 1)
            self.wrong_at_cut += min(_parting(told, each) // unit for each in uncut) in _cuts(plan)
        if not same and len(self.odd) < _SHOWN:
            self.odd.append(f"{api.name}, cut after {plan}: {told} in place of {uncut[0]}")


class Trial:
    """One kind of engine: its engines, relays and pool."""

    def __init__(self, kind: str, engines: Sequence[Engine], model: str) -> None:
        self.kind = kind
        self.engines = engines
        self.model = model
        self.cuts = Cuts()
        self.relays = [CuttingRelay(engine.port, self.cuts) for engine in engines]
        self.counts: dict[str, Counts] = {api.name: Counts() for api in APIS[kind]}
        self.kills = 0

    def body(self, api: Api, question: str) -> dict[str, Any]:
        """A request, whose answer does not depend on what the engine was asked before."""
        body = api.body(self.model, question)
        if self.kind == "llamacpp" and api.path != "/v1/messages":  # which does not take it
            body["cache_prompt"] = False
        return body

    def pools(self) -> dict[str, Any]:
        """One that goes on exactly alone, and one that does by text."""
        common: dict[str, Any] = {
            "kind": "llm",
            "endpoints": [relay.url for relay in self.relays],
            "policy": "round-robin",
            "engine": {"kind": self.kind, "interval": "500ms"},
            "outlier": "off",  # every one of them fails all the time
            "timeouts": {"token": "10s"},
            "retry": {"budget_min_per_s": 1000.0},
        }
        exact = {"token_ids": True, "exact": True, "max_resumes": 8}
        return {
            f"{self.kind}-exact": {**common, "resume": exact},
            f"{self.kind}-text": {**common, "resume": {"max_resumes": 8}},
        }

    def routes(self) -> list[dict[str, Any]]:
        return [{"match": {"headers": {"x-pool": name}}, "pool": name} for name in self.pools()]


async def _answer(
    session: aiohttp.ClientSession,
    url: str,
    api: Api,
    body: dict[str, Any],
    headers: dict[str, str],
) -> Told:
    """What a client gets; of a connection that broke, what came before."""
    got = bytearray()
    try:
        async with session.post(url + api.path, json=body, headers=headers) as answer:
            async for piece in answer.content.iter_any():
                got += piece
    except aiohttp.ClientError:
        told = read(bytes(got))
        told.whole = False
        return told
    return read(bytes(got))


async def _run(trial: Trial, url: str, cuts: int, kills: int, rng: Random) -> None:
    """So many cuts by the relays, and kills in between."""
    apis = APIS[trial.kind]
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    uncut: dict[tuple[str, str], list[Told]] = {}
    stable: dict[str, list[str]] = {}
    async with aiohttp.ClientSession(timeout=timeout) as session:
        questions = [f"Tell me of river {number}." for number in range(QUESTIONS)]
        for api in apis:
            bodies = [trial.body(api, question) for question in questions]
            for engine in [*trial.engines] * _UNCUT_EACH:
                found = await asyncio.gather(
                    *[_answer(session, engine.url, api, body, {}) for body in bodies]
                )
                for question, told in zip(questions, found, strict=True):
                    assert told.whole, (trial.kind, api.name, told)
                    uncut.setdefault((api.name, question), []).append(told)
            stable[api.name] = [each for each in questions if _is_one(uncut[api.name, each])]
            trial.counts[api.name].left_out = len(questions) - len(stable[api.name])
        planned = iter(range(cuts))

        async def client(number: int) -> None:
            own = Random(f"{trial.kind} {number} {rng.random()}")
            for at in planned:
                api = apis[at % len(apis)]
                question = own.choice(stable[api.name])
                name = b"c%d" % at
                plan = [own.randrange(2, TOKENS)]
                if own.random() < 0.2:
                    plan.append(own.randrange(1, max(TOKENS - plan[0], 2)))
                trial.cuts.planned[name] = list(plan)
                pool = f"{trial.kind}-{'exact' if api.exact else 'text'}"
                headers = {"x-pool": pool, HEADER: name.decode()}
                body = trial.body(api, question)
                told = await _answer(session, url, api, body, headers)
                made = trial.cuts.made.pop(name, 0)
                trial.counts[api.name].take(api, told, uncut[api.name, question], made, plan)

        async def killer() -> None:
            for _ in range(kills):
                await asyncio.sleep(own_killer.random() * 0.4 + 0.1)
                engine = own_killer.choice(trial.engines)
                await engine.kill()
                trial.kills += 1
                await asyncio.sleep(_DOWN_S)
                await engine.revive()

        own_killer = Random(rng.random())
        killing = asyncio.create_task(killer())
        await asyncio.gather(*[client(number) for number in range(CLIENTS)])
        await killing


def _parting(told: Told, uncut: Told) -> int:
    """Where two texts differ first."""
    pairs = enumerate(zip(told.text, uncut.text, strict=False))
    shorter = min(len(told.text), len(uncut.text))
    return next((at for at, (one, other) in pairs if one != other), shorter)


def _cuts(plan: Sequence[int]) -> set[int]:
    """How many tokens had come at each cut: that in which it fell is not told."""
    found: set[int] = set()
    came = 0
    for after in plan:
        came += after - 1
        found.add(came)
    return found


def _is_one(answers: Sequence[Told]) -> bool:
    return len({each.text for each in answers}) == 1


def _table(trials: Sequence[Trial]) -> str:
    """All counts, for people and for docs/streams.md."""
    lines = [
        "| engine | API | answers | cut | went on | declared exact | as uncut | ended cut | tokens "
        "twice or missing |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for trial in trials:
        for name, counts in trial.counts.items():
            lines.append(
                f"| {trial.kind} | {name} | {counts.answers} | {counts.cuts} | {counts.resumed} "
                f"| {counts.exact} | {counts.same} | {counts.refused} | {counts.twice_or_missing} |"
            )
    return "\n".join(lines)


async def measure(engine: str, cuts: int, kills: int, seed: int) -> int:
    """Print the table; 0 if nothing is wrong in it."""
    rng = Random(seed)
    kinds = EMULATED if engine == "emulated" else (engine,)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="penstock-resuming-")))
        trials: list[Trial] = []
        for kind in kinds:
            engines: list[Engine] = []
            for number in range(ENGINES):
                made: Engine = LlamaCppEngine(directory, number)
                if engine == "emulated":
                    made = EmulatedEngine(f"{kind}{number}", kind)
                await made.start()
                stack.push_async_callback(made.stop)
                engines.append(made)
            trial = Trial(kind, engines, _MODELS[engine])
            for relay in trial.relays:
                await stack.enter_async_context(relay)
            trials.append(trial)
        pools: dict[str, Any] = {}
        routes: list[dict[str, Any]] = []
        for trial in trials:
            pools |= trial.pools()
            routes += trial.routes()
        configuration = {"pools": pools, "routes": routes, "workers": 1}
        balancer = await start_balancer(directory, configuration)
        stack.push_async_callback(balancer.stop)
        await asyncio.sleep(1.5)  # engines are recognised, or read
        all_apis = sum(len(trial.counts) for trial in trials)
        for trial in trials:
            own = cuts * len(trial.counts) // all_apis
            await _run(trial, balancer.url, own, kills * own // cuts, rng)
    print(_table(trials))
    counts = [each for trial in trials for each in trial.counts.values()]
    print(f"\nquestions left out: {sum(each.left_out for each in counts)}")
    print(f"engines killed: {sum(trial.kills for trial in trials)}")
    print(f"declared exact and different: {sum(each.wrong_exact for each in counts)}")
    print(f"different from a cut on: {sum(each.wrong_at_cut for each in counts)}")
    print(f"tokens twice or missing: {sum(each.twice_or_missing for each in counts)}")
    for each in counts:
        for odd in each.odd:
            print("different:", odd, file=sys.stderr)
    wrong = sum(each.wrong_at_cut + each.twice_or_missing for each in counts)
    return 1 if wrong else 0


@click.command()
@click.option("--engine", type=click.Choice(["emulated", "llamacpp"]), default="emulated")
@click.option("--cuts", default=1000, show_default=True, help="Answers that are cut on the way.")
@click.option("--kills", default=100, show_default=True, help="Engines that are killed meanwhile.")
@click.option("--seed", default=1, show_default=True)
def main(engine: str, cuts: int, kills: int, seed: int) -> None:
    """Cut streamed answers at random tokens, and compare them with uncut ones."""
    logging.disable(logging.ERROR)  # emulated engines die here, in the middle of what they write
    sys.exit(asyncio.run(measure(engine, cuts, kills, seed)))


if __name__ == "__main__":
    main()
