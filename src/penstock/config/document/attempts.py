"""The document's part about attempts: how long one may take, on which connections, and what follows
one that failed."""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainValidator, field_validator

from penstock.config.document.grpc_status import GrpcStatus
from penstock.config.document.quantities import parse_duration
from penstock.config.document.section import Section, plain, required, setting
from penstock.config.document.values import (
    Count,
    Duration,
    Factor,
    Flag,
    OneOrMany,
    PositiveCount,
    PositiveDuration,
    PositiveSize,
    Share,
    Token,
)
from penstock.core import snapshot

_TIMEOUTS: Final = snapshot.PoolTimeouts()
_FIRST_TOKEN: Final = snapshot.FirstTokenHeader("")
_RETRY: Final = snapshot.Retry()
_HEDGE: Final = snapshot.Hedge()
_RESUME: Final = snapshot.Resume()
_QUANTILE: Final = re.compile(r"p[1-9][0-9](?:\.[0-9]{1,3})?")  # p50, p95, p99.9
_CONNECTIONS: Final = snapshot.Connections()
# uvicorn (vLLM, SGLang, TensorRT-LLM) and cpp-httplib (llama.cpp) close idle connections after 5 s.
# A POST that meets one as it closes is lost, as it may have been read.
ENGINE_IDLE_S: Final = 4.0
# The clients of OpenAI and Anthropic wait 600 s and then ask anew, twice: an answer of ours before
# that would have a generation begun again that still ran. Theirs is the decision.
ENGINE_FIRST_BYTE_S: Final = 900.0
ENGINE_RETRIED: Final = (429, 502, 503, 504)


class FirstTokenHeader(Section):
    """Clients say by a header of this name, in seconds such as `2.5`, within which time they want
    their first token."""

    name: Token = required("The header's name, such as `X-First-Token-Timeout`.")
    floor: PositiveDuration = setting(
        _FIRST_TOKEN.floor_s, "A client that asks for less gets this."
    )
    ceiling: PositiveDuration = setting(
        _FIRST_TOKEN.ceiling_s, "A client that asks for more gets this."
    )


class PoolTimeouts(Section):
    """How long an endpoint may take."""

    connect: Duration = setting(_TIMEOUTS.connect_s, "Time to connect, TLS included.")
    first_byte: Duration | None = setting(
        None,
        "Time from the request sent to the first byte of the response. Default: `5m`; `15m` "
        "in pools of kind `llm`, whose clients wait 10 minutes and would retry after an "
        "earlier timeout.",
    )
    stream_idle: Duration | None = setting(
        None,
        "Time between two pieces of a response. Default: `5m`; `15m` in pools of kind `llm`.",
    )
    first_token: Duration = setting(
        _TIMEOUTS.first_token_s,
        "In pools of kind `llm`: time from when an endpoint is asked for a streamed answer to its "
        "first token. Then it is given up and another one asked, within the retry budget and where "
        "one is left; else waiting goes on. Headers are held back until then "
        "(docs/streams.md).",
    )
    first_token_header: FirstTokenHeader | None = setting(
        None, "A header by which requests ask for a `first_token` of their own. Default: off."
    )
    token: Duration = setting(
        _TIMEOUTS.token_s,
        "In pools of kind `llm`: time between two tokens of a streamed answer. Other bytes, "
        "such as comments, do not count as tokens.",
    )
    request: Duration = setting(
        _TIMEOUTS.request_s, "Time for the whole exchange, retries included."
    )
    tunnel_idle: Duration = setting(
        _TIMEOUTS.tunnel_idle_s,
        "Time for which a relayed connection carries no byte in either direction.",
    )
    session_idle: PositiveDuration = setting(
        _TIMEOUTS.session_idle_s, "A UDP session, without a datagram in either direction."
    )
    http2_connection_age: Duration = setting(
        _TIMEOUTS.http2_connection_age_s,
        "Age at which an HTTP/2 connection to an endpoint gets no more requests, give or take a "
        "fifth; it closes when the last one on it has ended. So servers that are new behind a name "
        "or an address get their share. `off`: never.",
    )

    def compiled(self, kind: str) -> snapshot.PoolTimeouts:
        """Of a pool of that kind."""
        llm = kind == "llm"
        first_s, idle_s = self.first_byte, self.stream_idle
        if first_s is None:
            first_s = ENGINE_FIRST_BYTE_S if llm else _TIMEOUTS.first_byte_s
        if idle_s is None:
            idle_s = ENGINE_FIRST_BYTE_S if llm else _TIMEOUTS.stream_idle_s
        return plain(snapshot.PoolTimeouts, self, first_byte_s=first_s, stream_idle_s=idle_s)

    def compiled_header(self) -> snapshot.FirstTokenHeader | None:
        """By which requests ask for a deadline of their own."""
        header = self.first_token_header
        if header is None:
            return None
        return plain(snapshot.FirstTokenHeader, header, name=header.name.lower())


