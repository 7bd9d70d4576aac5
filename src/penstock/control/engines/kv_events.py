"""Follows engines' KV events over ZeroMQ, with replay after a gap, and tells workers what is held.

How much that is goes to the reports on the board, which prefixes to ``exact_index.py``.

PUB sends ``[topic, number, batch]``, numbers as 8 bytes big-endian; ROUTER replays: asked with
``["", first]`` it answers ``["", number, batch]`` for what it still has and ends with number −1.
pyzmq is needed only where a pool asks for this.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock._reasons import reason_of
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoint_key import EndpointKey
from penstock.control.endpoints.connecting import Connector
from penstock.control.engines.client import (
    EngineClient,
    EngineTarget,
    NotNowError,
    UnreachableError,
)
from penstock.control.engines.exact_index import ExactIndex, TrackedCache
from penstock.control.engines.kv_sources import found
from penstock.control.engines.reports import ReportCells
from penstock.control.events import Events
from penstock.control.target_tasks import TargetTasks
from penstock.core.prefixes.kv_chains import seed_of
from penstock.core.prefixes.kv_sequence import KvSequence
from penstock.core.snapshot import Endpoint, KvEvents, Snapshot
from penstock.core.snapshot.address import shown_address
from penstock.dataplane.board.memory import Board
from penstock.wire.engines.reading import UnreadableError
from penstock.wire.kv_events import CLEARED, STORED, decode_batch

if TYPE_CHECKING:
    import zmq.asyncio

_END: Final = (-1).to_bytes(8, "big", signed=True)
_REPLAY_S: Final = 2.0  # between two answers of a replay
_AFTER_A_PROBLEM_S: Final = 1.0
_UNREADABLE_S: Final = 10.0  # between two looks at what an engine tells and cannot be followed
_MOST_PENDING: Final = 100_000  # batches that wait to be read; more are lost, and found missing
_MOST_BATCH_BYTES: Final = 64 * 1024 * 1024


_Followed = tuple[EngineTarget, KvEvents]


class KvEventReaders:
    """The readers of all endpoints whose pools configure it."""

    def __init__(
        self, board: Board, events: Events, exact: ExactIndex, contexts: EndpointContexts
    ) -> None:
        self._exact = exact
        self._client = EngineClient(contexts)
        self._connector = Connector()
        self._cells = ReportCells(board)
        self._events = events
        self._readers: TargetTasks[_Followed, _Followed] = TargetTasks(
            "following KV events of",
            lambda followed, _: followed,
            self._keep_reading,
            events,
            _AFTER_A_PROBLEM_S,
        )
        self._context: zmq.asyncio.Context | None = None

    def configure(self, snapshot: Snapshot) -> None:
        """Read the KV events of the running snapshot. Unchanged readers go on undisturbed."""
        self._readers.configure(
            {
                (pool.name, endpoint.name): (
                    EngineTarget(pool.name, endpoint, pool.engine, pool.tls),
                    kv_events,
                )
                for pool in snapshot.pools
                if pool.engine is not None
                for endpoint in pool.endpoints
                if (kv_events := endpoint.kv_events or pool.engine.kv_events) is not None
            }
        )

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        await self._readers.stop()
        await self._client.close()
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None

    async def _keep_reading(self, followed: _Followed) -> None:
        target, wanted = followed
        key = (target.pool, target.endpoint.name)
        said = ""
        while True:
            wait_s = _AFTER_A_PROBLEM_S
            try:
                source = await found(self._client, target, wanted)
                endpoint = await self._reachable(target.endpoint, source.port)
                said = ""
                await self._read(key, target, endpoint, source)
            except (UnreachableError, NotNowError):
                pass  # a server that is down is the business of health checks
            except UnreadableError as error:
                wait_s = _UNREADABLE_S
                if str(error) != said:
                    said = str(error)
                    text = f"endpoint {key[0]}/{key[1]}: its KV events are not followed: {said}"
                    self._events.warning("engine.kv_events", text, pool=key[0], endpoint=key[1])
            except ValueError as error:
                text = f"endpoint {key[0]}/{key[1]}: {error}; reconnecting"
                self._events.warning("engine.kv_events", text, pool=key[0], endpoint=key[1])
            await asyncio.sleep(wait_s)

    async def _read(
        self, key: EndpointKey, target: EngineTarget, endpoint: Endpoint, source: KvEvents
    ) -> None:
        """Runs until cancelled. Raises ValueError for a message that is not an event."""
        cache = self._exact.track(key, target.endpoint.row, target.engine.silent_after_s)
        reader: _Reader | None = None
        cancelled = False
        try:
            reader = _Reader(
                self._opened(), key, endpoint, source, self._cells, self._events, cache
            )
            await reader.read()
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            if reader is not None:
                reader.close()
            self._exact.untrack(cache, logged=not cancelled)

    async def _reachable(self, endpoint: Endpoint, port: int) -> Endpoint:
        """The endpoint with the address that answers: ZeroMQ tries a single one, and never says.

        Raises UnreadableError where the engine is there and its publisher is not.
        """
        try:
            sock = await self._connector.connect(endpoint, port)
        except OSError as error:
            reason = reason_of(error)
        else:
            with sock:
                address = str(sock.getpeername()[0])
            return msgspec.structs.replace(endpoint, addresses=(address,))
        try:
            (await self._connector.connect(endpoint, endpoint.port)).close()
        except OSError as error:
            raise UnreachableError(reason_of(error)) from error
        raise UnreadableError(
            f"nobody publishes at {shown_address(endpoint.host, port)} ({reason}). vLLM listens "
            "only where the `endpoint` of its --kv-events-config has a `*`, as in tcp://*:5557"
        )

    def _opened(self) -> zmq.asyncio.Context:
        if self._context is None:
            import zmq.asyncio

            self._context = zmq.asyncio.Context()
        return self._context


class _Reader:
    """One subscription."""

    def __init__(
        self,
        context: zmq.asyncio.Context,
        key: EndpointKey,
        endpoint: Endpoint,
        wanted: KvEvents,
        cells: ReportCells,
        events: Events,
        cache: TrackedCache,
    ) -> None:
        import zmq

        self._cache = cache

        self._key = key
        self._row = endpoint.row
        self._cells = cells
        self._events = events
        self._sequence = KvSequence()
        self._clears = 0  # told so far
        self._said: bool | None = None  # whether its events are whole
        self._context = context
        self._replay_at = ""
        if wanted.replay_port:
            self._replay_at = f"tcp://{shown_address(endpoint.connect_host, wanted.replay_port)}"
        self._dealer_kind = zmq.DEALER
        self._socket: Any = context.socket(zmq.SUB)
        self._socket.set_hwm(_MOST_PENDING)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MOST_BATCH_BYTES)
        if ":" in endpoint.connect_host:
            self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.subscribe(wanted.topic.encode())
        self._socket.connect(f"tcp://{shown_address(endpoint.connect_host, wanted.port)}")

    async def read(self) -> None:
        """Runs until cancelled. Raises ValueError for a message that is not an event."""
        while True:
            frames = await self._socket.recv_multipart()
            if len(frames) != 3 or len(frames[1]) != 8:
                raise ValueError("a message of KV events has not three frames")
            number = int.from_bytes(frames[1], "big")
            if number < self._sequence.next:  # numbers on one subscription only rise
                self._sequence.restarted()
                self._cache.chains.cleared()
            if self._sequence.gap(number):
                await self._replay(number)
            self._apply(number, frames[2])
            if self._sequence.whole != self._said:
                self._said = self._sequence.whole
                self._say(self._said)

    def close(self) -> None:
        """Close it; its contents are unknown from now on."""
        self._socket.close(linger=0)
        self._cells.cached(self._row, -1)

    def _apply(self, number: int, payload: bytes) -> None:
        sequence = self._sequence
        chains = self._cache.chains
        if not sequence.begin(number):
            return
        for event in decode_batch(payload):
            if event.kind == STORED:
                chains.stored(
                    event.blocks,
                    event.parent,
                    event.tokens,
                    event.block_tokens,
                    seed_of(event.adapter),
                    event.extras,
                    monotonic(),
                )
            elif event.kind == CLEARED:
                sequence.cleared()
                chains.cleared()
            else:
                for block in event.blocks:
                    chains.removed(block)
        self._cache.heard(sequence.whole)
        self._cells.cached(self._row, chains.tokens if sequence.whole else -1)
        if sequence.clears > self._clears:
            self._clears = sequence.clears
            self._cells.cold(self._row)
            self._cache.colds += 1

    def _say(self, exact: bool) -> None:
        pool, name = self._key
        if exact:
            text = f"endpoint {pool}/{name}: its cache is known exactly, by its KV events"
            self._events.info("engine.kv_events", text, pool=pool, endpoint=name)
        else:
            text = (
                f"endpoint {pool}/{name}: KV events were missed and could not be replayed; "
                "what its cache holds is not known until it is emptied"
            )
            self._events.warning("engine.kv_events", text, pool=pool, endpoint=name)

    async def _replay(self, before: int) -> None:
        """Apply missed batches, as far as the engine still has them."""
        if not self._replay_at:
            return
        dealer: Any = self._context.socket(self._dealer_kind)
        try:
            dealer.connect(self._replay_at)
            await dealer.send_multipart([b"", self._sequence.next.to_bytes(8, "big")])
            while True:
                async with asyncio.timeout(_REPLAY_S):
                    frames = await dealer.recv_multipart()
                if len(frames) < 2 or frames[-2] == _END or frames[-1] == _END:
                    return
                number = int.from_bytes(frames[-2], "big")
                if number < before:
                    self._apply(number, frames[-1])
        except TimeoutError:
            return  # the gap stays, and is said
        finally:
            dealer.close(linger=0)
