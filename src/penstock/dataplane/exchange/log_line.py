"""One request as a line, of JSON where no other form is asked for. Timers are milliseconds and
follow HAProxy's."""

import re
from json import dumps
from typing import Final

from penstock.core.caller import Caller
from penstock.dataplane.exchange.access_line import (
    access_connection,
    access_line,
    access_refusal,
)
from penstock.dataplane.exchange.outcome import ConnectionOutcome, Outcome
from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.dataplane.record.log_shape import EVERYTHING, LogShape
from penstock.dataplane.record.request_log import json_text
from penstock.dataplane.record.time_of_day import time_stamp
from penstock.dataplane.route.plan import Plan
from penstock.wire.http1 import RequestHead

# One formatting call for the whole line: by f-strings it cost five times as much.
_LINE: Final = (
    b'{"time":"%b","id":"%b",%b,"pool":"%b","endpoint":"%b","endpoint_address":%b,"status":%d'
    b',"bytes":%d,"attempts":%d,"t_parse":%.3f,"t_queue":%.3f,"t_connect":%b,"t_first_byte":%b'
    b',"t_total":%.3f,"end":"%b"%b}\n'
)
_REFUSAL: Final = (
    b'{"time":"%b","client":"%b","line":"%b","status":%d,"end":"bad_request","why":%b}\n'
)
_CLOSED: Final = b'{"time":"%b","client":"%b","listener":"%b","end":"refused","why":%b}\n'
_FACTS: Final = (
    b'"protocol":"%b","client":"%b","method":"%b","host":"%b","target":"%b","user_agent":%b'
    b',"route":"%b"'
)
_NULL: Final = b"null"
# Keys in a query, where nothing else is known of the request (``wire.presented_key``).
_SECRETS: Final = re.compile(rb"(api[_-]?key|access_token)=[^&\s]*", re.IGNORECASE)
_MAX_SHOWN_BYTES: Final = 200  # of a refused request's first line
_USAGE: Final = (
    b',"model":%b,"prompt_tokens":%b,"cached_tokens":%b,"output_tokens":%b'
    b',"t_first_token":%b,"t_per_token":%b,"finish":%b'
)


_CONNECTION: Final = (
    b'{"time":"%b","id":"%b","protocol":"%b","client":"%b","listener":"%b","server_name":%b'
    b',"route":"%b","pool":"%b","endpoint":"%b","endpoint_address":%b,"bytes_from_client":%d'
    b',"bytes":%d,"attempts":%d,"t_queue":%.3f,"t_connect":%b,"t_first_byte":%b,"t_total":%.3f'
    b',"end":"%b"%b}\n'
)


def log_line(outcome: Outcome, now: float, shape: LogShape = EVERYTHING) -> bytes:
    """The line, with its end.

    ``t_parse`` is 0 for a head that came in one piece, ``t_connect`` null on a reused connection,
    ``t_first_byte`` null when none came. Requests to a language model have the model, tokens, times
    to and between tokens, and why it ended besides. ``prefill`` is the endpoint that computed the
    prompt, where that is another. ``endpoint_id`` is the request's id as the endpoint tells it,
    where that is another; ``asked`` is the name in the request where the model is another, by an
    alias, a fallback or a default.
    """
    if shape.format != "json":
        return access_line(outcome, now, shape)
    plan = outcome.plan
    facts = plan.log_facts
    if not facts:
        facts = _facts(outcome.head, plan, shape)
        plan.log_facts = facts
    began = outcome.began
    first_byte_at = outcome.first_byte_at
    # An id that Penstock made needs no care; one that a client sent may.
    request_id = outcome.request_id
    return _LINE % (
        time_stamp(),
        json_text(request_id) if plan.request_id else request_id,
        facts,
        outcome.pool,
        outcome.endpoint,
        b'"%b"' % outcome.peer if outcome.peer else _NULL,
        outcome.status,
        outcome.response_bytes,
        outcome.attempts,
        outcome.parse_s * 1e3,
        outcome.queued_s * 1e3,
        b"%.3f" % (outcome.connect_s * 1e3) if outcome.connect_s else _NULL,
        b"%.3f" % ((first_byte_at - began) * 1e3) if first_byte_at else _NULL,
        (now - began) * 1e3,
        outcome.ended.encode(),
        (b',"grpc_status":%d' % outcome.grpc_status if outcome.grpc_status >= 0 else b"")
        + (b',"websocket":true' if outcome.over_websocket else b"")
        + (b',"hedged":true' if outcome.hedged else b"")
        + (b',"preempted":%d' % outcome.preempted if outcome.preempted else b"")
        + (b',"resumed":%d' % outcome.resumed if outcome.resumed else b"")
        + (_relayed(outcome.bytes_from_client) if outcome.bytes_from_client >= 0 else b"")
        + (_asked_by(outcome.caller) if outcome.caller.tenant else b"")
        + (b',"why":' + dumps(outcome.why).encode() if outcome.why else b"")
        + (b',"prefill":"%b"' % outcome.prefill if outcome.prefill else b"")
        + (
            b',"endpoint_id":"%b"' % json_text(outcome.endpoints_id)
            if outcome.endpoints_id
            else b""
        )
        + (_usage(outcome, outcome.prompt) if outcome.prompt is not None else _unread(outcome)),
    )


