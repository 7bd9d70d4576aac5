"""The same faults on emulated engines behind a real Penstock, once without hedges and once with."""

import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp

from benchmarks.cores import available
from benchmarks.hedging.simulated import (
    BURST_RATE,
    BURST_S,
    ENGINES,
    PERIOD_S,
    PROFILE,
    SLOW,
    STALL_S,
    Run,
)
from benchmarks.process import Process, free_ports
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from penstock.fleet.process import HostProcess

_MODEL: Final = "emulated-70b"
_RATE: Final = 8.0  # requests a second, half of the simulated ones: the client needs a core too
_TOKENS: Final = (400, 1600)  # of a prompt
_ANSWER: Final = 12
_WARM_UP: Final = 0.25  # of the time, not counted
_ENGINE: Final = "engine-0"  # at fault


async def pair(policy: str, fault: str, seed: int, seconds: int) -> tuple[Run, Run]:
    """Raises StartError, RuntimeError."""
    without = await _run(policy, fault, None, seed, seconds)
    return without, await _run(policy, fault, "on", seed, seconds)


async def _run(policy: str, fault: str, hedge: object, seed: int, seconds: int) -> Run:
    dice = Random(seed)
    async with AsyncExitStack() as cleanup:
        names = [f"engine-{number}" for number in range(ENGINES)]
        host = HostProcess([EngineSpec(name, model=_MODEL, profile=PROFILE) for name in names])
        cleanup.push_async_callback(host.stop)
        await host.start()
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        port, admin = free_ports(2)
        url = f"http://127.0.0.1:{port}"
        _serve(cleanup, directory, _document(policy, hedge, port, admin, host, names), port)
        session = await cleanup.enter_async_context(aiohttp.ClientSession())
        troubles = asyncio.create_task(_trouble(host, session, fault, Random(seed + 1), seconds))
        times: list[float] = []
        calls: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        began = due = loop.time()
        while due < began + seconds:
            await asyncio.sleep(max(due - loop.time(), 0.0))
            counts = times if due >= began + _WARM_UP * seconds else []
            calls.append(asyncio.create_task(_call(session, url, dice.getrandbits(60), counts)))
            due += dice.expovariate(_RATE)
        await asyncio.gather(*calls)
        troubles.cancel()
        await asyncio.gather(troubles, return_exceptions=True)
        told = await _metrics(session, admin)
    times.sort()
    return Run(
        mean_s=sum(times) / len(times),
        p99_s=times[int(0.99 * len(times))],
        p999_s=times[int(0.999 * len(times))],
        computed=len(calls) * sum(_TOKENS) // 2,
        in_vain=int(told.get("penstock_vain_prompt_tokens_total", 0.0)),
        hedges=int(told.get("penstock_hedges_total", 0.0)),
        won=int(told.get("penstock_hedges_won_total", 0.0)),
        denied=int(told.get("penstock_hedges_denied_total", 0.0)),
    )


def _document(
    policy: str, hedge: object, port: int, admin: int, host: HostProcess, names: list[str]
) -> dict[str, Any]:
    pool: dict[str, Any] = {
        "kind": "llm",
        "endpoints": [host.urls[name] for name in names],
        "policy": policy,
    }
    if hedge is not None:
        pool["hedge"] = hedge
    return {
        "listeners": {"clients": {"address": f"127.0.0.1:{port}"}},
        "pools": {"engines": pool},
        "admin": f"127.0.0.1:{admin}",
        "workers": 1,
        "request_log": "off",
    }


def _serve(cleanup: AsyncExitStack, directory: Path, document: dict[str, Any], port: int) -> None:
    file = directory / "penstock.yaml"
    file.write_text(json.dumps(document))
    command = [sys.executable, "-m", "penstock", "serve", "--config", str(file)]
    process = Process(command, cores=frozenset(available()), log=directory / "log")
    cleanup.enter_context(process).wait_until_listening(port)


async def _trouble(
    host: HostProcess, session: aiohttp.ClientSession, fault: str, dice: Random, seconds: int
) -> None:
    """What befalls the first engine, until it is called off."""
    if fault == "slow by ten":
        await host.fault(_ENGINE, FaultCommand("slow", factor=1.0 / SLOW))
    while fault == "stalls":
        await asyncio.sleep(PERIOD_S)
        await host.fault(_ENGINE, FaultCommand("stall-streams", for_s=STALL_S))
    calls: set[asyncio.Task[None]] = set()
    while fault == "overloaded":
        await asyncio.sleep(PERIOD_S - BURST_S)
        for _ in range(int(BURST_RATE * BURST_S)):
            await asyncio.sleep(dice.expovariate(BURST_RATE))
            direct = _call(session, host.urls[_ENGINE], dice.getrandbits(60), [])
            calls.add(asyncio.create_task(direct))


async def _call(session: aiohttp.ClientSession, url: str, number: int, times: list[float]) -> None:
    """One streamed chat; the time to its first piece of text is added to ``times``."""
    dice = Random(number)
    text = f"{number:x} " + "word " * int(dice.uniform(*_TOKENS) * 4 / 5)
    body = {
        "model": _MODEL,
        "stream": True,
        "max_tokens": _ANSWER,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": text}],
    }
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        spoke = False
        async for line in response.content:
            if not spoke and b'"content":"' in line and b'"content":""' not in line:
                spoke = True
                times.append(loop.time() - began)


async def _metrics(session: aiohttp.ClientSession, admin: int) -> dict[str, float]:
    """Totals by their names."""
    async with session.get(f"http://127.0.0.1:{admin}/metrics") as response:
        lines = (await response.text()).splitlines()
    found: dict[str, float] = {}
    for line in lines:
        if line.startswith("penstock_"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found
