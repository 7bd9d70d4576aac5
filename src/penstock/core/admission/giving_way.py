"""Whose place a request takes that would wait, where a pool preempts: what is asked of a gate."""

from mypy_extensions import mypyc_attr

from penstock.core.admission.limit import ConcurrencyLimit
from penstock.core.admission.preemption import Holder, Holders, who_yields
from penstock.core.admission.scheduler import Scheduler
from penstock.core.admission.tenant_shares import account_of
from penstock.core.admission.waiter import AbstractGate, Waiter
from penstock.core.endpoint import Endpoint
from penstock.core.pool.pool import NO_ROOM, NOBODY


@mypyc_attr(allow_interpreted_subclasses=True)
class Places:
    """Those that are as good as any for one that waits: at its endpoints, or all where it is the
    pool's limit that it waits for."""

    def __init__(self, usable: list[Endpoint] | None) -> None:
        self.usable: list[Endpoint] | None = usable

    def has(self, endpoint: Endpoint) -> bool:
        """Whether a place there is one of them."""
        return self.usable is None or endpoint in self.usable


def places_for(gate: AbstractGate, waiter: Waiter, limit: ConcurrencyLimit | None) -> Places | None:
    """What a request that waits has to get one of; None: it waits for its turn, or for an endpoint
    to come up."""
    if gate.room(waiter) == NO_ROOM:
        return Places(gate.usable(waiter))
    return Places(None) if limit is not None and limit.is_full() else None


def who_gives_way(
    gate: AbstractGate, queue: Scheduler, holders: Holders, importance: int, places: Places
) -> Waiter | None:
    """Of those let in here the one whose place a request of this importance takes."""
    candidates: list[Holder] = []
    for holder in holders.less_important(importance):
        assert isinstance(holder, Waiter)
        endpoint = gate.held(holder)
        if endpoint is None or not places.has(endpoint) or gate.room(holder) == NOBODY:
            continue  # one whose endpoints are down could not be sent again
        holder.counter = queue.counter(account_of(holder.importance, holder.caller.tenant))
        candidates.append(holder)
    chosen = who_yields(candidates, importance)
    assert chosen is None or isinstance(chosen, Waiter)
    return chosen