class Retry(Section):
    """When a failed request is tried on another endpoint; never after a byte was passed on."""

    attempts: PositiveCount = setting(
        _RETRY.attempts,
        "Most attempts, the first included; `retry: off` means 1. Refused connections do not "
        "count while untried endpoints remain; a model's fallback gets as many attempts "
        "again.",
    )
    on_statuses: OneOrMany[Annotated[int, Field(ge=400, le=599)]] | None = setting(
        None,
        "Response statuses to retry, for requests that may be repeated: GET and similar, and "
        "POST with `non_idempotent`. In pools of kind `llm`, 429 and 503 mean that the engine"
        " refused, so any request is sent to another endpoint, if one is left. Default: "
        "`502`, `503`, `504`; in pools of kind `llm` also `429`.",
    )
    on_grpc_statuses: OneOrMany[GrpcStatus] = setting(
        _RETRY.on_grpc_statuses,
        "How gRPC calls end that are made again, by name or number, such as `unavailable`: as long "
        "as no message of the response came, also where the call was sent, since only whoever "
        "writes this knows that it does no harm.",
    )
    on_connect_failure: Flag = setting(
        _RETRY.on_connect_failure, "When no connection could be made."
    )
    on_reset: Flag = setting(
        _RETRY.on_reset, "When the connection broke before the first byte of the response."
    )
    on_timeout: Flag = setting(_RETRY.on_timeout, "When the first byte did not come in time.")
    non_idempotent: Flag = setting(
        _RETRY.non_idempotent,
        "Also repeat requests such as POST after they were sent. Only use it where that is "
        "harmless.",
    )
    generations: Flag = setting(
        _RETRY.generations,
        "In pools of kind `llm`, also repeat requests for answers and embeddings of which no "
        "byte arrived. Never those that leave something at the endpoint: `store`, "
        "`background`, and OpenAI's responses without `store: false`.",
    )
    budget_share: Share = setting(
        _RETRY.budget_share, "Retries allowed as a share of requests, over 10 s."
    )
    budget_min_per_s: Factor = setting(
        _RETRY.budget_min_per_s, "Retries a second that are always allowed."
    )

    def compiled(self, kind: str) -> snapshot.Retry:
        """Of a pool of that kind."""
        statuses = self.on_statuses
        if statuses is None:
            statuses = ENGINE_RETRIED if kind == "llm" else _RETRY.on_statuses
        return plain(snapshot.Retry, self, on_statuses=statuses)


def _retry(value: Any) -> Any:
    return {"attempts": 1} if value == "off" or value is False else value


RetryOrOff = Annotated[Retry, BeforeValidator(_retry, json_schema_input_type=str | Retry)]


def _after(value: Any) -> Any:
    """A quantile such as p95 stays text, all else is a duration."""
    if isinstance(value, str) and _QUANTILE.fullmatch(value.strip()):
        return value.strip()
    return parse_duration(value)


