"""Spans to a collector: OTLP over HTTP, in JSON, in batches that are bounded."""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec

from penstock import __version__
from penstock.control.background import keep
from penstock.control.events import Events
from penstock.control.otlp import Collector, CollectorError
from penstock.control.traces.spans import MOST_SPANS, Span, ToldRequest, spans_of
from penstock.core.snapshot import Snapshot, Traces

_PATH: Final = "/v1/traces"
_BATCH: Final = 512  # spans
_MOST_WAITING: Final = 8192  # spans; of each some 1 KB
_PAUSE_S: Final = 1.0  # between batches that are not full
_LAST_S: Final = 2.0  # to send what waits when the balancer ends
_FIRST_BACK_OFF_S: Final = 1.0
_MOST_BACK_OFF_S: Final = 30.0


class SpanSender:
    """``take`` never waits: spans beyond what has room are dropped and counted."""

    def __init__(self, events: Events) -> None:
        self.sent = 0  # spans
        self.dropped = 0  # spans, and requests that there was no room for
        self._events = events
        self._spec: Traces | None = None
        self._policies: dict[str, str] = {}
        self._waiting: deque[Span] = deque()
        self._collector = Collector("application/json")
        self._failing = False
        self._running: asyncio.Task[None] | None = None  # since anything was traced

    @property
    def is_on(self) -> bool:
        """Whether anything is traced."""
        return self._spec is not None

    def configure(self, snapshot: Snapshot) -> None:
        """Send where that snapshot says."""
        self._spec = snapshot.traces
        self._policies = {pool.name: pool.policy.name for pool in snapshot.pools}

    def take(self, message: Mapping[str, object]) -> None:
        """What a worker tells of requests that are traced."""
        told = msgspec.convert(message["requests"], list[ToldRequest])
        self.dropped += msgspec.convert(message["dropped"], int)
        for request in told:
            if len(self._waiting) + MOST_SPANS > _MOST_WAITING:
                self.dropped += 1
            else:
                self._waiting.extend(spans_of(request, self._policies))
        if self._running is None:
            self._running = asyncio.create_task(keep("sending spans", self.run, self._events))

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE_S)
            await self._send_all()

    async def close(self) -> None:
        """Send what waits, for a moment at most, and end."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await self._send_all()
        await self._collector.close()

    async def _send_all(self) -> None:
        while self._waiting and self._spec is not None:
            await self._send_batch()

    async def _send_batch(self) -> None:
        """The oldest that wait, as often as it takes."""
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        back_off_s = _FIRST_BACK_OFF_S
        while (spec := self._spec) is not None:
            try:
                refused = await self._send(spec, batch)
            except CollectorError as error:
                self._tell_failing(spec, error)
                if error.again and not self._is_full():
                    await asyncio.sleep(back_off_s)
                    back_off_s = min(back_off_s * 2, _MOST_BACK_OFF_S)
                    continue
                self.dropped += len(batch)
                if error.again:  # newer ones are worth more, but no hurry helps
                    await asyncio.sleep(back_off_s)
                return
            self.sent += len(batch) - refused
            self.dropped += refused
            if self._failing:
                self._failing = False
                self._events.info("traces.resumed", f"{spec.collector} takes spans again")
            return
        self.dropped += len(batch)  # traces were turned off meanwhile

    def _is_full(self) -> bool:
        return len(self._waiting) > _MOST_WAITING - _BATCH

    async def _send(self, spec: Traces, batch: list[Span]) -> int:
        """How many of the batch the collector refused. Raises CollectorError."""
        body = msgspec.json.encode(export_of(spec.service_name, batch))
        url = spec.collector.rstrip("/") + _PATH
        said = await self._collector.post(url, body, spec.headers_file)
        return min(refused_of(said), len(batch))

    def _tell_failing(self, spec: Traces, error: CollectorError) -> None:
        """Once, until it takes spans again."""
        if not self._failing:
            self._failing = True
            self._events.warning(
                "traces.failing",
                f"{spec.collector} takes no spans, which are kept while there is room: {error}",
            )


def export_of(service_name: str, spans: list[Span]) -> dict[str, object]:
    """An ExportTraceServiceRequest."""
    service = {
        "key": "service.name",
        "value": {"stringValue": service_name},
    }
    version = {"key": "service.version", "value": {"stringValue": __version__}}
    scope = {"name": "penstock", "version": __version__}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [service, version]},
                "scopeSpans": [{"scope": scope, "spans": spans}],
            }
        ]
    }


def refused_of(said: bytes) -> int:
    """How many spans an answer of 200 says were refused (``partialSuccess``)."""
    try:
        told = msgspec.json.decode(said)
        return max(int(told["partialSuccess"]["rejectedSpans"]), 0)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return 0  # none, as it is mostly said, or in Protocol Buffers