def refusal_line(
    client: str, received: bytes, status: int, why: str, shape: LogShape = EVERYTHING
) -> bytes:
    """What was refused before it was a request: where it came from, how it begins, and why."""
    first_line = _SECRETS.sub(rb"\1=-", received[:_MAX_SHOWN_BYTES].partition(b"\r\n")[0])
    first_line = shape.target(first_line)
    if shape.format != "json":
        return access_refusal(client, first_line, status, shape)
    return _REFUSAL % (
        time_stamp(),
        json_text(shape.client(client).encode("latin-1")),
        json_text(first_line),
        status,
        dumps(why).encode(),
    )


def closed_line(client: str, listener: str, why: str, shape: LogShape = EVERYTHING) -> bytes:
    """Of a connection that ended before it was known who its client is."""
    if shape.format != "json":
        return b""  # the other forms have nothing for it
    return _CLOSED % (
        time_stamp(),
        json_text(shape.client(client).encode("latin-1")),
        json_text(listener.encode()),
        dumps(why).encode(),
    )


def connection_line(
    outcome: ConnectionOutcome, total_s: float, shape: LogShape = EVERYTHING
) -> bytes:
    """The line of a connection that was relayed unread, with its end."""
    if shape.format != "json":
        return access_connection(outcome, total_s, shape)
    plan = outcome.plan
    return _CONNECTION % (
        time_stamp(),
        outcome.request_id,
        outcome.protocol,
        json_text(shape.client(plan.source).encode("latin-1")),
        json_text(outcome.listener.encode()),
        dumps(plan.server_name).encode() if plan.server_name else _NULL,
        json_text(plan.route.name.encode()) if plan.route is not None else b"-",
        outcome.pool,
        outcome.endpoint,
        b'"%b"' % outcome.peer if outcome.peer else _NULL,
        outcome.bytes_from_client,
        outcome.bytes_to_client,
        outcome.attempts,
        outcome.queued_s * 1e3,
        b"%.3f" % (outcome.connect_s * 1e3) if outcome.connect_s else _NULL,
        _ms(outcome.first_byte_s),
        total_s * 1e3,
        outcome.ended.encode(),
        outcome.of_protocol + (b',"why":' + dumps(outcome.why).encode() if outcome.why else b""),
    )


def _facts(head: RequestHead, plan: Plan, shape: LogShape) -> bytes:
    """What the head alone decides; the same for all requests of a plan."""
    route = plan.route
    agent = head.value(b"user-agent")
    protocol = b"http/2" if head.version == b"2.0" else b"http/" + head.version
    facts = _FACTS % (
        protocol,
        json_text(
            shape.client(plan.source).encode("latin-1")
        ),  # of X-Forwarded-For, where that is believed
        json_text(head.method),
        json_text(head.host),
        json_text(shape.target(plan.access.target if plan.access is not None else head.target)),
        b'"%b"' % json_text(agent) if agent is not None else _NULL,
        json_text(route.name.encode()) if route is not None else b"-",
    )
    return facts + certificate_facts(plan.caller)


def certificate_facts(caller: Caller) -> bytes:
    """Keys of a client's certificate, each with a comma before it; b"" where it showed none."""
    if not caller.fingerprint:
        return b""
    subject = dumps(caller.certificate).encode()
    return b',"client_certificate":%b,"client_fingerprint":"%b"' % (
        subject,
        caller.fingerprint.encode(),
    )


def _asked_by(caller: Caller) -> bytes:
    """The tenant, and what its key is called: a certificate has no such name."""
    key = b',"key":' + dumps(caller.key).encode() if caller.key else b""
    return b',"tenant":' + dumps(caller.tenant).encode() + key


def _usage(outcome: Outcome, prompt: PromptBody) -> bytes:
    """Of an understood request to a language model; tokens are null where the engine told none."""
    if not outcome.tells_usage:
        return b""
    answer = outcome.answer
    model = dumps(prompt.found.model).encode()
    if prompt.asked != prompt.found.model:
        model += b',"asked":' + dumps(prompt.asked).encode()
    if answer is None:
        return b',"model":' + model
    meter = answer.meter
    return _USAGE % (
        model,
        _count(meter.prompt_tokens),
        _count(meter.cached_tokens),
        _count(meter.output_tokens),
        _ms(answer.first_token_s()),
        _ms(answer.token_s()),
        dumps(meter.finish_reason).encode(),
    )


def _unread(outcome: Outcome) -> bytes:
    return b',"unread":' + dumps(outcome.unread).encode() if outcome.unread else b""


def _relayed(bytes_from_client: int) -> bytes:
    return b',"bytes_from_client":%d' % bytes_from_client


def _count(tokens: int) -> bytes:
    return b"%d" % tokens if tokens >= 0 else _NULL


def _ms(seconds: float) -> bytes:
    return b"%.3f" % (seconds * 1e3) if seconds >= 0.0 else _NULL
