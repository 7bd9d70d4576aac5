"""An endpoint as the decision core sees it: identity, weight, state and load."""

from typing import Final

from mypy_extensions import mypyc_attr

from penstock.core import snapshot
from penstock.core.health.breaker import OPEN, Breaker, BreakerChange
from penstock.core.health.health import UP
from penstock.core.signals import Reported, Tokens

_TELLING_S: Final = 1.0  # who gave up sooner than that tells nothing
BACKUP: Final = 1 << 40  # behind every priority that can be configured


@mypyc_attr(allow_interpreted_subclasses=True)
class Endpoint:
    """One server of a pool.

    ``in_flight`` is what this process has running there (tickets opened and not settled);
    ``elsewhere`` is what other processes were last known to have. Policies read ``load()``.
    ``weight`` is the effective weight (configured, or set at run time, times slow start).
    ``order`` is the endpoint's position among all endpoints of its pool.

    Of an endpoint that serves a language model, policies that observe it count ``tokens`` as well.
    What other processes count stands in ``tokens_elsewhere``; its ``held`` has besides what the
    endpoint reports of others that nobody here knows of.

    An endpoint is *silent* for as long as it owes a first byte, or a further token, and sends none
    to anyone: that is seen while it goes on, when no request has ended yet that could tell of it.
    """

    breaker: Breaker | None = None
    breaker_opened: int = 0  # how often
    cut_out: bool = False  # by its circuit breaker, which is open
    heard_at: float = 0.0  # when the last byte came that was waited for
    times_silence: bool = True  # whether anyone asks; else no request pays for it
    owed: int = 0  # requests that it owes a byte
    quiet_since: float = 0.0  # while it owes any: when it was heard last, or began to owe
    unheard: bool = False  # those who waited for it gave up before it was heard

    hit_distrust: float = 0.0  # share of predicted prefix hits that is not believed
    guarded: bool = False  # by more than ``max_in_flight``: ask ``has_room``
    exact_slot: int = -1  # its place in the exact prefix index; -1 while it is not there
    models: dict[str, str] | None = None  # names it serves, and their parents; None: not known
    removed: bool = False  # it is configured no more
    models_awaited: bool = False  # what it serves is being found out: until then it serves no model

    def __init__(
        self,
        name: str,
        *,
        pool: str = "",
        weight: float = 1.0,
        max_in_flight: int = 0,
        priority: int = 0,
        zone: str = "",
    ) -> None:
        self.name: str = name
        self.pool: str = pool
        self.weight: float = weight
        self.max_in_flight: int = max_in_flight  # 0: no bound
        self.priority: int = priority  # 0 first; backups are BACKUP
        self.zone: str = zone
        self.order: int = 0
        self.health: int = UP
        self.draining: bool = False
        self.ejected: bool = False  # by outlier detection
        self._breaker_settings: snapshot.Breaker | None = None
        self.in_flight: int = 0
        self.elsewhere: int = 0
        self.tokens: Tokens = Tokens()
        self.tokens_elsewhere: Tokens = Tokens()
        self.reported: Reported = Reported()

    def load(self) -> int:
        """Requests in flight, as far as this process knows."""
        return self.in_flight + self.elsewhere

    def serves(self, model: str) -> bool:
        """Whether a request for that model may go there, as far as is known."""
        models = self.models
        if models is None:
            return not self.models_awaited
        return model in models

    def has_room(self) -> bool:
        """Whether ``max_in_flight``, and whatever else guards it, admits one more request."""
        return self.max_in_flight == 0 or self.load() < self.max_in_flight

    def is_overfull(self) -> bool:
        """Whether, the attempt that was just opened included, there are more than
        ``max_in_flight``."""
        return 0 < self.max_in_flight < self.load()

    def protect(self, settings: snapshot.Breaker | None) -> None:
        """Have a circuit breaker, or none; one whose settings stay keeps its state."""
        if settings != self._breaker_settings:
            self._breaker_settings = settings
            self.breaker = Breaker.of(settings) if settings is not None else None
            self.cut_out = False
        self.guard()

    def guard(self) -> None:
        """See anew whether anything guards it."""
        self.guarded = self.max_in_flight > 0 or self.breaker is not None

    def try_again(self, now: float) -> None:
        """Let trials through a circuit that has been open for long enough; to be called every
        quarter of a second or so."""
        if self.cut_out and self.breaker is not None and not self.breaker.is_full(now):
            self.cut_out = False
            self.circuit_changed(None)

    def circuit_changed(self, change: BreakerChange | None) -> None:
        """``cut_out`` may have changed; None: trials are let through."""

    def acquire(self) -> None:
        """Count one more request. Only ``Ticket`` calls this."""
        self.in_flight += 1

    def release(self) -> None:
        """Count one request less. Only ``Ticket`` calls this."""
        self.in_flight -= 1

    def owes(self, now: float) -> None:
        """One more request waits for a byte of it. Only ``Ticket`` calls this."""
        if self.owed == 0 and not self.unheard:
            self.quiet_since = now
        self.owed += 1

    def owes_no_more(self, gave_up: bool, now: float) -> None:
        """One that waited does no longer. Only ``Ticket`` calls this."""
        self.owed -= 1
        if gave_up and now - self.quiet_since >= _TELLING_S:
            self.unheard = True

    def heard(self, now: float) -> None:
        """A byte that was waited for came, to whomever."""
        self.quiet_since = now
        self.unheard = False
        self.heard_at = now

    def silence_s(self, now: float) -> float:
        """For how long it has owed a byte and sent none; 0 while it owes nothing."""
        return max(now - self.quiet_since, 0.0) if self.owed > 0 else 0.0

    def settled(
        self, outcome: int, status: int, opened_at: float, first_byte_at: float, now: float
    ) -> bool:
        """An attempt there ended. Only ``Ticket`` calls this, once for each.

        Returns whether it failed in a way that is not held against the endpoint.
        """
        return False

    def told_cached(self, prompt: int, predicted: int, cached: int) -> None:
        """Its engine told how many of a prompt's tokens it had cached, and so many were predicted.
        Only ``Ticket`` calls this."""

    def told_breaker(
        self, breaker: Breaker, epoch: int, blamed: bool, whole: bool, now: float
    ) -> None:
        """An attempt ended that this breaker let through in that epoch. Only ``Ticket`` calls this.

        ``blamed``: a failure that is held against the endpoint. ``whole``: a whole response came.
        """
        if breaker is not self.breaker:
            return  # its settings changed meanwhile
        change: BreakerChange | None = None
        if blamed:
            change = breaker.failed(epoch, now)
        elif whole:
            change = breaker.succeeded(epoch, now)
        else:
            breaker.abandoned(epoch)
        if change is not None:
            self.cut_out = change.state == OPEN
            self.breaker_opened += self.cut_out
            self.circuit_changed(change)

    def tokens_changed(self) -> None:
        """The policy counted ``tokens`` anew: others may want to know."""

    def __repr__(self) -> str:
        return f"<Endpoint {self.name} load={self.load()} weight={self.weight:g}>"
