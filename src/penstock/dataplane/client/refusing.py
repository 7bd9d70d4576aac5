"""Refusals of what is no request: before there is an exchange, in every version of HTTP."""

from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.log_line import refusal_line


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
