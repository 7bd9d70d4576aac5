"""Refusals of what is no request: before there is an exchange, in every version of HTTP."""

from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.log_line import refusal_line
from penstock.wire.grpc import NOT_GRPC, grpc_kind
from penstock.wire.http1 import BadMessage, all_values
from penstock.wire.http2.header_block import HeaderBlock


def log_refusal(context: Context, client: str, begins: bytes, status: int, reason: str) -> None:
    """Tell the log, if there is one. ``begins``: the first line of what came."""
    log = context.log
    if log.enabled:
        log.write(refusal_line(client, begins, status, reason, log.shape))


def refusal_page(context: Context, status: int, reason: str, accepted: bytes) -> Answer:
    """As the page that stands in for such errors, or as JSON. ``accepted``: by the client, as far
    as that can be seen."""
    told = answers.refusal(status, reason)
    return answers.with_page(told, context.planner.pages, accepted)


def refusal_of(context: Context, client: str, block: HeaderBlock, refusal: BadMessage) -> Answer:
    """Likewise, of a request over HTTP/2 that is none; the log is told."""
    status, reason = refusal.status, refusal.reason
    line = b"%b %b HTTP/2" % (block.method, block.path)
    log_refusal(context, client, line, status, reason)
    if grpc_kind(all_values(block.fields, b"content-type")) != NOT_GRPC:
        return answers.refusal(status, reason)
    return refusal_page(context, status, reason, all_values(block.fields, b"accept"))
