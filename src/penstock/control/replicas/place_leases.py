"""Places (`concurrent` limits) as a store knows them: how many each balancer holds, and until when.

A balancer's places are the store's again when its lease ends, so those of one that died are free
then. What it holds it tells as a whole each time: an answer that got lost does no harm.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from penstock.control.store.limit_scripts import BUDGET

_KEPT_LEASES: Final = 2  # a key nobody leases of goes after so many times the lease


async def lease_places(
    ask: Callable[..., Awaitable[Sequence[str]]],
    me: str,
    known: str,
    amount: float,
    *,
    holds: float,
    need: float,
    least: float,
    ahead: bool,
    balancers: int,
    lease_s: float,
    seq: int,
) -> Sequence[str]:
    """Tell how many are held, and take more: its id, how many, how many are left, and how many
    others hold. ``ask`` runs a script on the limit's key. Raises StoreError.

    They are slices of a budget of which nothing is ever spent.
    """
    lease_ms = round(lease_s * 1000.0)
    return await ask(
        BUDGET,
        *(me, known, secrets.token_hex(4), repr(amount), "0.0", repr(holds)),
        *(repr(need), repr(least), int(ahead), balancers, repr(amount), 1),
        *(lease_ms, _KEPT_LEASES * lease_ms, seq),
    )
