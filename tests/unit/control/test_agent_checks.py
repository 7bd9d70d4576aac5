"""Agents of real sockets: what they say takes effect, and what they do not say changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from msgspec.structs import replace

from penstock.control.endpoints.agents import AgentChecks
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.core.snapshot import AgentCheck, Endpoint, Pool
from penstock.dataplane.board.memory import Board
from tests.unit.control.waiting import until
from tests.unit.control.worlds import world


class Agent:
    """Says ``line`` to whoever connects, and closes unless told to keep still."""

    def __init__(self) -> None:
        self.line = b""
        self.closes = True
        self.asked = 0
        self.heard = b""
        self.port = 0
        self.wants = 0  # bytes to read first
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.asked += 1
        if self.wants:
            self.heard = await reader.readexactly(self.wants)
        writer.write(self.line)
        if not self.closes:
            await reader.read()  # the other side has had enough
        writer.close()

    async def stop(self, server: asyncio.Server) -> None:
        """No connection outlives the test, whatever it is at."""
        server.close()
        await asyncio.sleep(0)  # one that was accepted just now is served
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class Site:
    def __init__(self, board: Board, events: Events, agent: Agent) -> None:
        self.agent = agent
        self.states = EndpointStates(board, events)
        self.checks = AgentChecks(self.states, events)

    def run(self, **settings: object) -> None:
        check = AgentCheck(port=self.agent.port, interval_s=0.01, timeout_s=5.0)
        self._run(replace(check, **settings))

    def run_without(self) -> None:
        self._run(None)

    def _run(self, check: AgentCheck | None) -> None:
        # A name that has no address: requests go to ``addresses``, and so do questions.
        endpoint = Endpoint("e", "nowhere.invalid", 9, row=0, weight=2.0, addresses=("127.0.0.1",))
        snapshot = world([Pool(name="a", endpoints=(endpoint,), agent_check=check)])
        self.states.add_new(snapshot.pools)
        self.states.configure(snapshot.pools)
        self.checks.configure(snapshot)

    @property
    def weight(self) -> float:
        return self.states.effective_weight(self.states.of("a", "e"))

    @property
    def shown(self) -> str:
        return self.states.of("a", "e").shown

    @property
    def problem(self) -> str:
        view = self.checks.view("a", "e")
        assert view is not None
        return view.problem

    async def asked_again(self) -> None:
        """Twice: the answer to the first of them was taken for certain."""
        before = self.agent.asked
        await until(lambda: self.agent.asked >= before + 2, "the agent was asked again")


@pytest.fixture
async def site(board: Board, events: Events) -> AsyncIterator[Site]:
    agent = Agent()
    server = await agent.start()
    made = Site(board, events, agent)
    yield made
    await made.checks.stop()
    await agent.stop(server)


async def test_a_percentage_is_a_share_of_the_configured_weight(site: Site) -> None:
    site.agent.line = b"75%\n"
    site.run()
    await until(lambda: site.weight == 1.5, "the weight is 75% of 2")
    site.agent.line = b"up\n"  # says nothing of the weight
    await site.asked_again()
    assert site.weight == 1.5


async def test_a_line_needs_no_end_if_the_connection_ends(site: Site) -> None:
    site.agent.line = b"drain"
    site.run()
    await until(lambda: site.shown == "draining", "it is draining")


async def test_a_line_is_enough_though_the_connection_stays_open(site: Site) -> None:
    site.agent.line, site.agent.closes = b"drain\n", False
    site.run()
    await until(lambda: site.shown == "draining", "it is draining")


async def test_what_is_to_be_sent_is_sent_first(site: Site) -> None:
    site.agent.wants, site.agent.line = 6, b"50%\n"
    site.run(send="state\n")
    await until(lambda: site.weight == 1.0, "the agent answered")
    assert site.agent.heard == b"state\n"


async def test_an_agent_that_does_not_answer_changes_nothing(site: Site, events: Events) -> None:
    site.agent.line = b"drain 50%\n"
    site.run()
    await until(lambda: site.shown == "draining", "it is draining")
    site.agent.line = b""
    await until(lambda: site.problem != "", "it is noticed")
    assert site.problem == "it closed the connection without an answer"
    await site.asked_again()
    assert (site.shown, site.weight) == ("draining", 1.0)
    site.agent.line = b"ready\n"
    await until(lambda: site.shown == "up", "it is up again")
    kinds = [event.kind for event in events.recent(100)]
    assert kinds == ["endpoint.agent", "agent.trouble", "endpoint.agent", "agent.answers"]


async def test_one_that_is_silent_or_gone_is_noticed(site: Site) -> None:
    site.agent.closes = False
    site.run(timeout_s=0.05)
    await until(lambda: site.problem == "no answer within 0.05 s", "it is noticed")
    refusing = site.agent.port
    site.agent.port = 1  # nobody listens there
    site.run()
    await until(lambda: site.problem == "connection refused", "it is noticed")
    site.agent.port = refusing


@pytest.mark.parametrize("line", [b"x" * 5000, b"drain " + b"x" * 5000 + b"\n"])
async def test_a_line_without_end_is_none(site: Site, line: bytes) -> None:
    site.agent.line = line
    site.run()
    await until(lambda: site.problem == "its line is longer than 1024 bytes", "it is noticed")
    assert site.shown == "up"


async def test_words_that_are_not_understood_are_named_and_the_others_count(site: Site) -> None:
    site.agent.line = b"drain lunch\n"
    site.run()
    await until(lambda: site.problem == "not understood: lunch", "it is noticed")
    assert site.shown == "draining"


async def test_what_an_agent_said_outlives_a_reload_but_not_the_agent(site: Site) -> None:
    site.agent.line = b"drain 50%\n"
    site.run()
    await until(lambda: site.shown == "draining", "it is draining")
    site.run(interval_s=1000.0)
    assert (site.shown, site.weight) == ("draining", 1.0)
    view = site.checks.view("a", "e")
    assert view is not None
    assert view.said == "drain 50%"
    site.run_without()
    assert (site.shown, site.weight) == ("up", 2.0)
    assert site.checks.view("a", "e") is None
