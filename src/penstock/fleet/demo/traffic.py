"""Conversations, every request sent at the same moment to both pools."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count

from penstock.fleet.demo.fleets import POLICIES, POOL_HEADER, SPEEDUP
from penstock.fleet.demo.tally import Tally
from penstock.fleet.replay.client import StreamClient
from penstock.fleet.replay.generate import Shape, generate
from penstock.fleet.replay.run import departures, prompt_of
from penstock.fleet.replay.session import Session, Workload

# Chats of three turns with sixteen assistants, each of which has a long system prompt. In the
# engines' time: real rates are SPEEDUP times these.
SHAPE = Shape(
    "multi-turn",
    requests=5000,
    rate_per_s=8.0,
    groups=16,
    system_tokens=3000,
    turns=3,
    input_tokens=150,
    output_tokens=40,
    think_s=4.0,
)
_GIVE_UP_S = 30.0
_LAST_ANSWERS_S = 10.0


class Traffic:
    """Open loop: a slow answer does not delay the next request."""

    def __init__(self, url: str, model: str, tallies: dict[str, Tally]) -> None:
        self._tallies = tallies
        self._clients = {
            policy: StreamClient(
                url,
                model,
                "chat",
                headers={POOL_HEADER: policy},
                timeout_s=_GIVE_UP_S,
                keep_answers=False,
            )
            for policy in POLICIES
        }
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop`` is set, then wait for the answers that are due."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as clients:
            for client in self._clients.values():
                await clients.enter_async_context(client)
            began = loop.time()
            for at_s, session, number in _endless(generate(SHAPE)):
                due = began + at_s / SPEEDUP
                await pause(stop, due - loop.time())
                if stop.is_set():
                    break
                self._send(session, number, due)
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=_LAST_ANSWERS_S)
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _send(self, session: Session, number: int, due: float) -> None:
        messages = prompt_of(session, number)
        body = self._clients[POLICIES[0]].body(messages, session.turns[number].output_tokens)
        for policy in POLICIES:
            self._tallies[policy].sent += 1
            task = asyncio.create_task(self._request(policy, body, due))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _request(self, policy: str, body: bytes, due: float) -> None:
        self._tallies[policy].add(await self._clients[policy].send(body, due))


async def pause(stop: asyncio.Event, wait_s: float) -> None:
    """Wait for ``stop``, at most ``wait_s``."""
    try:
        async with asyncio.timeout(max(0.0, wait_s)):
            await stop.wait()
    except TimeoutError:
        return


def _endless(workload: Workload) -> Iterator[tuple[float, Session, int]]:
    """The workload over and over: when it comes round, the caches have long forgotten it."""
    once = list(departures(workload.sessions))
    length_s = once[-1][0]
    for lap in count():
        for at_s, session, number in once:
            yield at_s + lap * length_s, session, number
