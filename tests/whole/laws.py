"""What must hold of a worker at any time, and once all is over."""

from collections.abc import Sequence

from penstock.core.measure.histogram import BUCKETS
from penstock.core.snapshot import Limit
from penstock.dataplane.board.layout import P_HISTOGRAMS
from penstock.dataplane.client.http1 import ClientConnection
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.io.loop import READABLE, Loop, Pollable
from penstock.dataplane.pool.limits import Limits
from penstock.dataplane.tunnel.socket_side import SocketSide
from penstock.dataplane.worker.serving import Worker
from tests.whole.book import Book
from tests.whole.ledger import Ledger

_TOTAL = 3  # of the phases of histograms
_MOST_HELD = 140_000  # bytes that one connection may hold for a peer: a read's worth, or two
_MOST_HELD_OF_STREAMS = 1_200_000  # of HTTP/2, which are many streams'


def check_held(each: Pollable) -> None:
    """Nobody's bytes pile up."""
    unsent = getattr(each, "unsent", None)
    held = len(unsent) if unsent is not None else 0
    most = _MOST_HELD_OF_STREAMS if hasattr(each, "codec") else _MOST_HELD
    assert held <= most, f"{each!r} holds {held} bytes"
    _check_pressure(each)


def _check_pressure(each: Pollable) -> None:
    """Who takes no more keeps the worker from reading the other side."""
    if isinstance(each, SocketSide):
        other = each.spliced
        if each.unsent is not None and other is not None and not each.broken:
            assert not other.events & READABLE, f"{other!r} is read on for one that is full"
    elif isinstance(each, ClientConnection) and each.exchange is not None:
        dispatch = each.exchange.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        stream = attempt.stream if attempt is not None else None
        if each.unsent is not None and each.exchange.status and not each.broken:
            read_on = isinstance(stream, Http1Connection) and stream.events & READABLE
            assert not read_on, f"{stream!r} is read on for a client that takes no more"


def check_alarms(loop: Loop) -> None:
    """Nobody waits, so none is set."""
    left = [alarm for at, _, alarm in loop._alarms if alarm.due_at == at]
    assert not left, f"alarms are set, and nobody waits: {left}"


def check_counters(worker: Worker) -> None:
    """Whoever came has ended, once, and left its places."""
    running = worker.running
    assert running is not None
    for pool in running.pools.values():
        pool.counters.publish()
        values = pool.counters.values
        at = P_HISTOGRAMS + _TOTAL * BUCKETS
        ended = sum(values[at : at + BUCKETS])
        came = pool.counters.requests
        assert came == ended, f"{came} requests came, and {ended} ended"
        if pool.admission is not None:
            assert pool.admission.waiting() == 0, "one waits in the queue"
            limit = pool.admission.limit
            assert limit is None or limit.in_flight == 0, f"{limit.in_flight} are let in"


def check_limits(limits: Limits) -> None:
    """All that was reserved is settled."""
    for holding in limits.slices._holdings.values():
        assert holding.running == 0, f"{holding.running} places of a limit are still taken"


def check_places(ledger: Ledger, limits: Sequence[Limit]) -> None:
    """Whoever had a place gave it back, to the owner."""
    for limit in limits:
        taken = ledger.taken(limit.name) if limit.counts == "concurrent" else {}
        left = {subject: amount for subject, amount in taken.items() if amount}
        assert not left, f"places of {limit.name!r} are taken, and nobody has them: {left}"


def check_budgets(ledger: Ledger, limits: Sequence[Limit], book: Book) -> None:
    """What engines said they took is what is not there any more."""
    for limit in limits:
        tenant = limit.name.partition(" ")[0]
        if limit.budget and tenant not in book.guessed:
            taken = sum(ledger.taken(limit.name).values())
            told = book.spent.get(tenant, 0.0)
            assert abs(taken - told) < 1e-3, f"{limit.name!r}: {taken} taken, and {told} told"
