"""One request as a line of JSON. Times are milliseconds; the timers follow HAProxy's."""

from typing import TYPE_CHECKING

from penstock.dataplane.request_log import json_text, wall_clock

if TYPE_CHECKING:
    from penstock.dataplane.exchange import Exchange


def log_line(exchange: "Exchange", now: float) -> str:
    """What is known of an exchange at its end.

    ``t_connect`` is -1 on a reused connection, ``t_first_byte`` -1 when none came.
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
        f',"t_total":{(now - began) * 1e3:.3f},"end":"{exchange.ended}"}}'
    )
