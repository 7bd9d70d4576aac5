"""The other balancers that are heard, and what they told last.

A balancer that was not heard for a second is gone, and with it what it had. One that is heard for
the first time, whose digest differs from what was understood of it, or of whose prefixes some were
missed, is asked: for its loads twice a second at most, and one balancer at a time for prefixes of
before, so that a newcomer is not flooded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from xxhash import xxh3_64_intdigest

from penstock.admin.view import BalancerView
from penstock.control.elsewhere import DemandElsewhere
from penstock.control.replicas.messages import (
    ASK,
    BYE,
    DEMAND,
    DEMAND_WIDTH,
    LOAD,
    PAST,
    WHOLE,
    Message,
    unpacked,
)
from penstock.dataplane.board.balancer_loads import T_IN_FLIGHT, T_VERDICT, OtherLoads, ToldLoads
from penstock.dataplane.board.memory import Board, as_cell
from penstock.dataplane.llm.balancer_prefixes import JOURNAL, PREFIX_WIDTH, ToldPrefixes

GONE_S: Final = 0.8
MOST: Final = 64  # balancers; far more than a store's messages would be enough for
_ASK_AGAIN_S: Final = 0.5
_PAST_PATIENCE_S: Final = 2.0  # for the next part of what was asked for
_ENTRY_BYTES: Final = PREFIX_WIDTH * 8
_WRITE_AGAIN_S: Final = 1.0
_MOST_POOLS: Final = 4096


@dataclass(eq=False)
class _Other:
    """``missed``: numbers of prefixes that were not heard, from the first to before the second."""

    heard_at: float
    loads: ToldLoads = field(default_factory=ToldLoads)
    seq: int = 0
    next: int = 0  # the number of the prefix that it tells next
    missed: tuple[int, int] = (0, 0)
    differs: bool = True
    asked_at: float = -1.0
    lost: int = 0
    demand: dict[int, list[int]] = field(default_factory=dict)  # by pool, as it told it last


class Others:
    """``take`` what they say, and ``look`` now and then."""

    def __init__(self, board: Board, me: str, clock: Callable[[], float]) -> None:
        self._me = me
        self._clock = clock
        self._others: dict[str, _Other] = {}
        self._catching_up: tuple[str, float] | None = None  # with whom, and when it said something
        self.loads = OtherLoads(board)
        self.prefixes = ToldPrefixes(board)
        self._totals: dict[int, list[int]] = {}  # by pool, over all that were ever heard
        self._written_at = -1.0
        self.asked = 0
        self.lost = 0  # messages
        self.on_verdict: Callable[[list[int]], None] = _nobody

    def configure(self, rows: dict[int, list[int]]) -> None:
        """The board's rows of each endpoint, by the hash of its URL."""
        self.loads.configure(rows)
        self.prefixes.configure(rows)

    def __len__(self) -> int:
        return len(self._others)

    def views(self) -> tuple[BalancerView, ...]:
        """For people, by name."""
        now = self._clock()
        return tuple(
            BalancerView(
                name=name,
                heard_s=round(now - each.heard_at, 3),
                in_flight=sum(values[T_IN_FLIGHT] for values in each.loads.values.values()),
                endpoints=len(each.loads.values),
                lost=each.lost,
            )
            for name, each in sorted(self._others.items())
        )

    def verdicts(self, url: int, field: int) -> list[int]:
        """What each of those that know the endpoint told in that field."""
        found = [each.loads.values.get(url) for each in self._others.values()]
        return [values[field] for values in found if values is not None]

    def take(self, message: Message) -> None:
        """One of them said something."""
        now = self._clock()
        if message.kind == BYE:
            self._drop(message.balancer)
            return
        if message.kind == DEMAND:
            self._take_demand(message)
            return
        if message.kind not in (LOAD, WHOLE, PAST):
            return
        other = self._others.get(message.balancer)
        if other is None:
            if len(self._others) >= MOST:
                return
            other = self._others[message.balancer] = _Other(now)
        other.heard_at = now
        if message.kind != PAST:
            self._take_loads(other, message)
        self._take_prefixes(message.balancer, other, message)

    def _take_demand(self, message: Message) -> None:
        other = self._others.get(message.balancer)
        if other is None or message.width < DEMAND_WIDTH:
            return
        numbers = unpacked(message.loads)
        for at in range(0, min(len(numbers), _MOST_POOLS * message.width), message.width):
            pool, *now = numbers[at : at + DEMAND_WIDTH].tolist()
            before = other.demand.get(pool)
            if before is None and len(other.demand) >= _MOST_POOLS:
                continue
            other.demand[pool] = now
            if before is not None:
                totals = self._totals.setdefault(pool, [0, 0, 0])
                for field in range(len(totals)):
                    totals[field] += max(now[field] - before[field], 0)

    def demand(self, pool: str) -> DemandElsewhere:
        """What they are asked of a pool."""
        key = pool_hash(pool)
        known = [each.demand[key] for each in self._others.values() if key in each.demand]
        requests, prompts, outputs = self._totals.get(key, (0, 0, 0))
        waiting = sum(max(each[3], 0) for each in known)
        return DemandElsewhere(requests, prompts, outputs, waiting)

    def _take_loads(self, other: _Other, message: Message) -> None:
        if message.kind == LOAD and other.seq:
            lost = max(message.seq - other.seq - 1, 0)
            other.lost += lost
            self.lost += lost
        other.seq = message.seq
        if message.loads or message.kind == WHOLE:
            whole = message.kind == WHOLE
            changed = self.loads.take(
                other.loads, unpacked(message.loads), message.width, whole=whole
            )
            if changed:
                self.on_verdict(changed)
        other.differs = other.loads.digest != message.digest

    def _take_prefixes(self, name: str, other: _Other, message: Message) -> None:
        end = message.first + len(message.prefixes) // _ENTRY_BYTES
        if message.prefixes:
            self.prefixes.take(unpacked(message.prefixes))
        if message.kind == PAST:
            if self._catching_up is not None and self._catching_up[0] == name:
                self._catching_up = (name, other.heard_at)
            start, upto = other.missed
            other.missed = (max(start, end), upto) if end < upto else (0, 0)
            if not any(other.missed) and self._catching_up and self._catching_up[0] == name:
                self._catching_up = None
        elif message.kind == LOAD:
            if message.first > other.next:
                start = max(other.next, message.first - JOURNAL)
                before = other.missed
                other.missed = (before[0] if any(before) else start, message.first)
            other.next = max(end, message.first)

    def look(self) -> list[tuple[str, Message]]:
        """Forget those that are gone; whom to ask for what."""
        now = self._clock()
        if now - self._written_at > _WRITE_AGAIN_S:
            self._written_at = now
            self.loads.write_all()
        for name in [n for n, each in self._others.items() if now - each.heard_at > GONE_S]:
            self._drop(name)
        if self._catching_up and now - self._catching_up[1] > _PAST_PATIENCE_S:
            other = self._others.get(self._catching_up[0])
            if other is not None:
                other.missed = (0, 0)  # a belief less
            self._catching_up = None
        asks = []
        for name, other in self._others.items():
            past = self._catching_up is None and any(other.missed)
            if not (past or other.differs) or now - other.asked_at < _ASK_AGAIN_S:
                continue
            other.asked_at = now
            self.asked += 1
            first, last = other.missed if past else (0, 0)
            if past:
                self._catching_up = (name, now)
            asks.append((name, Message(ASK, self._me, first=first, last=last)))
        return asks

    def forget_all(self) -> None:
        """Nothing is heard of them any more."""
        for name in list(self._others):
            self._drop(name)

    def _drop(self, name: str) -> None:
        other = self._others.pop(name, None)
        if other is not None:
            thought = [url for url, values in other.loads.values.items() if values[T_VERDICT]]
            self.loads.drop(other.loads)
            self.on_verdict(thought)
        if self._catching_up is not None and self._catching_up[0] == name:
            self._catching_up = None


def pool_hash(pool: str) -> int:
    """What all balancers know a pool by."""
    return as_cell(xxh3_64_intdigest(pool.encode()))


def _nobody(urls: list[int]) -> None:
    """Wants to know."""
