"""Lines of the request log in the forms of others: Common, Combined, and HAProxy's.

Common and Combined are Apache's (mod_log_config), HAProxy's those of ``option httplog`` and
``option tcplog`` (its configuration manual, 8.2). What is not known of them is ``-`` or 0.
"""

from typing import Final

from penstock.dataplane.exchange.outcome import ConnectionOutcome, Outcome
from penstock.dataplane.record.log_shape import LogShape
from penstock.dataplane.record.time_of_day import day_of, moment_of

_UNSAFE: Final = b'"\\'
# How an exchange ended, as HAProxy tells it (8.5): who ended it, and what it was about then.
_ENDS: Final = {
    "done": b"--",
    "fixed": b"LR",
    "refused": b"SQ",
    "bad_request": b"PR",
    "cut": b"SD",
    "client_gone": b"CD",
    "crashed": b"IH",
}
_UNKNOWN_END: Final = b"--"


def access_line(outcome: Outcome, now: float, shape: LogShape) -> bytes:
    """The line of a request, with its end."""
    total_s = now - outcome.began
    if shape.format == "haproxy":
        return _haproxy_line(outcome, total_s, shape)
    plan, head = outcome.plan, outcome.head
    line = b'%b - %b [%b] "%b" %d %b' % (
        shape.client(plan.source).encode("latin-1") or b"-",
        _word(outcome.caller.tenant),
        day_of(total_s),
        _request_line(outcome, shape),
        outcome.status,
        b"%d" % outcome.response_bytes if outcome.response_bytes else b"-",
    )
    if shape.format == "combined":
        referer, agent = head.value(b"referer"), head.value(b"user-agent")
        line += b' "%b" "%b"' % (quoted(referer or b"-"), quoted(agent or b"-"))
    return line + b"\n"


def access_refusal(client: str, line: bytes, status: int, shape: LogShape) -> bytes:
    """Of what was refused before it was a request."""
    shown = shape.client(client).encode("latin-1")
    if shape.format == "haproxy":
        return b'%b:0 [%b] - -/<NOSRV> -1/-1/-1/-1/0 %d 0 - - PR-- 0/0/0/0/0 0/0 "<BADREQ>"\n' % (
            shown,
            moment_of(0.0),
            status,
        )
    text = b'%b - - [%b] "%b" %d -' % (shown, day_of(0.0), quoted(line or b"-"), status)
    return text + (b' "-" "-"\n' if shape.format == "combined" else b"\n")


def access_connection(outcome: ConnectionOutcome, total_s: float, shape: LogShape) -> bytes:
    """Of a connection that was relayed unread; empty where the form has nothing for those."""
    if shape.format != "haproxy":
        return b""
    plan = outcome.plan
    return b"%b:0 [%b] %b %b/%b %d/%d/%d %d %b 0/0/0/0/%d 0/0\n" % (
        shape.client(plan.source).encode("latin-1"),
        moment_of(total_s),
        _word(outcome.listener),
        outcome.pool,
        outcome.endpoint,
        round(outcome.queued_s * 1e3),
        round(outcome.connect_s * 1e3),
        round(total_s * 1e3),
        outcome.bytes_to_client,
        _ENDS.get(outcome.ended, _UNKNOWN_END),
        max(outcome.attempts - 1, 0),
    )


def quoted(text: bytes) -> bytes:
    """As the inside of a quoted string: no control character, quote or line end gets through."""
    safe = True
    for byte in text:
        if byte < 0x20 or byte > 0x7E or byte in _UNSAFE:
            safe = False
            break
    if safe:
        return text
    parts: list[bytes] = []
    for byte in text:
        if byte in _UNSAFE:
            parts.append(b"\\" + bytes([byte]))
        elif byte < 0x20 or byte > 0x7E:
            parts.append(b"\\x%02x" % byte)
        else:
            parts.append(bytes([byte]))
    return b"".join(parts)


def _haproxy_line(outcome: Outcome, total_s: float, shape: LogShape) -> bytes:
    plan = outcome.plan
    route = plan.route
    waited_s = outcome.queued_s + outcome.connect_s
    answered_ms = -1
    if outcome.first_byte_at:
        answered_ms = round(max(outcome.first_byte_at - outcome.began - waited_s, 0.0) * 1e3)
    return b'%b:0 [%b] %b %b/%b %d/%d/%d/%d/%d %d %d - - %b-- 0/0/0/0/%d 0/0 "%b"\n' % (
        shape.client(plan.source).encode("latin-1"),
        moment_of(total_s),
        _word(route.name) if route is not None else b"-",
        outcome.pool,
        outcome.endpoint if outcome.endpoint != b"-" else b"<NOSRV>",
        round(outcome.parse_s * 1e3),
        round(outcome.queued_s * 1e3),
        round(outcome.connect_s * 1e3),
        answered_ms,
        round(total_s * 1e3),
        outcome.status,
        outcome.response_bytes,
        _ENDS.get(outcome.ended, _UNKNOWN_END),
        max(outcome.attempts - 1, 0),
        _request_line(outcome, shape),
    )


def _request_line(outcome: Outcome, shape: LogShape) -> bytes:
    head, plan = outcome.head, outcome.plan
    target = plan.access.target if plan.access is not None else head.target
    version = head.version
    return b"%b %b HTTP/%b" % (quoted(head.method), quoted(shape.target(target)), version)


def _word(text: str) -> bytes:
    """A name as one word; ``-`` where there is none."""
    return quoted(text.replace(" ", "_").encode("utf-8", "replace")) or b"-"