class Hedge(Section):
    """A second endpoint is asked as well where the first has no token, or no byte, yet; the first
    to speak wins, and the other is given up at once. Who is found late three times in a row gets no
    first attempts for a second and more, until one is in time."""

    after: Annotated[
        float | str,
        PlainValidator(_after, json_schema_input_type=Annotated[str, Field(examples=["p95"])]),
    ] = setting(
        "p95",
        "How long the first is waited for: a duration such as `800ms`, or a quantile of the waits "
        "of the last minute, such as `p95`. A second one is asked only if its first token is "
        "expected in less than half of what is left of the first one's wait.",
    )
    budget_share: Share = setting(
        _HEDGE.budget_share,
        "Prompt tokens that second attempts may take, as a share of all, over 60 s; of requests "
        "without prompts, as a share of requests.",
    )

    @field_validator("after")
    @classmethod
    def _some_time(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and value <= 0.0:
            raise ValueError("must be more than 0, or a quantile such as p95")
        return value

    def compiled(self) -> snapshot.Hedge:
        """As the snapshot has it."""
        if isinstance(self.after, str):
            digits = self.after.lstrip("p")
            return snapshot.Hedge(0.0, float(f"0.{digits.replace('.', '')}"), self.budget_share)
        return snapshot.Hedge(self.after, 0.0, self.budget_share)


def _on_or_off(value: Any) -> Any:
    if value is True or value == "on":
        return {}
    return None if value is False or value == "off" else value


HedgeOrOff = Annotated[
    Hedge | None, BeforeValidator(_on_or_off, json_schema_input_type=str | Hedge)
]


class Resume(Section):
    """Another endpoint goes on with a streamed answer that is cut, and its client sees one stream
    (docs/streams.md)."""

    max_resumes: PositiveCount = setting(_RESUME.max_resumes, "Times for one answer, at most.")
    exact: Flag = setting(
        _RESUME.exact,
        "Only where the rest is certain to be what it would have been: by token ids, which engines "
        "have to tell.",
    )
    token_ids: Flag = setting(
        _RESUME.token_ids,
        "Ask engines for the ids of tokens, each in its own way (vLLM's and SGLang's "
        "`return_token_ids`, llama.cpp's `logprobs`), which clients that did not ask do not see, "
        "and go on by them where they were told.",
    )
    answer_bytes: PositiveSize = setting(
        _RESUME.answer_bytes,
        "Text that is kept of one answer, at most; one that is longer is not resumed. All that is "
        "kept counts for `prompt_memory`.",
    )


ResumeOrOff = Annotated[
    Resume | None, BeforeValidator(_on_or_off, json_schema_input_type=str | Resume)
]


_WEBSOCKETS: Final = snapshot.WebSocketResponses()


_DEFLATE: Final = snapshot.WebSocketDeflate()


class WebSocketDeflate(Section):
    """Messages to and from clients that offer it are compressed (permessage-deflate, RFC 7692)."""

    window_bits: Annotated[int, Field(ge=9, le=15)] = setting(
        _DEFLATE.window_bits,
        "Of what was said before, so much is looked back at, as a power of two. It bounds memory: "
        "with 12 each WebSocket takes 40 KiB, and 30 KiB more where its client's own window cannot "
        "be bounded.",
    )
    context: Flag = setting(
        _DEFLATE.context,
        "What was said before helps to compress what follows. Without it each message stands for "
        "itself (`no_context_takeover`): little is kept, and short messages hardly get shorter.",
    )


WebSocketDeflateOrOff = Annotated[
    WebSocketDeflate | None,
    BeforeValidator(_on_or_off, json_schema_input_type=str | WebSocketDeflate),
]


class WebSocketResponses(Section):
    """Each response that is asked for over OpenAI's WebSockets is a request of its own
    (docs/websocket.md)."""

    message_bytes: PositiveSize = setting(
        _WEBSOCKETS.message_bytes, "Most bytes of one message, from clients and from endpoints."
    )
    most: PositiveCount = setting(
        _WEBSOCKETS.most,
        "Responses that one WebSocket may have asked for and not yet got; further ones are "
        "answered with an error.",
    )
    compression: WebSocketDeflateOrOff = setting(
        None,
        "`on`, or how messages to and from clients are compressed. Who can have a client ask for "
        "what he likes may learn from their sizes what else stands in them.",
    )

    def compiled(self) -> snapshot.WebSocketResponses:
        """As the snapshot has it."""
        deflate = self.compression and plain(snapshot.WebSocketDeflate, self.compression)
        return plain(snapshot.WebSocketResponses, self, compression=deflate)


WebSocketResponsesOrOff = Annotated[
    WebSocketResponses | None,
    BeforeValidator(_on_or_off, json_schema_input_type=str | WebSocketResponses),
]


class Connections(Section):
    """Connections to each endpoint, by each worker. A server's `Keep-Alive: timeout=` is heeded."""

    max_idle: Count = setting(_CONNECTIONS.max_idle, "Most idle connections to keep.")
    idle_timeout: Duration | None = setting(
        None,
        "How long an idle connection is kept. It should be shorter than the endpoint's own "
        "keep-alive timeout. Default: `55s`; `4s` in pools of kind `llm`, as most engines "
        "close theirs after 5 s.",
    )
    max_requests: Count = setting(
        _CONNECTIONS.max_requests,
        "Requests sent on one connection before it is closed. 0: any number.",
    )
    response_header_bytes: PositiveSize = setting(
        _CONNECTIONS.response_header_bytes,
        "Most bytes of all headers of a response; a larger head is answered with 502.",
    )

    def compiled(self, kind: str) -> snapshot.Connections:
        """Of a pool of that kind."""
        idle_s = self.idle_timeout
        if idle_s is None:
            idle_s = ENGINE_IDLE_S if kind == "llm" else _CONNECTIONS.idle_timeout_s
        return plain(snapshot.Connections, self, idle_timeout_s=idle_s)
