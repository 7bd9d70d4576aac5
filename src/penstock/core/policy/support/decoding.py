"""What is left to generate on endpoints, as answers under way let expect."""

from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.ticket import Ticket

# Between two looks at all answers under way on an endpoint: tens of tokens, of hundreds.
_LOOK_S: Final = 0.1


class _Under:
    """The tickets under way on one endpoint, each with what it was last counted with."""

    def __init__(self) -> None:
        self.tickets: dict[Ticket, int] = {}
        self.tokens: int = 0  # their sum
        self.looked_at: float = 0.0


class Decoding:
    """Of all endpoints; asked by a policy, so that nothing has to be done for each token."""

    def __init__(self) -> None:
        self._under: dict[Endpoint, _Under] = {}

    def start(self, ticket: Ticket) -> None:
        """Its answer is to be counted until ``end``."""
        under = self._under.get(ticket.endpoint)
        if under is None:
            under = _Under()
            self._under[ticket.endpoint] = under
        tokens = ticket.request.output_tokens
        under.tickets[ticket] = tokens
        under.tokens += tokens

    def end(self, ticket: Ticket) -> None:
        """It ended, however."""
        under = self._under.get(ticket.endpoint)
        if under is None:
            return
        under.tokens -= under.tickets.pop(ticket, 0)
        if not under.tickets:
            del self._under[ticket.endpoint]

    def tokens_left(self, endpoint: Endpoint, now: float) -> int:
        """To be expected yet of the answers under way there, in this process."""
        under = self._under.get(endpoint)
        if under is None:
            return 0
        if now - under.looked_at >= _LOOK_S:
            under.looked_at = now
            tokens = 0
            for ticket in under.tickets:
                left = ticket.tokens_left()
                under.tickets[ticket] = left
                tokens += left
            under.tokens = tokens
        return under.tokens

    def tokens_expected(self, endpoint: Endpoint, load: int, answer: int, now: float) -> int:
        """The same, of all ``load`` requests there; of answers that are not known, ``answer``."""
        under = self._under.get(endpoint)
        if under is None:
            return max(load, 0) * answer
        others = max(load - len(under.tickets), 0)
        return self.tokens_left(endpoint, now) + others * answer

    def requests(self, endpoint: Endpoint) -> int:
        """Of how many answers that is."""
        under = self._under.get(endpoint)
        return 0 if under is None else len(under.tickets)
