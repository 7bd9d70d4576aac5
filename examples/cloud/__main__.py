"""A fleet that scales itself: `python examples/cloud [--seconds S]`.

At first there is no server at all. A first request waits for one; then come a calm third, a flood
and a calm third again, and a quiet end, after which no server is left. The flood is one tenant's
batch, beside which the pages of another go on. Each second it is told what is asked and how many
servers there are. Exits with 1 where a request failed, or the fleet neither
grew nor shrank.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from penstock.fleet.balancer import BalancerProcess, start_balancer, temporary_directory

HERE = Path(__file__).parent
_CALM, _FLOOD = 5.0, 60.0  # requests per second
_PAGES, _BATCH = "pages", "batch"  # tenants, whose keys are the example's own
_QUIET_S = 60.0  # at most, until nothing is left


async def main(seconds: float) -> int:
    """Play; the exit status."""
    os.environ |= {
        "CLOUD_LISTEN": "127.0.0.1:0",
        "CLOUD_ADMIN": "127.0.0.1:0",
        "CLOUD_PYTHON": sys.executable,
        "CLOUD_SERVER": str(HERE / "server.py"),
    }
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(temporary_directory()))
        document = yaml.safe_load((HERE / "penstock.yaml").read_text())
        balancer = await start_balancer(directory, document | {"workers": 1})
        stack.push_async_callback(balancer.stop)
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        print(f"the cloud is at {balancer.url}, and has no server yet")
        return await Story(balancer, session).play(seconds)


class Story:
    """What is asked, and what becomes of it."""

    def __init__(self, balancer: BalancerProcess, session: aiohttp.ClientSession) -> None:
        self.rate = 0.0
        self.answers: Counter[int] = Counter()
        self.most = 0  # servers
        self.took_s: dict[str, list[float]] = defaultdict(list)  # by tenant
        self._balancer = balancer
        self._session = session

    async def play(self, seconds: float) -> int:
        """All of it; the exit status."""
        await self._ask(_PAGES)
        print("the first request waited for the first server, and was answered")
        watching = asyncio.create_task(self._watch())
        async with asyncio.TaskGroup() as requests:
            for rate in (_CALM, _FLOOD, _CALM):
                self.rate = rate
                for number in range(max(int(rate * seconds / 3), 1)):
                    batch = rate == _FLOOD and number % int(_FLOOD / _CALM) != 0
                    requests.create_task(self._ask(_BATCH if batch else _PAGES))
                    await asyncio.sleep(1 / rate)
        self.rate = 0.0
        left = await self._until_none_is_left()
        watching.cancel()
        return self._told(left)

    async def _ask(self, tenant: str) -> None:
        began = time.monotonic()
        key = f"{tenant}-key-of-the-example-make-your-own"
        shown = {"Authorization": f"Bearer {key}"}
        try:
            async with self._session.get(self._balancer.url, headers=shown) as response:
                await response.read()
                self.answers[response.status] += 1
                self.took_s[tenant].append(time.monotonic() - began)
        except aiohttp.ClientError:
            self.answers[0] += 1

    async def _watch(self) -> None:
        while True:
            pool = await self._pool()
            serving = sum(each["state"] == "up" for each in pool["endpoints"])
            self.most = max(self.most, serving)
            scale = pool["scale"]
            print(
                f"{self.rate:4.0f} requests/s  servers {'#' * serving:<8} "
                f"wanted {scale['desired']}: {scale['reason']}"
            )
            await asyncio.sleep(1.0)

    async def _until_none_is_left(self) -> int:
        """How many are left nevertheless."""
        for _ in range(int(_QUIET_S)):
            left = len((await self._pool())["endpoints"])
            if left == 0:
                break
            await asyncio.sleep(1.0)
        return left

    async def _pool(self) -> dict[str, Any]:
        (pool,) = (await self._balancer.status(self._session))["pools"]
        return dict(pool)

    def _told(self, left: int) -> int:
        failed = sum(self.answers.values()) - self.answers[200]
        print(
            f"{self.answers[200]} requests answered, {failed} failed; at most {self.most} servers, "
            f"and {left} at the end"
        )
        for tenant, took_s in self.took_s.items():
            slowest = sorted(took_s)[int(0.95 * (len(took_s) - 1))]
            print(f"{tenant}: {len(took_s)} answers, 95% of them within {slowest:.1f} s")
        well = failed == 0 and self.most > 1 and left == 0
        print("all well" if well else "that is not how it should be")
        return 0 if well else 1


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="examples/cloud", description=__doc__)
    options.add_argument("--seconds", type=float, default=30.0, help="how long it takes (30)")
    given = options.parse_args()
    if given.seconds < 6.0:
        options.error("at least six seconds are needed")
    try:
        sys.exit(asyncio.run(main(given.seconds)))
    except KeyboardInterrupt:
        sys.exit(130)
