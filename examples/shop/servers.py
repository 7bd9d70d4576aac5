"""The shop's servers: carts in memory, product pages, and a sale that can do little at a time."""

import asyncio
from collections import Counter

from aiohttp import web

SALE_S = 0.05  # one purchase


class Server:
    """One of them, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.carts: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Its URL."""
        application = web.Application()
        application.router.add_get("/health", self._health)
        application.router.add_get("/products/{name}", self._page)
        application.router.add_get("/search", self._search)
        application.router.add_post("/cart/{client}", self._cart)
        application.router.add_post("/sale", self._sale)
        self._runner = web.AppRunner(application, shutdown_timeout=0.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _page(self, request: web.Request) -> web.Response:
        return web.json_response({"server": self.name, "product": request.match_info["name"]})

    async def _search(self, _: web.Request) -> web.Response:
        return web.json_response({"server": self.name, "found": ["kettle"]})

    async def _cart(self, request: web.Request) -> web.Response:
        """One thing more in it; how many there are."""
        client = request.match_info["client"]
        self.carts[client] += 1
        return web.json_response({"server": self.name, "things": self.carts[client]})

    async def _sale(self, _: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(SALE_S)
        finally:
            self.at_once -= 1
        return web.json_response({"server": self.name, "bought": True})
