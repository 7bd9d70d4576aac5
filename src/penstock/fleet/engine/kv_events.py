"""Cache events over ZeroMQ as vLLM publishes them, and their replay.

Published on PUB: ``[topic, sequence, payload]``, the sequence as 8 bytes big-endian, the payload
in MessagePack ``[time, events, rank]``. Replayed on ROUTER: asked with ``["", start]``, answered
with ``["", sequence, payload]`` for each batch from there on and ``["", −1, ""]`` at the end.
Events are arrays in older engines and maps in newer ones.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.fleet.engine.generation import Generation
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.engine.text import token_ids
from penstock.sim.kv_cache import BlockRemoved, BlockStored, CacheCleared, CacheEvent

if TYPE_CHECKING:
    import zmq.asyncio

_REPLAYED_BATCHES = 10_000  # vLLM's buffer_steps
_END = (-1).to_bytes(8, "big", signed=True)
_TOPIC = b""  # the default of vLLM, whose router passes over batches of any other
_MEDIUM = "GPU"


class KvEventPublisher:
    """Publishes one engine's cache events. Needs pyzmq: raises ValueError without it."""

    def __init__(self, spec: EngineSpec) -> None:
        try:
            import zmq.asyncio
        except ImportError:
            raise ValueError(
                "publishing KV events needs pyzmq: `pip install 'penstock-lb[kv-events]'`"
            ) from None
        self._zmq = zmq
        self._spec = spec
        self._as_map = spec.kv_events == "map"
        self._encode = msgspec.msgpack.Encoder().encode
        self._context: zmq.asyncio.Context | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._batches: deque[tuple[int, bytes]] = deque(maxlen=_REPLAYED_BATCHES)
        self._next = 0
        self.address = self.replay_address = ""

    def start(self) -> None:
        """Bind both sockets. Raises OSError where a port is taken."""
        context = self._context = self._zmq.asyncio.Context()
        port = self._spec.kv_events_port
        # A plain socket: a PUB never blocks, so that publishing needs no task.
        self._publishing = self._zmq.Context(context).socket(self._zmq.PUB)
        self._router = context.socket(self._zmq.ROUTER)
        self.address = self._bind(self._publishing, port)
        self.replay_address = self._bind(self._router, port + 1 if port else 0)
        self._replaying = asyncio.create_task(self._replay())

    def stop(self) -> None:
        """Close both sockets."""
        if self._context is None:
            return
        if self._replaying is not None:
            self._replaying.cancel()
        self._publishing.close(linger=0)
        self._router.close(linger=0)
        self._context.term()
        self._context = None

    def restart(self) -> None:
        """What a restarted engine knows of the past: nothing. Sequences begin again."""
        self._batches.clear()
        self._next = 0

    def publish(self, events: Seq[CacheEvent]) -> None:
        """One batch; none when there are no events."""
        if not events or self._context is None:
            return
        payload = self._encode([time.time(), [self._wire(event) for event in _joined(events)], 0])
        number, self._next = self._next, self._next + 1
        self._batches.append((number, payload))
        self._publishing.send_multipart([_TOPIC, number.to_bytes(8, "big"), payload])

    def _bind(self, socket: Any, port: int) -> str:
        try:
            socket.bind(f"tcp://{self._spec.host}:{port or '*'}")
        except self._zmq.ZMQError as error:
            where = f"{self._spec.name} cannot publish KV events on {self._spec.host}:{port}"
            raise OSError(error.errno, f"{where}: {error.strerror}") from error
        address: bytes = socket.getsockopt(self._zmq.LAST_ENDPOINT)
        return address.rstrip(b"\0").decode()

    async def _replay(self) -> None:
        while True:
            client, _, start = await self._router.recv_multipart()
            first = int.from_bytes(start, "big")
            for number, payload in list(self._batches):
                if number >= first:
                    frame = number.to_bytes(8, "big")
                    await self._router.send_multipart([client, b"", frame, payload])
            await self._router.send_multipart([client, b"", _END, b""])

    def _wire(self, run: _Run) -> list[Any] | dict[str, Any]:
        """As vLLM spells it, in the form chosen."""
        fields: dict[str, Any]
        if run.kind == "AllBlocksCleared":
            fields = {}
        elif run.kind == "BlockRemoved":
            fields = {"block_hashes": run.blocks, "medium": _MEDIUM}
        else:
            fields = {
                "block_hashes": run.blocks,
                "parent_block_hash": run.parent,
                "token_ids": run.tokens,
                "block_size": self._spec.block_tokens,
                "lora_id": run.adapter_id(self._spec),
                "medium": _MEDIUM,
                "lora_name": run.adapter or None,
            }
        return {"type": run.kind, **fields} if self._as_map else [run.kind, *fields.values()]


class _Run:
    """Consecutive events of the same kind, which travel as one."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.blocks: list[int] = []
        self.parent: int | None = None
        self.tokens: list[int] = []
        self.adapter = ""

    def adapter_id(self, spec: EngineSpec) -> int | None:
        return spec.adapters.index(self.adapter) + 1 if self.adapter else None


def _joined(events: Seq[CacheEvent]) -> list[_Run]:
    """Events in order, blocks that follow each other in one."""
    runs: list[_Run] = []
    for event in events:
        last = runs[-1] if runs else None
        if isinstance(event, CacheCleared):
            runs.append(_Run("AllBlocksCleared"))
        elif isinstance(event, BlockRemoved):
            if last is None or last.kind != "BlockRemoved":
                last = _Run("BlockRemoved")
                runs.append(last)
            last.blocks.append(event.block)
        else:
            _add_stored(event, last, runs)
    return runs


def _add_stored(event: BlockStored, last: _Run | None, runs: list[_Run]) -> None:
    generation = event.sequence
    assert isinstance(generation, Generation)
    continues = last is not None and last.kind == "BlockStored" and last.blocks[-1] == event.parent
    if last is None or not continues:
        last = _Run("BlockStored")
        last.parent, last.adapter = event.parent, generation.adapter
        runs.append(last)
    last.blocks.append(event.block)
    last.tokens += token_ids(generation.tokens_of_block(event.position))
