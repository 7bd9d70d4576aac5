"""OpenAI's WebSockets of an emulated engine: events either way, one JSON text to a message.

Responses: what was answered on a WebSocket is known there, and nowhere else, as with ``store:
false``. Realtime: the conversation is the WebSocket's, and an engine that hears a turn end answers
without being asked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from itertools import count
from typing import Any, Final, Protocol

import msgspec
from aiohttp import WSMsgType, web

from penstock.fleet.engine.api.base import Asked, Writer
from penstock.fleet.engine.api.responses import ResponsesApi
from penstock.fleet.engine.generation import Generation, Listener, Sink
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import ChatRequest
from penstock.fleet.engine.text import ChatMessage

_MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_MOST_KEPT: Final = 64  # answers that one WebSocket knows


class Generating(Protocol):
    """An engine."""

    async def generate(self, asked: Asked, sink: Sink) -> Writer: ...

    def begun(self, prompt: ChatRequest, listener: Listener) -> Generation: ...

    def give_up(self, generation: Generation) -> None: ...

    def next_number(self) -> int: ...


class EventSocket:
    """One client's. What is told goes out in its order, whoever tells it."""

    def __init__(self, engine: Generating, socket: web.WebSocketResponse) -> None:
        self.engine = engine
        self._socket = socket
        self._unsent: asyncio.Queue[str] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, event: dict[str, Any]) -> None:
        self._unsent.put_nowait(msgspec.json.encode(event).decode())

    def start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def heed(self, event: dict[str, Any]) -> None:
        """The client says that."""
        raise NotImplementedError

    async def run(self) -> None:
        pump = asyncio.create_task(self._send())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._read(message.data)
        finally:
            ending = [pump, *self._tasks]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _read(self, text: str) -> None:
        try:
            event = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            self.complain(RequestRefusedError(str(error)))
            return
        await self.heed(event)

    def complain(self, refused: RequestRefusedError, **more: Any) -> None:
        error = {
            "type": refused.kind,
            "code": refused.code or None,
            "message": str(refused),
            "param": None,
        }
        self.tell({"type": "error", "status": refused.status, "error": error, **more})

    async def _send(self) -> None:
        while True:
            text = await self._unsent.get()
            with suppress(ConnectionError):
                await self._socket.send_str(text)


class _Events:
    """Takes server-sent events, and tells each as a message."""

    def __init__(self, socket: EventSocket, lane: str | None) -> None:
        self._socket = socket
        self._lane = lane

    def write(self, data: bytes) -> None:
        for event in data.split(b"\n\n"):
            _, found, text = event.partition(b"data: ")
            if found:
                told = msgspec.json.decode(text, type=dict[str, Any])
                if self._lane is not None:
                    told["stream_id"] = self._lane
                self._socket.tell(told)


