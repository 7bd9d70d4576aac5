"""What Penstock tells of real engines."""

import asyncio
from typing import Any

import aiohttp

from penstock.fleet.balancer import BalancerProcess


async def endpoints_of(balancer: BalancerProcess) -> list[dict[str, Any]]:
    """Those of its only pool."""
    async with aiohttp.ClientSession() as session:
        [pool] = (await balancer.status(session))["pools"]
    endpoints: list[dict[str, Any]] = pool["endpoints"]
    return endpoints


async def until_read(balancer: BalancerProcess, count: int) -> None:
    """Return when so many engines are up, recognised and read."""
    while True:
        told = await endpoints_of(balancer)
        if sum(each["available"] and kind_of(each) != "unknown" for each in told) == count:
            return
        await asyncio.sleep(0.05)


def kind_of(endpoint: dict[str, Any]) -> str:
    """Of the engine, as the status tells it."""
    return str((endpoint["engine"] or {"kind": "unknown"})["kind"])
