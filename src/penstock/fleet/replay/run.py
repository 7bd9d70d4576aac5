"""Sends a workload on time, open loop: no request waits because another is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from penstock.fleet.replay.client import Outcome, StreamClient
from penstock.fleet.replay.session import Message, Session, Turn, Workload
from penstock.fleet.replay.text import synthesise

# The first request is due so long after the start, and prompts are synthesised as long before they
# are due: a burst of long ones takes a while.
LEAD_S = 0.5

OnOutcome = Callable[[Outcome], None]


class Replay:
    """One run of a workload against one server.

    ``speedup`` compresses all waits; it is for emulated engines that run as much faster.
    """

    def __init__(
        self,
        workload: Workload,
        client: StreamClient,
        on_outcome: OnOutcome,
        *,
        speedup: float = 1.0,
    ) -> None:
        self._workload = workload
        self._client = client
        self._on_outcome = on_outcome
        self._speedup = speedup
        self.in_flight = 0

    async def run(self) -> None:
        """Send everything and wait for every answer; a cancelled run cancels its requests."""
        loop = asyncio.get_running_loop()
        began = loop.time() + LEAD_S
        async with asyncio.TaskGroup() as under_way:
            for at_s, session, number in departures(self._workload.sessions):
                due = began + at_s / self._speedup
                await asyncio.sleep(max(0.0, due - LEAD_S - loop.time()))
                if session.closed:
                    under_way.create_task(self._converse(session, due))
                else:
                    under_way.create_task(self._send_timed(session, number, due))

    async def _send_timed(self, session: Session, number: int, due: float) -> None:
        await self._send(prompt_of(session, number), session.turns[number], due)

    async def _converse(self, session: Session, due: float) -> None:
        conversation = Conversation(session)
        for number, turn in enumerate(session.turns):
            if number:
                due = asyncio.get_running_loop().time() + turn.wait_s / self._speedup
            outcome = await self._send(conversation.prompt(turn), turn, due)
            conversation.answered("".join(outcome.answer))

    async def _send(self, messages: Sequence[dict[str, str]], turn: Turn, due: float) -> Outcome:
        body = self._client.body(messages, turn.output_tokens)
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        self.in_flight += 1
        try:
            outcome = await self._client.send(body, due)
        finally:
            self.in_flight -= 1
        self._on_outcome(outcome)
        return outcome


class Conversation:
    """What was said in a closed session so far."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._messages: list[dict[str, str]] = []

    def prompt(self, turn: Turn) -> list[dict[str, str]]:
        """The messages of the next turn."""
        if self._session.whole_prompts:
            self._messages = []
        self._messages += map(_rendered, turn.added)
        return self._messages

    def answered(self, text: str) -> None:
        """The answer to the last turn is part of the next where the session keeps answers."""
        if self._session.answers_kept:
            self._messages.append({"role": "assistant", "content": text})


def prompt_of(session: Session, number: int) -> list[dict[str, str]]:
    """The messages of an open session's turn."""
    turns = session.turns[number : number + 1] if session.whole_prompts else session.turns
    return [_rendered(message) for turn in turns[: number + 1] for message in turn.added]


def departures(sessions: Sequence[Session]) -> Iterator[tuple[float, Session, int]]:
    """What begins when: every turn of an open session, the first of a closed one, in order."""
    departures = [
        (session.start_s + (0.0 if session.closed else turn.wait_s), index, number)
        for index, session in enumerate(sessions)
        for number, turn in enumerate(session.turns[:1] if session.closed else session.turns)
    ]
    for at_s, index, number in sorted(departures):
        yield at_s, sessions[index], number


def _rendered(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": synthesise(message.text)}
