"""A task for each target: begun when it comes, replaced when it changes, ended when it goes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.control.background import BackgroundTasks
from penstock.control.events import Events
from penstock.control.target_tasks import TargetTasks

A, B = ("pool", "a"), ("pool", "b")


class State:
    """Of a target that somebody works on."""

    def __init__(self, target: str, before: "State | None") -> None:
        self.target = target
        self.history: list[str] = [*(before.history if before is not None else []), target]


class Site:
    """Work that waits until it is ended, or crashes when told to; pauses that are let pass."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.begun: list[str] = []
        self.at_work: list[str] = []
        self.crashes: dict[str, asyncio.Event] = {}
        self.pauses: list[float] = []
        self.awake = asyncio.Event()
        self.tasks = TargetTasks("watching", State, self._work, events, 5.0, self._sleep)

    async def settle(self) -> None:
        """Let every task run until it waits."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def _work(self, state: State) -> None:
        self.begun.append(state.target)
        self.at_work.append(state.target)
        crash = self.crashes[state.target] = asyncio.Event()
        try:
            await crash.wait()
            raise RuntimeError(f"{state.target} broke")
        finally:
            self.at_work.remove(state.target)

    async def _sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        await self.awake.wait()
        self.awake.clear()


@pytest.fixture
async def site(events: Events) -> AsyncIterator[Site]:
    made = Site(events)
    yield made
    await made.tasks.stop()


async def test_targets_that_come_are_worked_on(site: Site) -> None:
    site.tasks.configure({A: "a1", B: "b1"})
    await site.settle()
    assert site.at_work == ["a1", "b1"]
    assert [key for key, _ in site.tasks.states()] == [A, B]


async def test_a_target_that_stays_goes_on_undisturbed(site: Site) -> None:
    site.tasks.configure({A: "a1"})
    await site.settle()
    state = site.tasks.get(A)
    site.tasks.configure({A: "a1", B: "b1"})
    await site.settle()
    assert site.begun == ["a1", "b1"]
    assert site.tasks.get(A) is state


async def test_a_target_that_changes_is_begun_anew_knowing_what_was_known(site: Site) -> None:
    site.tasks.configure({A: "a1"})
    await site.settle()
    site.tasks.configure({A: "a2"})
    await site.settle()
    assert site.at_work == ["a2"]
    state = site.tasks.get(A)
    assert state is not None
    assert state.history == ["a1", "a2"]


async def test_a_target_that_goes_is_left_alone_and_forgotten(site: Site) -> None:
    site.tasks.configure({A: "a1", B: "b1"})
    await site.settle()
    site.tasks.configure({B: "b1"})
    await site.settle()
    assert site.at_work == ["b1"]
    assert site.tasks.get(A) is None
    site.tasks.configure({A: "a1", B: "b1"})
    state = site.tasks.get(A)
    assert state is not None
    assert state.history == ["a1"], "it comes back as a new one"


async def test_work_that_crashes_is_reported_and_begun_again_after_a_pause(site: Site) -> None:
    site.tasks.configure({A: "a1", B: "b1"})
    await site.settle()
    state = site.tasks.get(A)
    site.crashes["a1"].set()
    await site.settle()
    assert site.at_work == ["b1"], "the other goes on"
    assert site.pauses == [5.0]
    [event] = site.events.recent(10)
    assert (event.kind, event.message) == (
        "bug",
        "watching pool/a: RuntimeError('a1 broke')",
    )
    site.awake.set()
    await site.settle()
    assert site.at_work == ["b1", "a1"]
    assert site.tasks.get(A) is state


async def test_nothing_is_left_at_stop(site: Site) -> None:
    site.tasks.configure({A: "a1", B: "b1"})
    await site.settle()
    site.tasks.configure({B: "b1"})  # and the task of the other has not ended yet
    await site.tasks.stop()
    assert site.at_work == []
    assert list(site.tasks.states()) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_work_in_the_background_ends_at_stop_and_its_bugs_are_reported(
    events: Events,
) -> None:
    background = BackgroundTasks(events)
    ended: list[str] = []

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("it")

    async def crash() -> None:
        raise RuntimeError("broke")

    background.keep("lasting", last)
    background.begin("once", crash())
    await asyncio.sleep(0)
    await background.stop()
    assert ended == ["it"]
    assert [event.message for event in events.recent(10)] == ["once: RuntimeError('broke')"]
