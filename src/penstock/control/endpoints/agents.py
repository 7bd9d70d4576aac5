"""Agent checks: asks the agent beside each endpoint for its state, as HAProxy does.

One task for each endpoint whose pool has an agent. An agent that does not answer changes nothing:
whether an endpoint can be reached is for health checks to find out.
"""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Final

from penstock._reasons import reason_of
from penstock.admin.view import AgentView
from penstock.control.endpoints.connecting import Connector
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.target_tasks import TargetTasks
from penstock.core.snapshot import AgentCheck, Endpoint, Snapshot
from penstock.wire.agent_check import MOST_BYTES, AgentAnswer, parse_agent_line

_AT_ONCE: Final = 128  # connections to agents; a bound on descriptors, not on speed


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


class AgentChecks:
    """The agents of every endpoint whose pool has them."""

    def __init__(self, states: EndpointStates, events: Events) -> None:
        self._states = states
        self._events = events
        self._chance = Random()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._asked: TargetTasks[AgentTarget, _Asked] = TargetTasks(
            "asking the agent of",
            lambda target, before: _Asked(target, before.said if before is not None else ""),
            self._keep_asking,
            events,
        )
        self._connector = Connector()

    def configure(self, snapshot: Snapshot) -> None:
        """Ask the agents of the running snapshot. Unchanged ones go on undisturbed."""
        self._asked.configure(
            {
                (pool.name, endpoint.name): AgentTarget(pool.name, endpoint, pool.agent_check)
                for pool in snapshot.pools
                if pool.agent_check is not None
                for endpoint in pool.endpoints
            }
        )

    def view(self, pool: str, name: str) -> AgentView | None:
        """The agent's last answer; None where there is no agent."""
        asked = self._asked.get((pool, name))
        return AgentView(asked.said, asked.problem) if asked is not None else None

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        await self._asked.stop()

    async def _keep_asking(self, asked: _Asked) -> None:
        interval_s = asked.target.check.interval_s
        await asyncio.sleep(interval_s * self._chance.random())  # a start is no volley
        while True:
            await self._ask(asked)
            await asyncio.sleep(interval_s)

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
        self._apply(asked, parse_agent_line(line))

    def _apply(self, asked: _Asked, answer: AgentAnswer) -> None:
        asked.said = answer.shown
        if not answer.empty:
            self._states.agent_says(asked.target.pool, asked.target.endpoint.name, answer)
        if answer.unknown:
            self._note(asked, f"not understood: {' '.join(answer.unknown)[:200]}")
        else:
            self._note(asked, "its answer is empty" if answer.empty else "")

    def _note(self, asked: _Asked, problem: str) -> None:
        """Log when problems begin and when they end, not with every check."""
        before, asked.problem = asked.problem, problem
        pool, name = asked.target.pool, asked.target.endpoint.name
        if problem and not before:
            text = f"agent of endpoint {pool}/{name}: {problem}; keeping its last answer"
            self._events.warning("agent.trouble", text, pool=pool, endpoint=name)
        elif before and not problem:
            text = f"agent of endpoint {pool}/{name} answers again: {asked.said}"
            self._events.info("agent.answers", text, pool=pool, endpoint=name)


async def _line_of(target: AgentTarget, connector: Connector) -> bytes:
    """The agent's answer. Raises OSError, and ValueError without a line within bounds."""
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
