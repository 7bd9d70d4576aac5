"""KV caches handed over between emulated engines, as vLLM and SGLang do.

With vLLM's NixlConnector the engine that computed a prompt keeps its blocks for another one, which
pulls them in its own time; what nobody pulls is freed when its lease ends. Of SGLang's both are
asked at once, and meet in a room of the computing one, where the other waits for it; so are those
of Mooncake, where the computing one does not wait (its bootstrap server is the engine itself).
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from penstock.fleet.engine.generation import Generation
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.spec import EngineSpec

PULL_PATH = "/emulated/kv_blocks"
_S_PER_TOKEN = 131072 / 25e9  # an 8B model's KV cache of a token, over 200 Gbit/s
_PATIENCE_S = 5.0


class KvTransfers:
    """Of one engine."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._numbers = count(1)
        self._kept: dict[str, tuple[list[int], float]] = {}  # blocks, and until when
        self._rooms: dict[str, asyncio.Future[list[int]]] = {}
        self.pulled = 0  # caches that came from other engines

    def forget(self) -> None:
        """The engine starts cold."""
        self._kept.clear()

    def kept(self) -> int:
        """For how many prompts blocks are kept that nobody has pulled."""
        now = asyncio.get_running_loop().time()
        self._kept = {name: each for name, each in self._kept.items() if each[1] > now}
        return len(self._kept)

    def hand_out(self, generation: Generation, host: str, port: int) -> dict[str, Any]:
        """Keep the prompt's blocks; what the other engine is to be told."""
        whole = generation.prompt_tokens // self._spec.block_tokens
        name = f"{self._spec.name}-{next(self._numbers)}"
        until = asyncio.get_running_loop().time() + self._spec.kv_lease_s
        self._kept[name] = (list(generation.blocks[:whole]), until)
        return {
            "do_remote_prefill": True,
            "do_remote_decode": False,
            "remote_block_ids": list(range(whole)),
            "remote_engine_id": self._spec.name,
            "remote_request_id": name,
            "remote_host": host,
            "remote_port": port,
        }

    def rooms(self) -> int:
        """In how many rooms one of two waits."""
        return len(self._rooms)

    async def meet(self, room: int, generation: Generation) -> None:
        """The prompt is computed: whoever is in the room, or comes, gets it. Raises
        RequestRefusedError where nobody does."""
        whole = generation.prompt_tokens // self._spec.block_tokens
        waited = self._room(str(room))
        if waited.done():
            raise RequestRefusedError(f"the room {room} is taken", 500, "InternalServerError")
        waited.set_result(list(generation.blocks[:whole]))
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while str(room) in self._rooms:  # noqa: ASYNC110 - the other one tells nobody
                    await asyncio.sleep(0.001)
        except TimeoutError as error:
            message = f"nobody came to the room {room}"
            raise RequestRefusedError(message, 500, "InternalServerError") from error
        finally:
            self._rooms.pop(str(room), None)

    def keep(self, transfer: str, generation: Generation) -> None:
        """The prompt is computed, for whoever comes for that transfer within the lease (Mooncake).
        Raises RequestRefusedError where somebody did already."""
        whole = generation.prompt_tokens // self._spec.block_tokens
        waited = self._room(transfer)
        if waited.done():
            raise RequestRefusedError(f"{transfer} is known already", 500, "InternalServerError")
        waited.set_result(list(generation.blocks[:whole]))
        loop = asyncio.get_running_loop()
        loop.call_later(self._spec.kv_lease_s, self._rooms.pop, transfer, None)

    def leave(self, room: int) -> None:
        """Its request is given up: who waits there waits in vain."""
        waited = self._rooms.pop(str(room), None)
        if waited is not None and not waited.done():
            waited.cancel()

    def _room(self, room: str) -> asyncio.Future[list[int]]:
        loop = asyncio.get_running_loop()
        return self._rooms.setdefault(room, loop.create_future())

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Another engine pulls: it gets them once."""
        room = request.query.get("room", "")
        if request.query.get("engine", self._spec.name) != self._spec.name:
            return web.json_response({"error": "another engine is known here"}, status=404)
        if room:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    blocks = await asyncio.shield(self._room(room))
            except (TimeoutError, asyncio.CancelledError):
                return web.json_response({"error": "nobody computes for this room"}, status=404)
            finally:
                self._rooms.pop(room, None)
            return web.json_response({"blocks": blocks})
        self.kept()
        found = self._kept.pop(request.query.get("name", ""), None)
        if found is None:
            return web.json_response({"error": "no such blocks: the lease is over"}, status=404)
        return web.json_response({"blocks": found[0]})

    async def pull(self, told: dict[str, Any]) -> list[int]:
        """The blocks that another engine keeps. Raises RequestRefusedError where they are gone, as
        vLLM does with `kv_load_failure_policy: fail`. Of Mooncake's they may still be computed."""
        if "transfer_id" in told:
            address = urlsplit(str(told.get("remote_bootstrap_addr")))
            engine = str(told.get("remote_engine_id"))
            which = {"room": str(told["transfer_id"]), "engine": engine}
            return await self._pull(address.hostname, address.port, which)
        name = {"name": str(told.get("remote_request_id"))}
        return await self._pull(told.get("remote_host"), told.get("remote_port"), name)

    async def pull_from_room(self, host: str, port: int, room: int) -> list[int]:
        """The same from the room where another engine computes."""
        return await self._pull(host, port, {"room": str(room)})

    async def _pull(self, host: object, port: object, which: dict[str, str]) -> list[int]:
        url = f"http://{host}:{port}{PULL_PATH}"
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, params=which) as answer,
            ):
                answer.raise_for_status()
                blocks: list[int] = (await answer.json())["blocks"]
        except (aiohttp.ClientError, TimeoutError) as error:
            message = f"KV cache could not be loaded: {error}"
            raise RequestRefusedError(message, 500, "InternalServerError") from error
        tokens = len(blocks) * self._spec.block_tokens
        await asyncio.sleep(tokens * _S_PER_TOKEN / self._spec.speedup)
        self.pulled += 1
        return blocks
