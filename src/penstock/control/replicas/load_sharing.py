"""Tells other balancers what this one's workers have at endpoints, and hears what theirs have.

What changed is told at most two hundred times a second, with the prefixes routed meanwhile; while
nothing does, a message five times a second says that this balancer lives. No worker takes part:
it writes and reads the board as it does for other workers.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import thread_time
from typing import TYPE_CHECKING, Final

from xxhash import xxh3_64_intdigest

from penstock.admin.tokens import TokenCounts, tokens_by_pool
from penstock.control.replicas.messages import (
    ASK,
    BYE,
    DEMAND,
    DEMAND_WIDTH,
    LOAD,
    MOST_PREFIXES,
    PAST,
    WHOLE,
    Message,
    decode,
    encode,
    packed,
)
from penstock.control.replicas.others import Others, pool_hash
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.core.snapshot.address import shown_address
from penstock.dataplane.board.balancer_loads import OwnLoads
from penstock.dataplane.board.layout import P_REQUESTS, P_WAITING
from penstock.dataplane.board.memory import Board, as_cell
from penstock.dataplane.llm.balancer_prefixes import PREFIX_WIDTH, PrefixLedger

if TYPE_CHECKING:
    from penstock.control.store.shared import SharedStore

TICK_S: Final = 0.005
_LONGEST_TICK_S: Final = 0.008  # of a balancer that has something to tell
_QUIET_TICK_S: Final = 0.02  # once nothing has changed for a while
_QUIET_AFTER_S: Final = 0.2
_REST: Final = 8.0  # times what reading took: of ten thousand endpoints less is told a second
HEARTBEAT_S: Final = 0.2
_PAST_S: Final = 0.02  # between two parts of the past, whoever asked: 5 MB a second at most
_MOST_ASKING: Final = 16
_WHOLE_AGAIN_S: Final = 0.2  # to the same balancer
_DELAYS: Final = 256
_DELAY_EVERY: Final = 16  # of its own messages one in so many is read, for the time that it took
_DEMAND_S: Final = 1.0
_NO_TOKENS: Final = TokenCounts()
_ENTRY_BYTES: Final = PREFIX_WIDTH * 8
CHANNEL: Final = "loads"  # to all
_TO: Final = "to:"  # one of them


class LoadSharing:
    """``run`` does it all. ``others`` are who is heard."""

    def __init__(
        self, store: "SharedStore", board: Board, me: str, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._me = me
        self._clock = clock
        self._all = store.channel(CHANNEL)
        # How this balancer's own messages begin, which come back to it.
        begun = encode(Message(LOAD, me))
        self._echo = begun[: begun.index(me.encode()) + len(me)]
        self._board = board
        self._foreseen: list[Pool] = []  # that are scaled, or forecast
        self._demand_at = -1.0
        self._own = OwnLoads(board)
        self._ledger = PrefixLedger(board)
        self._told_prefixes = self._ledger.count  # numbers below it were told
        self._seq = 0
        self._whole_due = True
        self._published_at = -1.0
        self._changed_at = -1.0
        self._past_at = -1.0
        self._asking: dict[str, list[int]] = {}  # of the past: the next number, and the end
        self._whole_to: dict[str, float] = {}
        self._delays_us: deque[int] = deque(maxlen=_DELAYS)
        self.others = Others(board, me, clock)
        self.sent = 0
        self.sent_bytes = 0
        self.received = 0
        self.received_bytes = 0
        self.refused = 0  # messages that no balancer says
        self.on_changed: Callable[[list[int]], None] = _nobody
        store.listen(CHANNEL, self._heard)
        store.listen(to(me), self._heard)
        store.on_connected.append(self._on_connected)

    def configure(self, snapshot: Snapshot) -> None:
        """Follow the running snapshot."""
        rows: dict[int, list[int]] = {}
        urls: dict[int, int] = {}
        for pool in snapshot.pools:
            for endpoint in pool.endpoints:
                url = url_hash(pool, endpoint)
                rows.setdefault(url, []).append(endpoint.row)
                urls[endpoint.row] = url
        self._foreseen = [
            pool for pool in snapshot.pools if pool.scale is not None or pool.forecast is not None
        ]
        self._own.configure(rows)
        self._ledger.configure(urls)
        self.others.configure(rows)
        self._whole_due = True

    async def run(self) -> None:
        """Until cancelled."""
        try:
            due = self._clock()
            while True:
                began = thread_time()
                self.tick()
                rest_s = _REST * (thread_time() - began)
                quiet = due - self._changed_at > _QUIET_AFTER_S
                pause_s = max(_QUIET_TICK_S if quiet else tick_s(len(self.others)), rest_s)
                # From when it was due: timers of the loop are late by up to a millisecond.
                due = max(due + pause_s, self._clock())
                await asyncio.sleep(due - self._clock())
        finally:
            self._publish(Message(BYE, self._me))
            self.others.forget_all()

    def tick(self) -> None:
        """Tell what is to be told."""
        now = self._clock()
        self._ledger.read()
        if self._store.feed.connected:
            self._tell(now)
            self._tell_demand(now)
            self._tell_past(now)
        for name, message in self.others.look():
            self._publish(message, self._store.channel(to(name)))

    def delay_ms(self) -> float:
        """How long messages take to come back here: the middle of the last ones."""
        known = sorted(self._delays_us)
        return known[len(known) // 2] / 1000 if known else 0.0

    def _tell(self, now: float) -> None:
        changed = self._own.changed()
        self.on_changed(changed)
        first = self._ledger.first(self._told_prefixes)
        end = min(self._ledger.count, first + MOST_PREFIXES)
        if changed or end > first:
            self._changed_at = now
        elif not self._whole_due and now - self._published_at < HEARTBEAT_S:
            return
        prefixes = self._ledger.entries(first, end)
        self._seq += 1
        whole, self._whole_due = self._whole_due, False
        if whole:
            self._publish(self._whole())
        told = Message(
            LOAD,
            self._me,
            self._seq,
            self._own.digest,
            int(now * 1e6),
            loads=b"" if whole else packed(changed),
            first=first,
            prefixes=prefixes,
        )
        if self._publish(told):
            self._told_prefixes = first + len(prefixes) // _ENTRY_BYTES
        self._published_at = now

    def _tell_demand(self, now: float) -> None:
        """Once a second, of pools of which anybody counts it."""
        if not self._foreseen or now - self._demand_at < _DEMAND_S:
            return
        self._demand_at = now
        board = self._board
        tokens = tokens_by_pool(board)
        numbers = []
        for pool in self._foreseen:
            of_pool = tokens.get(pool.row, _NO_TOKENS)
            requests = board.pool_sum(pool.row, P_REQUESTS)
            waiting = max(board.pool_sum(pool.row, P_WAITING), 0)
            numbers += [pool_hash(pool.name), requests, of_pool.prompt, of_pool.output, waiting]
        loads = packed(numbers)
        self._publish(Message(DEMAND, self._me, width=DEMAND_WIDTH, loads=loads))

    def _whole(self) -> Message:
        loads = packed(self._own.all())
        return Message(WHOLE, self._me, self._seq, self._own.digest, loads=loads)

    def _tell_past(self, now: float) -> None:
        if not self._asking or now - self._past_at < _PAST_S:
            return
        self._past_at = now
        name = next(iter(self._asking))
        start, last = self._asking.pop(name)
        start = self._ledger.first(start)
        last = min(last, self._ledger.count)
        prefixes = self._ledger.entries(start, min(last, start + MOST_PREFIXES))
        end = start + len(prefixes) // _ENTRY_BYTES
        past = Message(PAST, self._me, first=start, prefixes=prefixes)
        self._publish(past, self._store.channel(to(name)))
        if end < last:
            self._asking[name] = [end, last]  # behind the others

    def _publish(self, message: Message, channel: bytes = b"") -> bool:
        data = encode(message)
        self.sent += 1
        self.sent_bytes += len(data)
        return self._store.feed.publish(channel or self._all, data)

    def _heard(self, data: bytes) -> None:
        self.received += 1
        self.received_bytes += len(data)
        if data.startswith(self._echo) and self.received % _DELAY_EVERY:
            return
        message = decode(data)
        if message is None:
            self.refused += 1
        elif message.balancer == self._me:
            if message.sent_us:
                self._delays_us.append(max(int(self._clock() * 1e6) - message.sent_us, 0))
        elif message.kind == ASK:
            self._answer(message)
        else:
            self.others.take(message)

    def _answer(self, message: Message) -> None:
        """Another balancer wants to know all."""
        now = self._clock()
        name = message.balancer
        if message.last > message.first and (
            name in self._asking or len(self._asking) < _MOST_ASKING
        ):
            self._asking[name] = [message.first, message.last]
        if now - self._whole_to.get(name, -1.0) < _WHOLE_AGAIN_S:
            return
        self._whole_to = {each: at for each, at in self._whole_to.items() if now - at < 1.0}
        if len(self._whole_to) < _MOST_ASKING:
            self._whole_to[name] = now
            self._publish(self._whole(), self._store.channel(to(name)))

    def _on_connected(self) -> None:
        self._whole_due = True


def tick_s(others: int) -> float:
    """Between two messages where so many hear them. All hear those of all: with more balancers each
    says less often, as far as half of what is seen can be 5 ms old."""
    return min(max(TICK_S * others / 2.0, TICK_S), _LONGEST_TICK_S)


def _nobody(changed: list[int]) -> None:
    """Wants to know which loads of this balancer changed."""


def to(name: str) -> str:
    """The channel of one balancer."""
    return _TO + name


def url_hash(pool: Pool, endpoint: Endpoint) -> int:
    """What all balancers know an endpoint by: what of its URL decides where requests go."""
    scheme: str = pool.protocol
    if scheme == "http":
        scheme = "https" if endpoint.tls else "http"
    url = f"{scheme}://{shown_address(endpoint.host, endpoint.port)}{endpoint.base_path}"
    return as_cell(xxh3_64_intdigest(url.lower().encode()))
