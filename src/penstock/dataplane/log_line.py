"""One request as a line of JSON. Times are milliseconds; the timers follow HAProxy's."""

from json import dumps
from typing import TYPE_CHECKING

from penstock.dataplane.request_log import json_text, wall_clock

if TYPE_CHECKING:
    from penstock.dataplane.exchange import Exchange


def log_line(exchange: "Exchange", now: float) -> str:
    """What is known of an exchange at its end.

    ``t_connect`` is -1 on a reused connection, ``t_first_byte`` -1 when none came. Requests to a
    language model have the model, tokens, times to and between tokens, and why it ended besides.
    """
    head = exchange.head
    way = exchange.way
    endpoint = exchange.endpoint
    route = exchange.plan.route
    began = exchange.began
    first = (exchange.first_byte_at - began) * 1e3 if exchange.first_byte_at else -1.0
    connect = exchange.connect_s * 1e3 if exchange.connect_s else -1.0
    return (
        f'{{"time":{wall_clock():.3f},"id":"{json_text(exchange.request_id)}"'
        f',"client":"{exchange.plan.source}"'
        f',"method":"{json_text(head.method)}","host":"{json_text(head.host)}"'
        f',"target":"{json_text(head.target)}"'
        f',"route":"{route.name if route is not None else "-"}"'
        f',"pool":"{way.pool.name if way is not None else "-"}"'
        f',"endpoint":"{endpoint.name if endpoint is not None else "-"}"'
        f',"status":{exchange.status},"bytes":{exchange.bytes_out}'
        f',"attempts":{exchange.attempts}'
        f',"t_connect":{connect:.3f},"t_first_byte":{first:.3f}'
        f',"t_total":{(now - began) * 1e3:.3f},"end":"{exchange.ended}"{_usage(exchange)}}}'
    )


def _usage(exchange: "Exchange") -> str:
    """Of an understood request to a language model; tokens are -1 where the engine told none."""
    found = exchange.inspection
    way = exchange.way
    if found is None or way is None or way.pool.insight is None:
        return ""
    if way.pool.insight.usage == "off":
        return ""
    answer = exchange.answer
    told = f',"model":{dumps(found.model)}'
    if answer is None:
        return told
    meter = answer.meter
    return (
        f'{told},"prompt_tokens":{meter.prompt_tokens},"cached_tokens":{meter.cached_tokens}'
        f',"output_tokens":{meter.output_tokens}'
        f',"t_first_token":{_ms(answer.first_token_s()):.3f}'
        f',"t_per_token":{_ms(answer.token_s()):.3f}'
        f',"finish":{dumps(meter.finish_reason)}'
    )


def _ms(seconds: float) -> float:
    return seconds * 1e3 if seconds >= 0.0 else -1.0
