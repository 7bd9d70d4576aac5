"""Until when a request waits on an engine that serves so many at a time, such as llama.cpp.

An engine with continuous batching begins a prompt beside the answers under way. One with slots
(``Reported.most_running``) serves a request in each, and those beyond wait, first in first out,
for an answer to end whole: for hundreds of tokens, where a prompt ahead takes a few steps.

    free: for each slot the tokens left of the answer in it
    a request takes the slot that is free first, and keeps it for the tokens of its own answer

Requests of other processes are known by number only: half of an answer is taken to be left of one
that runs, and all of one that waits.
"""

from heapq import heapify, heapreplace

from penstock.core.endpoint import Endpoint
from penstock.core.ticket import Ticket


class Slots:
    """Of all endpoints that report theirs."""

    def __init__(self) -> None:
        self._under: dict[Endpoint, dict[Ticket, bool]] = {}  # in the order in which they were sent

    def start(self, ticket: Ticket) -> None:
        """Its attempt was opened, and counts as load already."""
        endpoint = ticket.endpoint
        slots = endpoint.reported.most_running
        if slots > 0:
            under = self._under.setdefault(endpoint, {})
            under[ticket] = endpoint.load() > slots

    def end(self, ticket: Ticket) -> None:
        """It ended, however."""
        under = self._under.get(ticket.endpoint)
        if under is not None and under.pop(ticket, None) is not None and not under:
            del self._under[ticket.endpoint]

    def waited(self, ticket: Ticket) -> bool:
        """Whether all slots were taken when it was sent."""
        under = self._under.get(ticket.endpoint)
        return under is not None and under.get(ticket, False)

    def tokens_before(self, endpoint: Endpoint, answer: int) -> int:
        """How many tokens a further request would wait for; 0 where a slot is free.

        ``answer`` is what an answer is taken to have of which nothing is known.
        """
        slots = endpoint.reported.most_running
        load = endpoint.load()
        if slots <= 0 or load < slots:
            return 0
        under = self._under.get(endpoint)
        own = [] if under is None else [ticket.tokens_left() for ticket in under]
        others = max(load - len(own), 0)
        running = min(others, slots)
        free = ([answer // 2] * running + own)[:slots]
        waiting = own[slots - running :] + [answer] * (others - running)
        heapify(free)
        for tokens in waiting:
            heapreplace(free, free[0] + tokens)
        return free[0] if len(free) == slots else 0
