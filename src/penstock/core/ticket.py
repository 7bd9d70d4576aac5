"""A ticket: one unit of load on an endpoint, settled exactly once however the request ends."""

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr, trait

from penstock.core.endpoint import Endpoint
from penstock.core.health.breaker import Breaker
from penstock.core.measure.tokens import Progress
from penstock.core.prefixes.engine_slots import EngineSlots
from penstock.core.request import Request

# How an attempt ended.
DONE: Final = 0  # a whole response was received
CLIENT_GONE: Final = 1
CONNECT_FAILED: Final = 2
RESET: Final = 3  # the connection died before the response was whole
GARBAGE: Final = 4  # what came back was not HTTP
TIMEOUT: Final = 5
ABANDONED: Final = 6  # given up by us: refused, shutting down, lost race

GAVE_UP: Final = (CLIENT_GONE, TIMEOUT)  # whoever waited did so no longer

OUTCOMES: Final = (
    "done",
    "client_gone",
    "connect_failed",
    "reset",
    "garbage",
    "timeout",
    "abandoned",
)


def is_fault(status: int) -> bool:
    """Whether a response with that status tells that something is wrong with its server.

    501 and 505 tell that the server does not support what was asked for, so nothing of its health
    (HAProxy's ``observe layer7`` takes them for valid). What is beyond 599 has no meaning that a
    proxy could know.
    """
    return 500 <= status < 600 and status != 501 and status != 505


@mypyc_attr(allow_interpreted_subclasses=True)
@trait
class Observer:
    """Who may ask to be told how attempts go: policies."""

    observes: ClassVar[bool] = False  # whether the methods below are called

    def on_start(self, ticket: "Ticket") -> None:
        """An attempt was opened on ``ticket.endpoint``."""

    def on_first_byte(self, ticket: "Ticket") -> None:
        """The first byte of its response came."""

    def on_end(self, ticket: "Ticket") -> None:
        """It ended; ``ticket.outcome`` says how."""


