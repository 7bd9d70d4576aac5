"""When what is held of a lease is the store's again, and when the store is to be told of it."""

from typing import Final

from penstock.core.limits.leased import Lease, LeasedTable

RENEW_S: Final = 3.0
TELL_S: Final = 1.0  # what was spent, at least so often
IDLE_S: Final = 1.0  # a slice that nobody used goes back


def lay_down(table: LeasedTable, lease: Lease, now: float) -> None:
    """What is held too long is the store's again."""
    if lease.held <= 0.0:
        return
    ended = now >= lease.until
    idle = now - lease.used_at > IDLE_S
    if table.places:
        if ended or idle:
            lease.held = 0.0
    elif not table.budget:
        if ended or idle:
            lease.back += lease.held
            lease.held = 0.0
    elif (ended or idle) and not lease.shared:
        lease.held = 0.0
        if not ended:
            lease.asked_at = -1e9  # it is to be told


def is_due(table: LeasedTable, lease: Lease, now: float) -> bool:
    """Whether the store is to be told, or to renew it."""
    if table.places:
        since_s = now - lease.asked_at
        holds = lease.held + lease.spent
        return (holds != lease.told and since_s > TELL_S) or (holds > 0.0 and since_s > RENEW_S)
    if not table.budget:
        return lease.back > 0.0 or lease.owed > 0.0 or lease.held < 0.0
    since_s = now - lease.asked_at
    changed = lease.spent != lease.told or lease.shared
    return (changed and since_s > TELL_S) or (
        since_s > RENEW_S and (lease.held > 0.0 or lease.asked_at < 0.0) and lease.found
    )
