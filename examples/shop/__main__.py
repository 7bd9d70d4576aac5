"""A day in the shop: `python examples/shop [--clients N]`.

Four servers, the balancer of `penstock.yaml`, and clients: they fill carts while a server is
drained, look at products of which one in ten is of the next version, search more often than they
may, and rush into a sale that can serve four at a time. At the end it is told what they noticed.
Exits with 1 where that is more than it should be.
"""

import argparse
import asyncio
import os
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import yaml
from servers import Server

from penstock.fleet.balancer import BalancerProcess, start_balancer, temporary_directory

HERE = Path(__file__).parent
_THINGS = 6  # in each cart
_PAGES_EACH = 10
_NAMES = {"SHOP_1": "one", "SHOP_2": "two", "SHOP_NEXT": "next", "SHOP_SALE": "sale"}
_PLACES = 4  # of the sale, as its pool says
_QUEUE = 40
_SEARCHES = 8
_SEARCHES_ALLOWED = 5  # at once, as the route says


async def main(clients: int) -> int:
    """Play; the exit status."""
    async with AsyncExitStack() as stack:
        servers = {key: Server(name) for key, name in _NAMES.items()}
        for key, server in servers.items():
            os.environ[key] = await server.start()
            stack.push_async_callback(server.stop)
        os.environ |= {"SHOP_LISTEN": "127.0.0.1:0", "SHOP_ADMIN": "127.0.0.1:0"}
        directory = Path(stack.enter_context(temporary_directory()))
        document = yaml.safe_load((HERE / "penstock.yaml").read_text())
        balancer = await start_balancer(directory, document | {"workers": 1})
        stack.push_async_callback(balancer.stop)
        print(f"the shop is open at {balancer.url}, with {clients} clients")
        carts = await _fill_carts(balancer, clients, servers)
        pages, asked_for = await _look_at_products(balancer, clients)
        searches = await _search(balancer)
        sold = await _rush(balancer, 2 * (_PLACES + _QUEUE))
        most_at_once = servers["SHOP_SALE"].most_at_once
        return _told(carts, pages, asked_for, searches, sold, most_at_once)


async def _fill_carts(balancer: BalancerProcess, clients: int, servers: dict[str, Server]) -> int:
    """So many clients found all that they had put in, though a server was drained on the way."""
    drained = asyncio.Event()

    async def fill(client: int) -> bool:
        jar = aiohttp.CookieJar(unsafe=True)  # for an address in place of a name
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            things = []
            for number in range(1, _THINGS + 1):
                if number > _THINGS // 2:
                    await drained.wait()
                async with session.post(f"{balancer.url}/cart/c{client}") as response:
                    response.raise_for_status()
                    things.append((await response.json())["things"])
            return things == list(range(1, _THINGS + 1))

    async with asyncio.TaskGroup() as tasks:
        filling = [tasks.create_task(fill(client)) for client in range(clients)]
        carts = servers["SHOP_1"].carts, servers["SHOP_2"].carts
        while sum(sum(each.values()) for each in carts) < clients * (_THINGS // 2):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        endpoint = os.environ["SHOP_1"].removeprefix("http://")
        await _drain(balancer, endpoint)
        print(f"{endpoint} is drained: who has a cart there goes on")
        drained.set()
    return sum(each.result() for each in filling)


async def _drain(balancer: BalancerProcess, endpoint: str) -> None:
    """As `penstock ctl drain current/ENDPOINT` does."""
    body = {"pool": "current", "endpoint": endpoint}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{balancer.admin_url}/api/v1/drain", json=body) as response,
    ):
        response.raise_for_status()


async def _look_at_products(balancer: BalancerProcess, clients: int) -> tuple[Counter[str], bool]:
    """Who showed them, and whether the next version came when it was asked for."""
    async with aiohttp.ClientSession() as session:

        async def look(headers: dict[str, str]) -> str:
            url = f"{balancer.url}/products/kettle"
            async with session.get(url, headers=headers) as response:
                response.raise_for_status()
                return str((await response.json())["server"])

        seen = Counter([await look({}) for _ in range(clients * _PAGES_EACH)])
        asked = [await look({"X-Shop-Version": "next"}) for _ in range(10)]
        return seen, asked == ["next"] * 10


async def _search(balancer: BalancerProcess) -> Counter[int]:
    """Answers by status; 0: who was over the limit was not told when to come back."""
    answers: Counter[int] = Counter()
    async with aiohttp.ClientSession() as session:
        for _ in range(_SEARCHES):
            async with session.get(f"{balancer.url}/search") as response:
                await response.read()
                told = response.status == 200 or "Retry-After" in response.headers
                answers[response.status if told else 0] += 1
    return answers


async def _rush(balancer: BalancerProcess, buyers: int) -> Counter[int]:
    """Answers by status, of as many at once as twice fit into the sale and its waiting room."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def buy() -> int:
            async with session.post(f"{balancer.url}/sale") as response:
                text = await response.text()
                if response.status == 503 and "try again" not in text:
                    return 0
                return response.status

        return Counter(await asyncio.gather(*(buy() for _ in range(buyers))))


def _told(
    carts: int,
    pages: Counter[str],
    asked_for: bool,
    searches: Counter[int],
    sold: Counter[int],
    most_at_once: int,
) -> int:
    clients = sum(pages.values()) // _PAGES_EACH
    share = pages["next"] / sum(pages.values())
    full = sold[503]
    print(
        f"{carts} of {clients} carts are whole\n"
        f"{share:.0%} of product pages are of the next version\n"
        f"{searches[200]} of {_SEARCHES} searches were answered, {searches[429]} come later\n"
        f"the sale: {sold[200]} bought, {full} were told that it is full, at most {most_at_once} "
        "at a time"
    )
    well = (
        carts == clients
        and 0.02 < share < 0.25
        and asked_for
        and _SEARCHES_ALLOWED <= searches[200] < _SEARCHES  # some flow back on a slow machine
        and searches[200] + searches[429] == _SEARCHES
        and sold[200] + full == sum(sold.values())
        and sold[200] >= _PLACES + _QUEUE
        and full > 0
        and most_at_once <= _PLACES
    )
    print("all well" if well else "that is more than clients should notice")
    return 0 if well else 1


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="examples/shop", description=__doc__)
    options.add_argument("--clients", type=int, default=100, help="how many (100)")
    given = options.parse_args()
    if given.clients < 20:
        options.error("at least 20 clients are needed")
    try:
        sys.exit(asyncio.run(main(given.clients)))
    except KeyboardInterrupt:
        sys.exit(130)
