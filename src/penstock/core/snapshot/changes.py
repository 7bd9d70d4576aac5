"""What became of endpoints and of tenants found, from one snapshot to the next, where nothing else
changed.

A snapshot of thousands of endpoints takes long to encode, to send and to apply, while discovery,
weights and lists of models change one endpoint at a time. Any sequence of changes ends in the very
snapshots that they were made from: ``changed(a, endpoint_changes(a, b)) == b``.
"""

from __future__ import annotations

from operator import attrgetter

import msgspec
from msgspec import field
from msgspec.structs import replace

from penstock.core.snapshot import Endpoint, Pool, ServedModel, Snapshot, Tenant
from penstock.core.snapshot.data import Data

_TLS = attrgetter("tls")


class PoolChange(Data, frozen=True):
    """The endpoints of one pool that are gone, new or other than before."""

    pool: str
    removed: tuple[str, ...] = ()
    # New ones and those that changed, with their places among all that there are afterwards.
    placed: tuple[tuple[int, Endpoint], ...] = ()
    discovered: dict[str, tuple[ServedModel, ...]] = field(default_factory=dict)
    undiscovered: tuple[str, ...] = ()
    awaited: tuple[str, ...] | None = None  # None: as before


class EndpointChanges(Data, frozen=True):
    """From the snapshot of generation ``base`` to that of ``generation``."""

    base: int
    generation: int
    pools: tuple[PoolChange, ...]
    found_tenants: tuple[Tenant, ...] | None = None  # None: as before


def endpoint_changes(before: Snapshot, after: Snapshot) -> EndpointChanges | None:
    """What became of endpoints; None where more than that changed, or their order among each other.

    A pool that gets its first endpoint over TLS, or loses its last, changes more than that: whether
    it has certificates to load.
    """
    same = replace(
        before,
        generation=after.generation,
        pools=after.pools,
        found_tenants=after.found_tenants,
    )
    if same != after:
        return None
    if [pool.name for pool in before.pools] != [pool.name for pool in after.pools]:
        return None
    changes = []
    for old, new in zip(before.pools, after.pools, strict=True):
        if old != new:
            change = _pool_change(old, new)
            if change is None:
                return None
            changes.append(change)
    found = after.found_tenants if after.found_tenants != before.found_tenants else None
    return EndpointChanges(before.generation, after.generation, tuple(changes), found)


def changed(before: Snapshot, changes: EndpointChanges) -> Snapshot:
    """The snapshot that the changes lead to. Raises ValueError where they are not of this one."""
    if before.generation != changes.base:
        raise ValueError(
            f"changes of generation {changes.base} came where generation {before.generation} runs"
        )
    by_name = {change.pool: change for change in changes.pools}
    pools = tuple(
        _changed_pool(pool, by_name.pop(pool.name)) if pool.name in by_name else pool
        for pool in before.pools
    )
    if by_name:
        raise ValueError(f"no pool is called {', '.join(by_name)}")
    found = before.found_tenants if changes.found_tenants is None else changes.found_tenants
    return replace(before, generation=changes.generation, pools=pools, found_tenants=found)


def _pool_change(old: Pool, new: Pool) -> PoolChange | None:
    same = replace(old, endpoints=new.endpoints, discovered=new.discovered, awaited=new.awaited)
    if same != new or _speaks_tls(old) != _speaks_tls(new):
        return None
    known = {endpoint.name: endpoint for endpoint in old.endpoints}
    names = {endpoint.name for endpoint in new.endpoints}
    if len(known) != len(old.endpoints) or len(names) != len(new.endpoints):
        return None  # names tell them apart
    placed = tuple(
        (at, endpoint)
        for at, endpoint in enumerate(new.endpoints)
        if known.get(endpoint.name) != endpoint
    )
    change = PoolChange(
        new.name,
        removed=tuple(name for name in known if name not in names),
        placed=placed,
        discovered={
            name: models
            for name, models in new.discovered.items()
            if old.discovered.get(name) != models
        },
        undiscovered=tuple(name for name in old.discovered if name not in new.discovered),
        awaited=new.awaited if new.awaited != old.awaited else None,
    )
    return change if _changed_pool(old, change).endpoints == new.endpoints else None


def _changed_pool(pool: Pool, change: PoolChange) -> Pool:
    moved = {*change.removed, *(endpoint.name for _, endpoint in change.placed)}
    endpoints = [endpoint for endpoint in pool.endpoints if endpoint.name not in moved]
    for at, endpoint in change.placed:  # in ascending order: what stands before is there already
        endpoints.insert(at, endpoint)
    discovered = {**pool.discovered, **change.discovered}
    for name in change.undiscovered:
        del discovered[name]
    return replace(
        pool,
        endpoints=tuple(endpoints),
        discovered=discovered,
        awaited=pool.awaited if change.awaited is None else change.awaited,
    )


def _speaks_tls(pool: Pool) -> bool:
    return any(map(_TLS, pool.endpoints))


def decode_changes(encoded: object) -> EndpointChanges:
    """From plain data. Raises msgspec.ValidationError."""
    return msgspec.convert(encoded, type=EndpointChanges)
