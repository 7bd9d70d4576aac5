"""A request at a gate, and what a gate asks of whoever has it."""

from mypy_extensions import mypyc_attr

from penstock.core.admission.preemption import Holder
from penstock.core.admission.refusals import Ending
from penstock.core.admission.scheduler import QueueEntry
from penstock.core.caller import ANYONE, Caller
from penstock.core.endpoint import Endpoint


@mypyc_attr(allow_interpreted_subclasses=True)
class AbstractGate:
    """What a gate's owner (a worker's pool, a simulated balancer) provides, and what requests at it
    tell it."""

    def left(self, waiter: "Waiter", ending: Ending) -> None:
        """A request that waited or was let in has ended, in whatever way."""
        raise NotImplementedError

    def settle(self, waiter: "Waiter", used: float) -> None:
        """What a request that was let in has used after all, where its tenant was charged."""
        raise NotImplementedError

    def gives_back(self, waiter: "Waiter") -> None:
        """One that was let in here has no place any more, and used nothing."""
        raise NotImplementedError

    def begun(self, waiter: "Waiter") -> None:
        """The answer of one that was let in has begun: it keeps its place."""
        raise NotImplementedError

    def room(self, waiter: "Waiter") -> int:
        """Whether an endpoint takes this request: ROOM, NO_ROOM, or NOBODY where none that it can
        use is up."""
        raise NotImplementedError

    def on_admitted(self, waiter: "Waiter") -> None:
        """Who waited may go on. May end at once."""
        raise NotImplementedError

    def on_turned_away(self, waiter: "Waiter", reason: int, why: str) -> None:
        """Who came, or waited, may not go on."""
        raise NotImplementedError

    def goes_first(self, entry: QueueEntry) -> bool:
        """Whether none of the ``others_wait`` that needs the same goes before it."""
        return True

    def waits_elsewhere(self, waiter: "Waiter") -> bool:
        """Whether one of the ``others_wait`` needs the same and is as important."""
        return False

    def on_limit_full(self) -> None:
        """As many as the adaptive limit lets in are under way."""

    def on_place_free(self) -> None:
        """A place is free that one of the ``others_wait`` may have."""

    def cost(self, waiter: "Waiter") -> float:
        """What it is thought to use: tokens of a language model, or 1 for any other request. Asked
        only where others wait."""
        return 1.0

    def cached(self, waiter: "Waiter") -> float:
        """Tokens of its prompt that a cache holds where there may be room."""
        return 0.0

    def held(self, waiter: "Waiter") -> Endpoint | None:
        """The endpoint of one that was let in, if it may give its place there away and be sent
        again. Asked, as are the two that follow, only where the pool preempts."""
        return None

    def usable(self, waiter: "Waiter") -> list[Endpoint]:
        """The endpoints that one that waits can use."""
        return []

    def on_preempted(self, waiter: "Waiter") -> None:
        """One that was let in loses its place, and waits again: stop it."""

    def on_queued(self) -> None:
        """One more waits."""

    def on_waited(self, waiter: "Waiter") -> None:
        """That one left the queue to go on."""

    def on_change(self) -> None:
        """The number of those who wait, or the limit, changed."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Waiter(Holder):
    """A request at a gate: it waits in the queue, or was let in.

    One that comes back to the queue has its old position again, and the rest of its time.
    """

    due: float = 0.0  # what it stands in line by: its deadline when it came; 0.0: it did not wait

    def __init__(self, importance: int, expires_at: float) -> None:
        super().__init__(importance, 0.0)
        self.expires_at: float = expires_at  # of the request as a whole; 0.0: never
        self.caller: Caller = ANYONE  # who asks
        self.needs: str = ""  # whose needs are the same can use the same endpoints
        self.charged: float = 0.0  # to its tenant, who shares the pool with others that wait
        self.entry: QueueEntry | None = None
        self.gate: AbstractGate | None = None  # where it waits or was let in
        self.queued_s: float = 0.0
        self.number: int = 0  # in the gate's queue; 0: it has not waited there
        self.told: bool = False  # its wait was told
