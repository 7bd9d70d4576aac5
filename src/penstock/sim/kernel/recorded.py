"""Endpoints and caches as a record of a decision tells them, for policies to decide by again."""

from penstock.core.endpoint import Endpoint
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request


class RecordedEndpoint(Endpoint):
    """Has the load that was seen, whatever is opened on it in the replay."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: int = 0  # requests in flight, over all workers

    def load(self) -> int:
        return self.seen

    def acquire(self) -> None:
        """Nothing: the record counts it."""

    def release(self) -> None:
        """Nothing: the record counts it."""


class RecordedIndex(PrefixIndex):
    """Believes what the recorded policy believed to be cached, also where it saw more requests."""

    def __init__(self) -> None:
        super().__init__()
        self.hits: dict[Endpoint, int] | None = None  # of the decision under way, if it tells them

    def matches(self, request: Request, endpoints: list[Endpoint]) -> list[int]:
        hits = self.hits
        if hits is None:
            return super().matches(request, endpoints)
        return [hits.get(endpoint, 0) for endpoint in endpoints]

    def insert(self, request: Request, endpoint: Endpoint) -> int:
        found = super().insert(request, endpoint)
        hits = self.hits
        return found if hits is None else hits.get(endpoint, 0)
