"""Latency-induced probation: an endpoint whose first tokens are late is passed over for a while.

A hedge takes its work off a slow endpoint, which then looks idle to a policy that counts requests,
and draws the next one. So who is found late ``LATE`` times in a row, while somebody else would have
been sooner, gets nothing for a second, then one request at a time, after twice as long each time,
until one of them is in time. At most a third of a pool is passed over: what is slow everywhere is
an overload. Source: Dean and Barroso, The Tail at Scale (2013), where hedges are told of, and why
taking a slow server out of service makes answers faster.
"""

from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.pool.pool import Pool
from penstock.core.request import Request

LATE: Final = 3  # in a row
FIRST_S: Final = 1.0  # without a request
LONGEST_S: Final = 16.0
_PASSED_OVER: Final = 3  # one of so many endpoints, at most
_MOST_ENDPOINTS: Final = 4096


class Probation:
    """Of one pool's endpoints."""

    def __init__(self) -> None:
        self._late: dict[Endpoint, int] = {}  # in a row
        self._pause_s: dict[Endpoint, float] = {}  # of those on probation
        self._until: dict[Endpoint, float] = {}  # of those too

    def late(self, endpoint: Endpoint, now: float) -> None:
        """It owes a first token that somebody else would have told sooner."""
        if len(self._late) >= _MOST_ENDPOINTS:
            self.forget()
        count = self._late.get(endpoint, 0) + 1
        self._late[endpoint] = count
        if endpoint in self._pause_s:
            self._until[endpoint] = now + self._pause_s[endpoint]
        elif count >= LATE:
            self._pause_s[endpoint] = FIRST_S
            self._until[endpoint] = now + FIRST_S

    def in_time(self, endpoint: Endpoint) -> None:
        """It told one: nothing is held against it any more."""
        if endpoint in self._late:
            del self._late[endpoint]
        if endpoint in self._pause_s:
            del self._pause_s[endpoint]
            del self._until[endpoint]

    def asked(self, endpoint: Endpoint, now: float) -> None:
        """A request went there: where it is on probation, no other does for longer than before."""
        pause_s = self._pause_s.get(endpoint, 0.0)
        if pause_s > 0.0:
            self._pause_s[endpoint] = pause_s = min(2.0 * pause_s, LONGEST_S)
            self._until[endpoint] = now + pause_s

    def passes(
        self, pool: Pool, request: Request, tried: list[Endpoint] | None, now: float
    ) -> list[Endpoint] | None:
        """Whom a request is not to go to: ``tried``, and those on probation."""
        if not self._until:
            return tried
        usable = pool.usable(request, tried)
        passed = [endpoint for endpoint in usable if self._until.get(endpoint, 0.0) > now]
        if not passed or _PASSED_OVER * len(passed) > len(usable):
            return tried
        return passed if tried is None else [*tried, *passed]

    def forget(self) -> None:
        """Everything."""
        self._late = {}
        self._pause_s = {}
        self._until = {}
