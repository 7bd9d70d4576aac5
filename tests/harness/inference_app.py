"""An ASGI application that answers as an inference server does, for uvicorn.

A chat answer repeats the words of the last message. The message ``wait`` sends one word and the
rest when POST /go comes; ``endless`` sends words until the client leaves, which GET /left counts.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_NAME = os.environ.get("SERVER_NAME", "server")
_JSON = (b"content-type", b"application/json")
_PAUSE_S = 0.001

go = asyncio.Event()
left = 0


async def app(scope: _Message, receive: _Receive, send: _Send) -> None:
    """One request."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/v1/chat/completions":
        await _chat(json.loads(await _body(receive)), receive, send)
    elif path == "/v1/models":
        model = {"id": "m", "object": "model", "created": 1, "owned_by": _NAME}
        await _answer(send, {"object": "list", "data": [model]})
    elif path == "/go":
        go.set()
        await _answer(send, {})
    elif path == "/left":
        await _answer(send, {"left": left})
    else:
        await _answer(send, await _seen(scope, receive))


async def _chat(request: dict[str, Any], receive: _Receive, send: _Send) -> None:
    text = request["messages"][-1]["content"]
    if not request.get("stream"):
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        await _answer(send, {**_completion("chat.completion"), "choices": [choice], "usage": usage})
        return
    headers = [(b"content-type", b"text/event-stream"), (b"x-server", _NAME.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    leaving = asyncio.ensure_future(receive())
    async for word in _words(text, leaving):
        await _send_part(send, word)
    leaving.cancel()
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _words(text: str, leaving: "asyncio.Future[_Message]") -> AsyncIterator[str]:
    global left
    if text == "endless":
        while not leaving.done():
            yield "word "
            await asyncio.sleep(_PAUSE_S)
        left += 1
        return
    if text == "wait":
        yield "first "
        await go.wait()
        go.clear()
        yield "last"
        return
    for word in text.split():
        yield f"{word} "


async def _send_part(send: _Send, word: str) -> None:
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    part = {**_completion("chat.completion.chunk"), "choices": [choice]}
    data = f"data: {json.dumps(part)}\n\n".encode()
    await send({"type": "http.response.body", "body": data, "more_body": True})


def _completion(kind: str) -> dict[str, Any]:
    return {"id": "c-1", "object": kind, "created": 1, "model": "m"}


async def _seen(scope: _Message, receive: _Receive) -> dict[str, Any]:
    """What came, for clients to compare."""
    body = await _body(receive)
    return {
        "server": _NAME,
        "method": scope["method"],
        "path": scope["path"],
        "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


async def _body(receive: _Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _answer(send: _Send, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-server", _NAME.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
