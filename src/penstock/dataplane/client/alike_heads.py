"""Heads that differ from the remembered one by the length of the body alone.

So do most of a client of a language model, each of whose prompts is longer than the one before.
What was checked, routed and rewritten is the same for all of them, unless a rule looks at that
number, or somebody else is told of it.
"""

import re
from typing import Final

from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.route.plan import Plan
from penstock.wire.forwarding import is_sealed
from penstock.wire.http1 import RequestHead

_MOST_DIGITS: Final = 15
_NAME: Final = b"content-length"
_LENGTH: Final = re.compile(rb"\r\n%b:[ \t]*([0-9]{1,15})\r\n" % _NAME, re.IGNORECASE)


class AlikeHeads:
    """Of the head that a connection remembers with its plan. ``heeds_length``: of the planner."""

    def __init__(self, head: RequestHead, plan: Plan, heeds_length: bool) -> None:
        self._head: RequestHead = head
        self._plan: Plan = plan
        self._before: bytes = b""  # the number; b"": there are no such heads
        self._behind: bytes = b""
        if head.content_length <= 0 or heeds_length or not _is_for_any_length(head, plan):
            return
        found = _LENGTH.search(head.raw)
        if found is not None:
            self._before = head.raw[: found.start(1)]
            self._behind = head.raw[found.end(1) :]

    def head_of(self, data: bytes, settings: ClientSettings) -> RequestHead | None:
        """The head that these bytes begin with; None where it is another, or is not whole, or not
        within the limits."""
        before = self._before
        if not before or not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + _MOST_DIGITS + 1)
        if end < 0 or not data.startswith(self._behind, end):
            return None
        digits = data[start:end]
        size = end + len(self._behind)
        if not digits.isdigit() or size > settings.header_bytes:
            return None
        length = int(digits)
        if length == 0 or 0 < settings.body_bytes < length or not self._is_read_alike(length):
            return None
        return _with_length(self._head, data[:size], length, digits)

    def _is_read_alike(self, length: int) -> bool:
        """Whether a body of that length is read where the remembered one was."""
        before = self._head.content_length
        for choice in self._plan.choices:
            most = choice.pool.prompt_bytes
            if (before <= most) != (length <= most):
                return False
        return True


def _is_for_any_length(head: RequestHead, plan: Plan) -> bool:
    if plan.auth is not None or plan.mirror is not None or plan.is_grpc:
        return False
    if not plan.choices or plan.upgrade is not None or is_sealed(head.fields):
        return False
    return not any([choice.asks_all for choice in plan.choices])


def _with_length(head: RequestHead, raw: bytes, length: int, digits: bytes) -> RequestHead:
    """The same with a body of that length, as those bytes tell it."""
    other = RequestHead(raw, head.method, head.target, head.minor)
    other.readings = head.readings
    other.host = head.host
    other.fields = [
        (field[0], field[1], digits) if field[0] == _NAME else field for field in head.fields
    ]
    other.connection = head.connection
    other.content_length = length
    other.keep_alive = head.keep_alive
    other.expects_continue = head.expects_continue
    other.upgrade = head.upgrade
    return other