class Ticket:
    """Opened when an endpoint is chosen, settled when the attempt ends.

    Times are seconds on the Env's clock; ``first_byte_at`` is 0.0 until a byte came.

    The token counts are of a request to a language model: ``hit_tokens`` of the prompt were
    believed to be cached, ``prefill_tokens`` were not; ``output_tokens`` came so far.
    """

    awaits: bool = False  # a byte that the endpoint owes
    held: bool = False  # the client does not take what there is
    breaker: Breaker | None = None  # that let it through, and is to be told how it ended
    breaker_epoch: int = 0  # in which it was let through
    excused: bool = False  # it failed, and that is not held against the endpoint
    hit_tokens: int = 0
    prefill_tokens: int = 0
    kv_tokens: int = 0
    output_tokens: int = 0
    prompt_tokens: int = -1  # as the engine told; -1 until it does
    cached_tokens: int = -1  # of them, as the engine told
    slots: EngineSlots | None = None  # of its engine, where it takes one of them
    slot: int = -1  # which; -1: the engine chooses
    left_tokens: int = 0  # of the prompt, that another endpoint computes for this one
    transfer_began: float = 0.0  # since when its cache comes from there; 0.0: it does not
    prefill_ahead: int = 0  # pending there when this was opened, without its own
    prefilled_before: int = 0  # the endpoint's running total when the answer began
    batch_before: int = 0  # requests that ran there when the answer began, itself included
    kv_before: int = 0
    progress: Progress | None = None  # who counts the answer's tokens while they come

    def __init__(self, endpoint: Endpoint, policy: Observer, request: Request, now: float) -> None:
        self.endpoint: Endpoint = endpoint
        self.policy: Observer = policy
        self.request: Request = request
        self.opened_at: float = now
        self.first_byte_at: float = 0.0
        self.settled_at: float = 0.0
        self.outcome: int = -1
        self.status: int = 0  # HTTP status of the response, 0 if none came
        self.load: int = 0  # of the endpoint when this was opened, itself included; if observed
        endpoint.acquire()
        if policy.observes:
            self.load = endpoint.load()
            try:
                policy.on_start(self)
            except Exception:
                endpoint.release()  # there will be no ticket to settle
                raise
        # Answers of language models that are not streamed take as long as they are.
        if endpoint.times_silence and request.streams:
            self.awaits = True
            endpoint.owes(now)

    def enters(self, now: float) -> bool:
        """Whether its endpoint, which is guarded, takes the attempt; one that it does not take is
        to be settled as ABANDONED."""
        endpoint = self.endpoint
        if endpoint.is_overfull():
            return False
        breaker = endpoint.breaker
        if breaker is not None:
            if not breaker.allows(now):
                return False
            self.breaker = breaker
            self.breaker_epoch = breaker.epoch
        return True

    def first_byte(self, now: float) -> None:
        """The first byte of the response came."""
        self.first_byte_at = now
        endpoint = self.endpoint
        if endpoint.times_silence:
            endpoint.heard(now)
        if self.awaits and self.request.prompt_tokens == 0:
            # What follows may come at any time; of a language model, tokens follow.
            self.awaits = False
            endpoint.owes_no_more(False, now)
        if self.policy.observes:
            self.policy.on_first_byte(self)

    def hold(self, now: float) -> None:
        """The endpoint is kept from sending more: it owes nothing meanwhile."""
        if self.awaits:
            self.awaits = False
            self.held = True
            self.endpoint.owes_no_more(False, now)

    def go_on(self, now: float) -> None:
        """It may send again."""
        if self.held:
            self.held = False
            self.awaits = True
            self.endpoint.owes(now)

    def tokens_left(self) -> int:
        """How many of its answer are to be expected yet; at least one."""
        progress = self.progress
        so_far = progress.tokens() if progress is not None else 0
        outlook = self.request.outlook
        whole = self.request.output_tokens if outlook is None else outlook.length(so_far)
        return max(whole - so_far, 1)

    def settle(self, outcome: int, now: float) -> None:
        """The attempt ended. Raises RuntimeError when settled twice: that is a bug.

        Whatever raises (a user's policy may), endpoint, engine slot, policy and circuit breaker
        are each told once: else load would stay for ever, or a trial of an open circuit.
        """
        if self.outcome >= 0:
            raise RuntimeError(f"ticket on {self.endpoint.name} settled twice")
        self.outcome = outcome
        self.settled_at = now
        try:
            self._free(outcome, now)
        finally:
            try:
                if self.policy.observes:
                    self.policy.on_end(self)
            finally:
                self._tell_endpoint(outcome, now)

    def settle_once(self, outcome: int, now: float) -> None:
        """Likewise, unless it was: whoever gives up need not know."""
        if self.outcome < 0:
            self.settle(outcome, now)

    def _free(self, outcome: int, now: float) -> None:
        """Its load is gone, and so is what it was owed."""
        endpoint = self.endpoint
        try:
            endpoint.release()
            if outcome == DONE and endpoint.times_silence:
                endpoint.heard(now)
            if self.awaits:
                endpoint.owes_no_more(outcome in GAVE_UP, now)
        finally:
            if self.slots is not None:
                self.slots.free(self.slot, outcome == DONE)

    def _tell_endpoint(self, outcome: int, now: float) -> None:
        endpoint = self.endpoint
        try:
            self.excused = endpoint.settled(
                outcome, self.status, self.opened_at, self.first_byte_at, now
            )
            prompt = self.prompt_tokens
            if self.cached_tokens >= 0 and self.kv_tokens > 0 and prompt > 0:
                # What was predicted, in the engine's own tokens.
                predicted = int(prompt * self.hit_tokens / self.kv_tokens)
                endpoint.told_cached(prompt, predicted, min(self.cached_tokens, prompt))
        finally:
            breaker = self.breaker
            if breaker is not None:
                blamed = self.failed and not self.excused
                endpoint.told_breaker(breaker, self.breaker_epoch, blamed, outcome == DONE, now)

    @property
    def failed(self) -> bool:
        """Whether the endpoint is to blame: no whole response, or one that tells of a fault."""
        return CONNECT_FAILED <= self.outcome <= TIMEOUT or is_fault(self.status)
