"""Endpoints that are out because no connection to them could be made: let in as soon as one can.

An ejection by time alone would keep a whole fleet out that was restarted at once.
"""

import asyncio
from typing import Final

from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.endpoints.probes import Prober
from penstock.core.health.outlier_watch import RECONNECT_S
from penstock.core.snapshot import Endpoint, Pool

_TIMEOUT_S: Final = 1.0
_AT_ONCE: Final = 64  # connections; a bound on descriptors


class Reconnecting:
    """Tries each of them once a second."""

    def __init__(self, outliers: OutlierDetection, prober: Prober) -> None:
        self._outliers = outliers
        self._prober = prober
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(RECONNECT_S)
            await self.look()

    async def look(self) -> None:
        """Try all of them once."""
        await asyncio.gather(*[self._try(*each) for each in self._outliers.unreachable()])

    async def _try(self, pool: Pool, endpoint: Endpoint) -> None:
        async with self._room:
            if await self._prober.connects(endpoint, pool.tls, _TIMEOUT_S):
                self._outliers.reached(pool.name, endpoint.name)
