"""Readmits endpoints, ejected because no connection could be made, as soon as one can.

Ejection by time alone would keep out a whole fleet that was restarted at once.
"""

import asyncio
from typing import Final

from penstock.control.endpoints.health_checker import HealthChecker
from penstock.control.endpoints.outliers import OutlierDetection
from penstock.core.health.outlier_watch import RECONNECT_S
from penstock.core.snapshot import Endpoint, Pool

_TIMEOUT_S: Final = 1.0
_AT_ONCE: Final = 64  # connections; a bound on descriptors


class Reconnecting:
    """Tries each of them once a second."""

    def __init__(self, outliers: OutlierDetection, checker: HealthChecker) -> None:
        self._outliers = outliers
        self._checker = checker
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(RECONNECT_S)
            await self.try_all()

    async def try_all(self) -> None:
        """Try all of them once."""
        await asyncio.gather(*[self._try(*each) for each in self._outliers.unreachable()])

    async def _try(self, pool: Pool, endpoint: Endpoint) -> None:
        async with self._room:
            if pool.protocol == "udp":
                takes = self._checker.takes_datagrams
                reached = await takes(endpoint, _TIMEOUT_S, pool.proxy_protocol)
            else:
                connects = self._checker.connects
                reached = await connects(endpoint, pool.tls, _TIMEOUT_S, pool.proxy_protocol)
            if reached:
                self._outliers.reached(pool.name, endpoint.name)
