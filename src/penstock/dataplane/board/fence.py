"""A full memory barrier: what this process wrote is seen by others before it reads on.

A processor may hold a store back while it loads what comes after it, so of two workers that each
write their own count and then read the other's, neither might see the other. Python has no barrier
by that name. Giving a lock back and taking it again is one on every machine that Penstock runs on:
a locked instruction on x86-64, a store-release followed by a load-acquire on ARMv8, which are not
reordered (Arm ARM, B2.3). The lock is this process's own and never contended: nobody waits for it.

Costs about 60 ns interpreted.
"""

from threading import Lock
from typing import Final

_LOCK: Final = Lock()
_LOCK.acquire()


def fence() -> None:
    """All stores before it are seen by others before any load after it is done."""
    _LOCK.release()
    _LOCK.acquire()