class ResponsesSocket(EventSocket):
    """Of ``/v1/responses``: lanes run beside each other, each in its order."""

    def __init__(self, engine: Generating, socket: web.WebSocketResponse) -> None:
        super().__init__(engine, socket)
        self._api = ResponsesApi()
        self._known: OrderedDict[str, list[ChatMessage]] = OrderedDict()
        self._last: dict[str, asyncio.Task[None]] = {}  # by lanes

    async def heed(self, event: dict[str, Any]) -> None:
        lane = event.pop("stream_id", None)
        if event.get("type") != "response.create":
            refused = RequestRefusedError(f"there is no event {event.get('type')}")
            self.complain(refused, **({} if lane is None else {"stream_id": lane}))
            return
        before = self._last.get(lane or "")
        self._last[lane or ""] = self.start(self._answer(event, lane, before))

    async def _answer(
        self, event: dict[str, Any], lane: str | None, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await before
        try:
            asked = self._api.read_after(msgspec.json.encode(event), self._known)
            prompt = asked.prompt
            assert isinstance(prompt, ChatRequest)
            told = _Events(self, lane)
            writer = await self.engine.generate(asked, told)
        except RequestRefusedError as refused:
            self.complain(refused, **({} if lane is None else {"stream_id": lane}))
            return
        said = ChatMessage("assistant", writer.answer.text)
        self._known[f"resp_{writer.identity.number}"] = [*prompt.messages, said]
        while len(self._known) > _MOST_KEPT:
            self._known.popitem(last=False)


class RealtimeSocket(EventSocket):
    """Of ``/v1/realtime``: text alone, and sound that only counts."""

    def __init__(self, engine: Generating, socket: web.WebSocketResponse, model: str) -> None:
        super().__init__(engine, socket)
        self._numbers = count(1)
        self._messages: list[ChatMessage] = []
        self._session: dict[str, Any] = {"type": "realtime", "model": model}
        self._running: asyncio.Task[None] | None = None

    def say(self, kind: str, **fields: Any) -> None:
        self.tell({"type": kind, "event_id": f"event_{next(self._numbers)}", **fields})

    async def run(self) -> None:
        self.say("session.created", session=self._session)
        await super().run()

    async def heed(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "session.update":
            self._session |= event.get("session") or {}
            self.say("session.updated", session=self._session)
        elif kind == "conversation.item.create":
            item = event.get("item") or {}
            self._messages.append(ChatMessage(item.get("role", "user"), item.get("content")))
            self.say("conversation.item.added", item=item)
        elif kind == "input_audio_buffer.append":
            pass  # it is heard, and that is all
        elif kind == "input_audio_buffer.commit":
            self._messages.append(ChatMessage("user", "something that was spoken"))
            self.say("input_audio_buffer.committed")
            if self._session.get("turn_detection"):  # as one that hears the end of a turn
                self._begin({}, None)
        elif kind == "response.create":
            self._begin(event.get("response") or {}, event.get("event_id"))
        elif kind == "response.cancel":
            if self._running is not None:
                self._running.cancel()
        else:
            self._refuse(RequestRefusedError(f"there is no event {kind}"), event.get("event_id"))

    def _refuse(self, refused: RequestRefusedError, about: Any) -> None:
        error = {
            "type": "invalid_request_error",
            "code": refused.code or None,
            "message": str(refused),
            "param": None,
            "event_id": about,
        }
        self.say("error", error=error)

    def _begin(self, asked: dict[str, Any], about: Any) -> None:
        if self._running is not None and not self._running.done():
            told = "the conversation has an active response in progress already"
            code = "conversation_already_has_active_response"
            self._refuse(RequestRefusedError(told, code=code), about)
            return
        self._running = self.start(self._answer(asked, about))

    async def _answer(self, asked: dict[str, Any], about: Any) -> None:
        limit = asked.get("max_output_tokens")
        model = self._session["model"]
        prompt = ChatRequest(
            model=model,
            max_tokens=limit if isinstance(limit, int) else None,
            messages=list(self._messages) or [ChatMessage("user", "")],
        )
        name = f"resp_{self.engine.next_number():016x}"
        told = {"id": name, "object": "realtime.response", "output": []}
        place = {"response_id": name, "item_id": f"item_{name}", "output_index": 0}
        try:
            generation = self.engine.begun(prompt, _Tokens(self, place))
        except RequestRefusedError as refused:
            self._refuse(refused, about)
            return
        self.say("response.created", response={**told, "status": "in_progress"})
        status = "cancelled"
        try:
            await _of(generation).wait()
            status = "completed"
            self._messages.append(ChatMessage("assistant", generation.answer.decode()))
        finally:
            self.engine.give_up(generation)
            usage = {
                "total_tokens": generation.prompt_tokens + generation.generated,
                "input_tokens": generation.prompt_tokens,
                "output_tokens": generation.generated,
                "input_token_details": {"cached_tokens": generation.cached_tokens or 0},
            }
            self.say("response.done", response={**told, "status": status, "usage": usage})


class _Tokens:
    """Tells each token."""

    def __init__(self, socket: RealtimeSocket, place: dict[str, Any]) -> None:
        self._socket = socket
        self._place = place
        self._done = asyncio.get_running_loop().create_future()

    def token(self, text: bytes, last: bool) -> None:
        self._socket.say(
            "response.output_text.delta", **self._place, content_index=0, delta=text.decode()
        )
        if last and not self._done.done():
            self._done.set_result(None)

    async def wait(self) -> None:
        await self._done


def _of(generation: Generation) -> _Tokens:
    listener = generation.listener
    assert isinstance(listener, _Tokens)
    return listener


async def serve_responses(engine: Generating, request: web.Request) -> web.StreamResponse:
    """Until its client closes it."""
    socket = await _agreed(request)
    await ResponsesSocket(engine, socket).run()
    return socket


async def serve_realtime(engine: Generating, request: web.Request) -> web.StreamResponse:
    """Likewise; the model stands in the query."""
    model = request.query.get("model", "")
    socket = await _agreed(request)
    await RealtimeSocket(engine, socket, model).run()
    return socket


async def _agreed(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(
        protocols=("realtime",), max_msg_size=_MAX_MESSAGE_BYTES, compress=False
    )
    await socket.prepare(request)
    return socket
