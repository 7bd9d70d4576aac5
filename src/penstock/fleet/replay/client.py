"""One streamed request to an OpenAI-compatible server, timed as its user sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import msgspec

from penstock._reasons import reason_of

Api = Literal["chat", "completions"]
# Answers that began and did not end as they should.
CUT = "cut off in the middle"
UNFINISHED = "cut off before [DONE]"
EMPTY = "an empty answer"
_ERROR_BYTES = 64 * 1024  # of the body of an error
_LONGEST_DETAIL = 300  # characters


@dataclass(slots=True)
class Outcome:
    """What became of a request. Times are seconds of the loop's clock.

    ``due`` is when it should have been sent: every duration counts from there, so that a late
    sender does not hide a slow server (coordinated omission).
    """

    due: float
    sent: float = 0.0
    first_token: float = 0.0
    ended: float = 0.0
    failure: str = ""  # empty: answered in full
    detail: str = ""  # what the server, or the system, said of it
    answer: list[str] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)  # between consecutive pieces of the answer
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    @property
    def ttft_s(self) -> float:
        return self.first_token - self.due

    @property
    def e2e_s(self) -> float:
        return self.ended - self.due

    @property
    def lag_s(self) -> float:
        """How late the request was sent."""
        return self.sent - self.due

    @property
    def tpot_s(self) -> float:
        """Mean time of an output token after the first; 0 where there was one only."""
        further = self.output_tokens - 1
        return (self.ended - self.first_token) / further if further > 0 else 0.0


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None


class _CachedDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _CachedDetails | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The body of an error, as far as it may matter."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) >= _ERROR_BYTES:
            response.close()
            break
    return body


def said_in(body: bytes) -> str:
    """What the body of an error says to people, on one line: its message, or all of it."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = None
    for key in ("error", "message", "detail"):  # OpenAI and Anthropic; Ollama; FastAPI
        if isinstance(told, dict) and key in told:
            told = told[key]
    return one_line(told if isinstance(told, str) else body.decode("utf-8", "replace"))


def one_line(text: str) -> str:
    """A text as it may stand in a report."""
    text = " ".join(text.split())
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"


class StreamClient:
    """Sends requests to one server over as many connections as they need."""

    def __init__(
        self,
        url: str,
        model: str,
        api: Api,
        *,
        headers: dict[str, str],
        timeout_s: float,
        keep_answers: bool,
    ) -> None:
        self._url = api_base(url) + ("/chat/completions" if api == "chat" else "/completions")
        self._model = model
        self._api = api
        self._headers = headers
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._keep_answers = keep_answers
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> StreamClient:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=0),
            read_bufsize=1024 * 1024,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._session is not None:
            await self._session.close()

    def body(self, messages: Sequence[dict[str, str]], output_tokens: int) -> bytes:
        """A request for an answer of ``output_tokens``."""
        fields: dict[str, Any] = {
            "model": self._model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": output_tokens,
            # vLLM's and SGLang's: the answer gets exactly the length asked for.
            "ignore_eos": True,
        }
        if self._api == "chat":
            fields["messages"] = messages
        else:
            fields["prompt"] = "".join(message["content"] for message in messages)
        return msgspec.json.encode(fields)

    async def send(self, body: bytes, due: float) -> Outcome:
        """Send and read the whole answer; a failure is in the outcome, not raised."""
        assert self._session is not None
        loop = asyncio.get_running_loop()
        outcome = Outcome(due, sent=loop.time())
        try:
            async with self._session.post(
                self._url, data=body, headers={"content-type": "application/json"}
            ) as response:
                if response.status == 200:
                    await self._read(response, outcome)
                else:
                    outcome.failure = f"status {response.status}"
                    outcome.detail = said_in(await _beginning(response))
        except TimeoutError:
            outcome.failure = outcome.failure or "timeout"
        except aiohttp.ClientError as error:
            if not outcome.failure:
                outcome.failure, outcome.detail = _failure_of(error)
        outcome.ended = loop.time()
        return outcome

    async def _read(self, response: aiohttp.ClientResponse, outcome: Outcome) -> None:
        loop = asyncio.get_running_loop()
        pending = b""
        latest = 0.0
        done = False
        pieces = 0
        async for data in response.content.iter_any():
            now = loop.time()
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                if not line.startswith(b"data:"):
                    continue  # another field, a comment, or the end of an event
                payload = line[5:].strip()
                if payload == b"[DONE]":
                    done = True
                    continue
                try:
                    chunk = _decode_chunk(payload)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    outcome.failure = "a chunk that is no JSON"
                    outcome.detail = one_line(payload.decode("utf-8", "replace"))
                    return
                if chunk.error is not None:
                    outcome.failure = "error in the stream"
                    outcome.detail = said_in(payload)
                    return
                self._count_usage(chunk, outcome)
                piece = _piece(chunk)
                if piece is None:
                    continue
                pieces += 1
                if self._keep_answers:
                    outcome.answer.append(piece)
                if latest:
                    outcome.gaps_s.append(now - latest)
                else:
                    outcome.first_token = now
                latest = now
        outcome.output_tokens = outcome.output_tokens or pieces
        if not done:
            outcome.failure = UNFINISHED
        elif not pieces:
            outcome.failure = EMPTY

    @staticmethod
    def _count_usage(chunk: _Chunk, outcome: Outcome) -> None:
        if chunk.usage is None:
            return
        outcome.prompt_tokens = chunk.usage.prompt_tokens
        outcome.output_tokens = chunk.usage.completion_tokens
        details = chunk.usage.prompt_tokens_details
        if details is not None:
            outcome.cached_tokens = details.cached_tokens or 0


def _failure_of(error: aiohttp.ClientError) -> tuple[str, str]:
    """Its kind, and what else is known."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return "cannot connect", one_line(f"{error.host}:{error.port}: {reason_of(error)}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return CUT, ""
    return "connection lost", one_line(reason_of(error))


def _piece(chunk: _Chunk) -> str | None:
    """The part of the answer in ``chunk``, or None where it has none."""
    if not chunk.choices:
        return None
    choice = chunk.choices[0]
    if choice.text:
        return choice.text
    delta = choice.delta
    if delta is None:
        return None
    if delta.tool_calls:
        return ""
    return delta.content or delta.reasoning_content or delta.reasoning or None


def api_base(url: str) -> str:
    """``url`` with the ``/v1`` that the API's paths stand under."""
    base = url.rstrip("/")
    return base if base.endswith("/v1") else base + "/v1"


async def first_model(url: str, headers: dict[str, str]) -> str:
    """The first model that the server lists. Raises aiohttp.ClientError, LookupError."""
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(api_base(url) + "/models") as response,
    ):
        if response.status != 200:
            said = said_in(await _beginning(response))
            raise LookupError(
                f"{api_base(url)}/models answers {response.status}{': ' + said if said else ''}"
            )
        body = await response.read()
    try:
        return str(msgspec.json.decode(body)["data"][0]["id"])
    except (msgspec.DecodeError, KeyError, IndexError, TypeError):
        raise LookupError(f"{api_base(url)}/models lists no model; name one") from None
