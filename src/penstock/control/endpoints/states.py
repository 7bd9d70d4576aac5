"""The state of every endpoint: the one writer of the board's state cells.

Health checks, agents, outlier detection and operators say here what they found or want; every
change is written to the board, logged with its reason, and remembered for status.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import inf
from time import monotonic, time
from typing import Final

from penstock.admin.view import UnknownNameError
from penstock.control.endpoints.agent_state import AgentState
from penstock.control.endpoints.cause import Cause
from penstock.control.events import Events
from penstock.control.world.rows import EndpointKey
from penstock.core.endpoint import DOWN, STARTING, UP
from penstock.core.health.health import STATE_NAMES
from penstock.core.health.slow_start import SlowStart
from penstock.core.snapshot import Drain, Endpoint, Pool
from penstock.core.snapshot import SlowStart as SlowStartSettings
from penstock.dataplane.board.layout import (
    H_EPOCH,
    S_DRAINING,
    S_EJECTED,
    S_EXACT,
    S_HEALTH,
    S_KEEPS_CLIENTS,
    S_MAX_IN_FLIGHT,
    S_PREFIX_DOUBT_PPM,
    S_WEIGHT_PPM,
    Board,
)
from penstock.wire.agent_check import AgentAnswer

_PPM: Final = 1_000_000
MAX_WEIGHT: Final = 1_000_000.0  # the sum over a pool must stay exact in a float
NOT_CHECKED: Final = "no health check is configured"
NOT_CHECKED_YET: Final = "not checked yet"
_CONFIGURED: Final = "as configured"


@dataclass
class EndpointState:
    """What the balancer thinks of one endpoint. Only ``EndpointStates`` changes it."""

    pool: str
    name: str
    row: int
    configured_weight: float
    weight: float  # configured, or set at run time
    slow_start: SlowStartSettings
    ramp: SlowStart
    health: int
    health_cause: Cause
    weight_cause: Cause
    drain: Drain = field(default_factory=Drain)
    agent: AgentState = field(default_factory=AgentState)
    no_address: Cause | None = None  # its name cannot be looked up
    draining: Cause | None = None  # by an operator
    ejected: Cause | None = None
    ejections: int = 0
    prefix_doubt: float = 0.0  # share of predicted prefix hits that is not believed
    exact_slot: int = -1  # in the exact prefix index; -1 while its cache is not known exactly
    written: tuple[int, ...] = field(default=())

    @property
    def is_draining(self) -> bool:
        """Whether an operator or its agent lets it have no further requests."""
        return self.draining is not None or self.agent.set_aside is not None

    @property
    def is_down(self) -> bool:
        """Whether active checks or its agent say so, or nothing can be connected to."""
        return self.health == DOWN or self.agent.down is not None or self.no_address is not None

    @property
    def in_service(self) -> bool:
        """Whether it would be picked, were its configured weight above 0: slow start begins when
        it comes to be."""
        if self.is_draining or self.is_down or self.ejected is not None:
            return False
        return self.agent.weightless is None

    @property
    def shown(self) -> str:
        """One word: what keeps it from being picked, or else its health."""
        return self._standing()[0]

    @property
    def cause(self) -> Cause:
        """Why ``shown`` is what it is."""
        return self._standing()[1]

    def _standing(self) -> tuple[str, Cause]:
        agent = self.agent
        if self.draining is not None:
            return "draining", self.draining
        if agent.set_aside is not None:
            return "maintenance" if agent.maintenance else "draining", agent.set_aside
        if self.no_address is not None:
            return "down", self.no_address
        if self.health == DOWN:
            return "down", self.health_cause
        if agent.down is not None:
            return "down", agent.down
        if self.ejected is not None:
            return "ejected", self.ejected
        if self.weight == 0.0:
            return "weightless", self.weight_cause
        if agent.weightless is not None:
            return "weightless", agent.weightless
        return STATE_NAMES[self.health], self.health_cause

    @property
    def clients_stay_until(self) -> float:
        """Until when clients that are bound to it stay though it gets no others, in Unix time:
        ``inf`` without a deadline, 0 where it does get others, or they move at once."""
        agent = self.agent
        if self.drain.sticky != "stay" or agent.maintenance:
            return 0.0
        causes = [self.draining, agent.set_aside, agent.weightless]
        if self.weight == 0.0:
            causes.append(self.weight_cause)
        since = [cause.since for cause in causes if cause is not None]
        if not since:
            return 0.0
        deadline_s = self.drain.deadline_s
        return min(since) + deadline_s if deadline_s > 0.0 else inf

    @property
    def exact(self) -> bool:
        """Whether what its KV events tell of prefixes is believed."""
        return self.exact_slot >= 0 and self.prefix_doubt == 0.0

    @property
    def available(self) -> bool:
        """Whether it may be picked (``core.eligible.is_available``)."""
        return self.shown in ("starting", "up")


class EndpointStates:
    """By pool and name; endpoints that stay over a reload keep their state."""

    def __init__(
        self,
        board: Board,
        events: Events,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        self._board = board
        self._events = events
        self._clock = clock
        self._wall_clock = wall_clock
        self._states: dict[EndpointKey, EndpointState] = {}
        self._running = False  # a world was adopted before
        self.on_return: Callable[[str, str], None] = _nobody  # an ejected endpoint is let in again
        self.on_leave: Callable[[str, str], None] = _nobody  # it went down or was ejected

    def prepare(self, pools: Iterable[Pool]) -> None:
        """Give endpoints that are not known yet a state, before any worker hears of them."""
        for pool in pools:
            for endpoint in pool.endpoints:
                if (pool.name, endpoint.name) not in self._states:
                    state = self._first_state(pool, endpoint)
                    self._states[pool.name, endpoint.name] = state
                    self._write(state)

    def adopt(self, pools: Iterable[Pool]) -> None:
        """This is the world that runs: take over weights, forget endpoints that are not in it.

        A weight set at run time holds until the configured one changes.
        """
        present: set[EndpointKey] = set()
        for pool in pools:
            for endpoint in pool.endpoints:
                key = (pool.name, endpoint.name)
                present.add(key)
                self._reconfigure(self._states[key], pool, endpoint)
        for key in [key for key in self._states if key not in present]:
            del self._states[key]
        self._running = True

    def of(self, pool: str, name: str) -> EndpointState:
        """The state of an endpoint. Raises UnknownNameError, naming a close match."""
        state = self._states.get((pool, name))
        if state is not None:
            return state
        pools = sorted({known for known, _ in self._states})
        if pool not in pools:
            raise UnknownNameError(f"no pool is called {pool!r}{_hint(pool, pools)}")
        names = [known for its_pool, known in self._states if its_pool == pool]
        raise UnknownNameError(f"pool {pool!r} has no endpoint called {name!r}{_hint(name, names)}")

    def all(self) -> list[EndpointState]:
        """Every endpoint's."""
        return list(self._states.values())

    def set_health(self, pool: str, name: str, health: int, reason: str) -> None:
        """A verdict of active checks. Raises UnknownNameError."""
        state = self.of(pool, name)
        if state.health == health:
            return
        state.health = health
        state.health_cause = Cause(reason, self._wall_clock())
        self._write(state)
        word = STATE_NAMES[health]
        level = self._events.warning if health == DOWN else self._events.info
        level(f"endpoint.{word}", f"endpoint {pool}/{name} is {word}: {reason}", **_of(state))
        if health == DOWN:
            self.on_leave(pool, name)

    def eject(self, pool: str, name: str, reason: str) -> None:
        """Outlier detection takes it out. Raises UnknownNameError."""
        state = self.of(pool, name)
        state.ejected = Cause(reason, self._wall_clock())
        state.ejections += 1
        self._write(state)
        text = f"endpoint {pool}/{name} is ejected: {reason}"
        self._events.warning("endpoint.ejected", text, **_of(state))
        self.on_leave(pool, name)

    def readmit(self, pool: str, name: str, reason: str) -> None:
        """Outlier detection lets it in again. Raises UnknownNameError."""
        state = self.of(pool, name)
        if state.ejected is None:
            return
        state.ejected = None
        self._write(state)
        self.on_return(pool, name)
        text = f"endpoint {pool}/{name} is no longer ejected: {reason}"
        self._events.info("endpoint.readmitted", text, **_of(state))

    def drain(self, pool: str, name: str, reason: str) -> None:
        """No further requests; running ones finish. Raises UnknownNameError."""
        state = self.of(pool, name)
        if state.draining is not None:
            return
        state.draining = Cause(reason, self._wall_clock())
        self._write(state)
        text = f"endpoint {pool}/{name} is draining: {reason}"
        self._events.info("endpoint.draining", text, **_of(state))

    def undrain(self, pool: str, name: str, reason: str) -> None:
        """Requests again, by slow start if the pool has one. Raises UnknownNameError."""
        state = self.of(pool, name)
        if state.draining is None:
            return
        state.draining = None
        self._write(state)
        text = f"endpoint {pool}/{name} is no longer draining: {reason}"
        self._events.info("endpoint.undrained", text, **_of(state))

    def set_weight(self, pool: str, name: str, weight: float, reason: str) -> None:
        """Weigh it so until the configured weight changes or the balancer restarts.

        Raises UnknownNameError, and ValueError for a weight that is none.
        """
        if not 0.0 <= weight <= MAX_WEIGHT:
            raise ValueError(f"a weight is a number from 0 to {MAX_WEIGHT:g}, not {weight:g}")
        state = self.of(pool, name)
        before, state.weight = state.weight, weight
        state.weight_cause = Cause(reason, self._wall_clock())
        self._write(state)
        text = f"endpoint {pool}/{name}: weight changed from {before:g} to {weight:g}: {reason}"
        self._events.info("endpoint.weight", text, **_of(state))

    def agent_says(self, pool: str, name: str, answer: AgentAnswer) -> None:
        """The agent beside it gave that answer. Raises UnknownNameError."""
        state = self.of(pool, name)
        was = state.agent.word
        state.agent.take(answer, self._wall_clock())
        self._write(state)
        word = state.agent.word
        if word == was:
            return
        level = self._events.warning if word == "down" else self._events.info
        text = f"endpoint {pool}/{name} is {word or f'no longer {was}'}: its agent says: "
        level("endpoint.agent", text + answer.shown, **_of(state))

    def doubt_prefixes(self, pool: str, name: str, doubt: float, reason: str) -> None:
        """That share of its predicted prefix hits does not come true. Raises UnknownNameError."""
        state = self.of(pool, name)
        before, state.prefix_doubt = state.prefix_doubt, doubt
        self._write(state)
        if doubt > 0.0 and before == 0.0:
            text = f"endpoint {pool}/{name}: fewer prefix hits than predicted: {reason}"
            if state.exact_slot >= 0:
                text += "; its KV events are ignored meanwhile"
            self._events.warning("prefix.parted", text, **_of(state))
        elif doubt == 0.0 and before > 0.0:
            text = f"endpoint {pool}/{name}: prefix hits match the predictions again: {reason}"
            self._events.info("prefix.agrees", text, **_of(state))

    def know_prefixes(self, pool: str, name: str, slot: int) -> None:
        """Its cache is known exactly, in that slot; -1: not any more. Raises UnknownNameError."""
        state = self.of(pool, name)
        state.exact_slot = slot
        self._write(state)

    def ramp(self) -> None:
        """Move the weights of endpoints in slow start on, and send away clients whose time on an
        endpoint that drains is over; to be called every half second or so."""
        for state in self._states.values():
            if state.slow_start.window_s or state.drain.deadline_s:
                self._write(state)

    def effective_weight(self, state: EndpointState) -> float:
        """The weight that policies see."""
        share = state.agent.share * state.ramp.share(self._clock())
        return min(state.weight * share, MAX_WEIGHT)

    def _first_state(self, pool: Pool, endpoint: Endpoint) -> EndpointState:
        check = pool.health_check
        if check is None:
            health, reason = UP, NOT_CHECKED
        else:
            health = STARTING if check.initial == "up" else DOWN
            reason = NOT_CHECKED_YET
        state = EndpointState(
            pool=pool.name,
            name=endpoint.name,
            row=endpoint.row,
            configured_weight=endpoint.weight,
            weight=endpoint.weight,
            slow_start=pool.slow_start,
            drain=pool.drain,
            # At the very start all are equally new.
            ramp=SlowStart(pool.slow_start, in_service=not self._running),
            health=health,
            health_cause=Cause(reason, self._wall_clock()),
            weight_cause=Cause(_CONFIGURED, self._wall_clock()),
        )
        self._take_address(state, endpoint)
        return state

    def _reconfigure(self, state: EndpointState, pool: Pool, endpoint: Endpoint) -> None:
        if state.configured_weight != endpoint.weight:
            state.configured_weight = state.weight = endpoint.weight
            state.weight_cause = Cause(_CONFIGURED, self._wall_clock())
        if state.slow_start != pool.slow_start:
            state.slow_start = pool.slow_start
            state.ramp = SlowStart(pool.slow_start, state.in_service)
        state.drain = pool.drain
        if pool.agent_check is None:
            state.agent = AgentState()
        self._take_address(state, endpoint)
        checked = pool.health_check is not None
        if checked == (state.health_cause.reason == NOT_CHECKED):  # checks came or went
            state.health = STARTING if checked else UP
            reason = NOT_CHECKED_YET if checked else NOT_CHECKED
            state.health_cause = Cause(reason, self._wall_clock())
        self._write(state)

    def _take_address(self, state: EndpointState, endpoint: Endpoint) -> None:
        before = state.no_address.reason if state.no_address is not None else ""
        if endpoint.no_address != before:
            reason = endpoint.no_address
            state.no_address = Cause(reason, self._wall_clock()) if reason else None

    def _write(self, state: EndpointState) -> None:
        """Bring the board up to date, and tell the workers by the epoch if anything changed."""
        state.ramp.follow(state.in_service, self._clock())
        wanted = (
            DOWN if state.is_down else state.health,
            int(state.is_draining),
            int(state.ejected is not None),
            round(self.effective_weight(state) * _PPM),
            round(state.prefix_doubt * _PPM),
            state.exact_slot + 1 if state.exact else 0,
            state.agent.max_in_flight + 1,
            int(self._wall_clock() < state.clients_stay_until),
        )
        if wanted == state.written:
            return
        state.written = wanted
        cells = self._board.cells
        at = self._board.state(state.row)
        cells[at + S_HEALTH] = wanted[0]
        cells[at + S_DRAINING] = wanted[1]
        cells[at + S_EJECTED] = wanted[2]
        cells[at + S_WEIGHT_PPM] = wanted[3]
        cells[at + S_PREFIX_DOUBT_PPM] = wanted[4]
        cells[at + S_EXACT] = wanted[5]
        cells[at + S_MAX_IN_FLIGHT] = wanted[6]
        cells[at + S_KEEPS_CLIENTS] = wanted[7]
        cells[H_EPOCH] += 1


def _of(state: EndpointState) -> dict[str, str]:
    return {"pool": state.pool, "endpoint": state.name}


def _hint(given: str, known: list[str]) -> str:
    close = get_close_matches(given, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(known[:10])}" if known else ""


def _nobody(pool: str, name: str) -> None:
    """Wants to know."""
