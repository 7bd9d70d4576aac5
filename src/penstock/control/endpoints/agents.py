"""Agent checks: asks the agent beside each endpoint what it says of it, as HAProxy does.

One task for each endpoint whose pool has an agent. An agent that does not answer changes nothing:
whether an endpoint can be reached is what health checks find out.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Final

from penstock._reasons import reason_of
from penstock.admin.view import AgentView
from penstock.control.endpoints.connecting import Connector
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.world.rows import EndpointKey
from penstock.core.snapshot import AgentCheck, Endpoint, Snapshot
from penstock.wire.agent_check import MOST_BYTES, AgentAnswer, parse_agent_line

_AT_ONCE: Final = 128  # connections to agents; a bound on descriptors, not on speed
_AFTER_A_BUG_S: Final = 5.0


@dataclass(frozen=True)
class AgentTarget:
    """Whose agent to ask, and how."""

    pool: str
    endpoint: Endpoint
    check: AgentCheck


@dataclass
class _Asked:
    """An endpoint with an agent."""

    target: AgentTarget
    said: str = ""  # the last line, for people
    problem: str = ""  # why it could not be asked or understood the last time
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


class AgentChecks:
    """The agents of every endpoint whose pool has them."""

    def __init__(self, states: EndpointStates, events: Events) -> None:
        self._states = states
        self._events = events
        self._chance = Random()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._asked: dict[EndpointKey, _Asked] = {}
        self._connector = Connector()

    def follow(self, snapshot: Snapshot) -> None:
        """This is the world that runs. Agents that stay as they are go on undisturbed."""
        before, self._asked = self._asked, {}
        for pool in snapshot.pools:
            if pool.agent_check is None:
                continue
            for endpoint in pool.endpoints:
                key = (pool.name, endpoint.name)
                target = AgentTarget(pool.name, endpoint, pool.agent_check)
                asked = before.get(key)
                if asked is None or asked.target != target:
                    asked = _Asked(target, asked.said if asked is not None else "")
                    asked.task = asyncio.create_task(self._keep_asking(asked))
                else:
                    del before[key]
                self._asked[key] = asked
        for gone in before.values():
            if gone.task is not None:
                gone.task.cancel()

    def view(self, pool: str, name: str) -> AgentView | None:
        """What its agent said last; None where there is none."""
        asked = self._asked.get((pool, name))
        return AgentView(asked.said, asked.problem) if asked is not None else None

    async def stop(self) -> None:
        """End all."""
        tasks = [asked.task for asked in self._asked.values() if asked.task is not None]
        self._asked = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_asking(self, asked: _Asked) -> None:
        interval_s = asked.target.check.interval_s
        wait_s = interval_s * self._chance.random()  # a start is no volley
        while True:
            await asyncio.sleep(wait_s)
            wait_s = interval_s
            try:
                await self._ask(asked)
            except Exception as error:  # noqa: BLE001 - one agent's must not end the others'
                target = asked.target
                self._events.bug(f"asking the agent of {target.pool}/{target.endpoint.name}", error)
                await asyncio.sleep(_AFTER_A_BUG_S)

    async def _ask(self, asked: _Asked) -> None:
        target = asked.target
        timeout_s = target.check.timeout_s
        try:
            async with self._room, asyncio.timeout(timeout_s):
                line = await _line_of(target, self._connector)
        except TimeoutError:
            self._note(asked, f"no answer within {timeout_s:g} s")
            return
        except (OSError, ValueError) as error:
            self._note(asked, reason_of(error))
            return
        self._take(asked, parse_agent_line(line))

    def _take(self, asked: _Asked, answer: AgentAnswer) -> None:
        asked.said = answer.shown
        if not answer.empty:
            self._states.agent_says(asked.target.pool, asked.target.endpoint.name, answer)
        if answer.unknown:
            self._note(asked, f"not understood: {' '.join(answer.unknown)[:200]}")
        else:
            self._note(asked, "its answer is empty" if answer.empty else "")

    def _note(self, asked: _Asked, problem: str) -> None:
        """Log when problems begin and when they end, not at every turn."""
        before, asked.problem = asked.problem, problem
        pool, name = asked.target.pool, asked.target.endpoint.name
        if problem and not before:
            text = f"agent of endpoint {pool}/{name}: {problem}; keeping its last answer"
            self._events.warning("agent.trouble", text, pool=pool, endpoint=name)
        elif before and not problem:
            text = f"agent of endpoint {pool}/{name} answers again: {asked.said}"
            self._events.info("agent.answers", text, pool=pool, endpoint=name)


async def _line_of(target: AgentTarget, connector: Connector) -> bytes:
    """What the agent says. Raises OSError, and ValueError for no line within bounds."""
    sock = await connector.connect(target.endpoint, target.check.port)
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(target.check.send.encode())
        said = b""
        while b"\n" not in said and b"\r" not in said:
            more = await reader.read(MOST_BYTES + 1 - len(said))
            said += more
            if len(said) > MOST_BYTES:
                raise ValueError(f"its line is longer than {MOST_BYTES} bytes")
            if not more:
                break
        if not said:
            raise ValueError("it closed the connection without an answer")
        return said
    finally:
        writer.transport.abort()  # what may still come does not matter
