"""One snapshot a second for all pages that are open, and what changed since the one before.

Whoever waits for the next snapshot first takes it for all, so that it costs the same with one page
or fifty, and nothing is taken while nobody looks. A page that was too slow for one gets the next
one whole, so nothing piles up for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, thread_time, time
from typing import Any, Final

import msgspec

from penstock.admin.dashboard.counts import Differences, Sampler, Window
from penstock.admin.dashboard.difference import difference
from penstock.admin.dashboard.document import Documents, Section, pool_series
from penstock.admin.dashboard.history import History
from penstock.admin.dashboard.tenancy import TenancyDocuments
from penstock.admin.view import EventView, Overview, PlacedPool, RunningBalancer

PERIOD_S: Final = 1.0
# With very many endpoints the period grows, so that snapshots take a hundredth of a core.
_SHARE: Final = 0.01
_LONGEST_S: Final = 10.0
MOST_PAGES: Final = 64


class Frame:
    """A snapshot: what is sent of it, encoded once."""

    def __init__(self, number: int, sections: dict[str, Section], history: History) -> None:
        self.number = number
        self.sections = sections
        self.changes = b""
        self._head = {"number": number, "at": round(time(), 2)}
        self._events: list[Any] = []
        self._history = history
        self._whole = b""

    def follow(self, before: "Frame | None", all_events: list[Any], new: list[Any]) -> None:
        """Work out what changed since the one before."""
        self._events = all_events
        if before is not None:
            changes = difference(before.sections, self.sections)
            if new:
                changes["events"] = new
            self.changes = _message("changes", self._head | changes)

    def whole(self) -> bytes:
        """For a page that has not seen the one before."""
        if not self._whole:
            whole = self._head | self.sections | {"events": self._events}
            whole["history"] = self._history.document()
            self._whole = _message("whole", whole)
        return self._whole


class Feed:
    """Made once; ``next`` is what pages wait in."""

    def __init__(
        self,
        balancer: RunningBalancer,
        clock: Callable[[], float] = monotonic,
        period_s: float = PERIOD_S,
        effort: Callable[[], float] = thread_time,
    ) -> None:
        self.pages = 0
        self._balancer = balancer
        self._clock = clock
        self._period_s = period_s
        self._over = asyncio.Event()
        self._lock = asyncio.Lock()
        self._effort = effort
        self._sampler = Sampler(balancer.board)
        self._window = Window()
        self._hour_window = Window()  # of samples without endpoints
        self._documents = Documents(balancer.board)
        self._tenancy = TenancyDocuments()
        self._history = History()
        self._frame: Frame | None = None
        self._due = 0.0
        self._numbers = 0
        self._newest: deque[EventView] = deque(maxlen=1)

    @contextmanager
    def page(self) -> Iterator[None]:
        """One more page is open meanwhile."""
        self.pages += 1
        try:
            yield
        finally:
            self.pages -= 1
            if not self.pages:
                self._frame = None  # as large as the world; the next page begins anew

    def end(self) -> None:
        """Pages are told no more."""
        self._over.set()

    def sample(self, pools: Sequence[PlacedPool]) -> None:
        """Every five seconds: a point of the last hour, seen or not."""
        sample = self._sampler.take(pools, self._clock(), endpoints=False)
        found = self._hour_window.differences(sample)
        self._history.note(time(), pool_series(pools, found))

    async def next(self, seen: int) -> bytes | None:
        """What a page is sent that has seen that frame (0: none); None when it is over."""
        if self._frame is None or self._frame.number <= seen:
            async with self._lock:
                if self._frame is None or self._frame.number <= seen:
                    await self._wait()
                    if not self._over.is_set():
                        self._take()
        frame = self._frame
        if self._over.is_set() or frame is None:
            return None
        return frame.changes if frame.changes and seen == frame.number - 1 else frame.whole()

    @property
    def number(self) -> int:
        """Of the newest frame."""
        return self._numbers

    def due_in(self) -> float:
        """Seconds until the next snapshot may be taken."""
        return self._due - self._clock()

    async def _wait(self) -> None:
        left = self.due_in()
        if left > 0.0:
            try:
                async with asyncio.timeout(left):
                    await self._over.wait()
            except TimeoutError:
                pass

    def _take(self) -> None:
        began, effort = self._clock(), self._effort()
        before = self._frame
        overview = self._balancer.overview()
        self._numbers += 1
        frame = Frame(self._numbers, self._read(overview), self._history)
        new = self._new_events(overview.events) if before is not None else list(overview.events)
        self._newest.extend(overview.events[-1:])
        frame.follow(before, _told(overview.events), _told(new))
        self._frame = frame
        took = self._effort() - effort
        self._due = began + min(max(self._period_s, took / _SHARE), _LONGEST_S)

    def _read(self, overview: Overview) -> dict[str, Section]:
        sections = self._documents.document(overview, self._found(overview))
        return sections | self._tenancy.document(self._balancer.tenancy(), self._clock(), time())

    def _found(self, overview: Overview) -> Differences:
        return self._window.differences(self._sampler.take(overview.pools, self._clock()))

    def _new_events(self, events: tuple[EventView, ...]) -> list[EventView]:
        """Those after the newest that was told."""
        newest = self._newest[0] if self._newest else None
        new: list[EventView] = []
        for event in reversed(events):
            if event is newest or event == newest:
                break
            new.append(event)
        return new[::-1]


def _told(events: Any) -> list[Any]:
    told: list[Any] = msgspec.to_builtins(list(events))
    return told


def _message(kind: str, content: dict[str, Any]) -> bytes:
    """As server-sent events have it: JSON holds no line end of its own."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(content))
