"""The states of all endpoints, and what changes them.

Health checks, agents, outlier detection and operators report here; every change is written to the
board, logged with its reason, and remembered for status.
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from time import monotonic, time
from typing import Final

from penstock.admin.view import UnknownNameError
from penstock.control.endpoint_key import EndpointKey
from penstock.control.endpoints.agent_state import AgentState
from penstock.control.endpoints.cause import Cause
from penstock.control.endpoints.known_state import KnownState, known, restore
from penstock.control.endpoints.state import EndpointState
from penstock.control.endpoints.state_cells import StateCells
from penstock.control.events import Events
from penstock.core.health.health import DOWN, STARTING, STATE_NAMES, UP
from penstock.core.health.slow_start import SlowStart
from penstock.core.snapshot import Endpoint, Pool
from penstock.core.snapshot.changes import EndpointChanges
from penstock.dataplane.board.memory import Board
from penstock.wire.agent_check import AgentAnswer

MAX_WEIGHT: Final = 1_000_000.0  # the sum over a pool must stay exact in a float
NOT_CHECKED: Final = "no health check is configured"
NOT_CHECKED_YET: Final = "not checked yet"
_CONFIGURED: Final = "as configured"


class EndpointStates:
    """States by pool and name; endpoints that stay over a reload keep theirs."""

    def __init__(
        self,
        board: Board,
        events: Events,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        self._cells = StateCells(board)
        self._events = events
        self._clock = clock
        self._wall_clock = wall_clock
        self._states: dict[EndpointKey, EndpointState] = {}
        self._running = False  # a world was configured before
        self._configured: dict[EndpointKey, Endpoint] = {}  # of the snapshot that runs
        self._settings: dict[str, tuple[object, ...]] = {}  # what of its pools concerns states
        self._inherited: dict[EndpointKey, KnownState] = {}  # of endpoints that are not there yet
        self.on_return: Callable[[str, str], None] = _nobody  # an ejected endpoint is let in again
        self.on_leave: Callable[[str, str], None] = _nobody  # it went down or was ejected

    def add_new(self, pools: Iterable[Pool]) -> None:
        """Give new endpoints a state, before any worker hears of them."""
        for pool in pools:
            for endpoint in pool.endpoints:
                if (pool.name, endpoint.name) not in self._states:
                    state = self._first_state(pool, endpoint)
                    self._states[pool.name, endpoint.name] = state
                    self._write(state)

    def configure(self, pools: Iterable[Pool]) -> None:
        """Take over weights from the running snapshot, and forget endpoints that are not in it.

        A weight set at run time holds until the configured one changes.
        """
        before, self._configured = self._configured, {}
        settings_before, self._settings = self._settings, {}
        for pool in pools:
            settings = (pool.slow_start, pool.drain, not pool.agent_check, not pool.health_check)
            self._settings[pool.name] = settings
            same = settings_before.get(pool.name) == settings
            for endpoint in pool.endpoints:
                key = (pool.name, endpoint.name)
                self._configured[key] = endpoint
                # Of thousands, few are others than in the snapshot before.
                if not same or before.get(key) is not endpoint:
                    self._reconfigure(self._states[key], pool, endpoint)
        for key in self._states.keys() - self._configured.keys():
            del self._states[key]
        self._running = True

    def change(self, pools: Iterable[Pool], changes: EndpointChanges) -> None:
        """The running snapshot is another by these changes: as ``configure``, and cheaper."""
        by_name = {pool.name: pool for pool in pools}
        for change in changes.pools:
            pool = by_name[change.pool]
            for name in change.removed:
                self._states.pop((pool.name, name), None)
                self._configured.pop((pool.name, name), None)
            for _, endpoint in change.placed:
                key = (pool.name, endpoint.name)
                self._configured[key] = endpoint
                self._reconfigure(self._states[key], pool, endpoint)

    def known(self) -> list[KnownState]:
        """What is known of every endpoint, for a successor's ``restore``."""
        return [known(state) for state in self._states.values()]

    def restore(self, found: Iterable[KnownState]) -> None:
        """Go on from what a predecessor knew, also of endpoints that are yet to come."""
        for each in found:
            key = (each.pool, each.name)
            state = self._states.get(key)
            if state is None:
                self._inherited[key] = each
            else:
                restore(state, each, NOT_CHECKED)
                self._write(state)

    def leave_alone(self, rows: Iterable[int]) -> None:
        """Another supervisor writes these rows of the board, until ``write_all``."""
        self._cells.left_alone = frozenset(rows)

    def write_all(self) -> None:
        """The board is ours: have it say what we know."""
        self._cells.left_alone = None
        for state in self._states.values():
            state.written = ()
            self._write(state)

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
        """Active checks found that health. Raises UnknownNameError."""
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
        """Outlier detection ejects it. Raises UnknownNameError."""
        state = self.of(pool, name)
        state.ejected = Cause(reason, self._wall_clock())
        state.ejections += 1
        self._write(state)
        text = f"endpoint {pool}/{name} is ejected: {reason}"
        self._events.warning("endpoint.ejected", text, **_of(state))
        self.on_leave(pool, name)

    def readmit(self, pool: str, name: str, reason: str) -> None:
        """Outlier detection readmits it. Raises UnknownNameError."""
        state = self.of(pool, name)
        if state.ejected is None:
            return
        state.ejected = None
        self._write(state)
        self.on_return(pool, name)
        text = f"endpoint {pool}/{name} is no longer ejected: {reason}"
        self._events.info("endpoint.readmitted", text, **_of(state))

    def drain(self, pool: str, name: str, reason: str) -> None:
        """Send it no further requests; running ones finish. Raises UnknownNameError."""
        state = self.of(pool, name)
        if state.draining is not None:
            return
        state.draining = Cause(reason, self._wall_clock())
        self._write(state)
        text = f"endpoint {pool}/{name} is draining: {reason}"
        self._events.info("endpoint.draining", text, **_of(state))

    def undrain(self, pool: str, name: str, reason: str) -> None:
        """Send it requests again, with slow start if configured. Raises UnknownNameError."""
        state = self.of(pool, name)
        if state.draining is None:
            return
        state.draining = None
        self._write(state)
        text = f"endpoint {pool}/{name} is no longer draining: {reason}"
        self._events.info("endpoint.undrained", text, **_of(state))

    def set_weight(self, pool: str, name: str, weight: float, reason: str) -> None:
        """Set its weight until the configured weight changes or the balancer restarts.

        Raises UnknownNameError, and ValueError for an impossible weight.
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
        """Its agent gave that answer. Raises UnknownNameError."""
        state = self.of(pool, name)
        was = state.agent.word
        state.agent.apply(answer, self._wall_clock())
        self._write(state)
        word = state.agent.word
        if word == was:
            return
        level = self._events.warning if word == "down" else self._events.info
        text = f"endpoint {pool}/{name} is {word or f'no longer {was}'}: its agent says: "
        level("endpoint.agent", text + answer.shown, **_of(state))

    def distrust_hits(self, pool: str, name: str, distrust: float, reason: str) -> None:
        """Ignore that share of its predicted prefix hits. Raises UnknownNameError."""
        state = self.of(pool, name)
        before, state.hit_distrust = state.hit_distrust, distrust
        self._write(state)
        if distrust > 0.0 and before == 0.0:
            text = f"endpoint {pool}/{name}: fewer prefix hits than predicted: {reason}"
            if state.exact_slot >= 0:
                text += "; its KV events are ignored meanwhile"
            self._events.warning("prefix.parted", text, **_of(state))
        elif distrust == 0.0 and before > 0.0:
            text = f"endpoint {pool}/{name}: prefix hits match the predictions again: {reason}"
            self._events.info("prefix.agrees", text, **_of(state))

    def know_prefixes(self, pool: str, name: str, slot: int) -> None:
        """Its cache is known exactly, in that slot; -1: no longer. Raises UnknownNameError."""
        state = self.of(pool, name)
        state.exact_slot = slot
        self._write(state)

    def ramp(self) -> None:
        """Advance slow start, and move clients whose time on a draining endpoint is over.

        To be called every half second or so.
        """
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
        self._apply_address(state, endpoint)
        inherited = self._inherited.pop((pool.name, endpoint.name), None)
        if inherited is not None:
            restore(state, inherited, NOT_CHECKED)
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
        self._apply_address(state, endpoint)
        checked = pool.health_check is not None
        if checked == (state.health_cause.reason == NOT_CHECKED):  # checks came or went
            state.health = STARTING if checked else UP
            reason = NOT_CHECKED_YET if checked else NOT_CHECKED
            state.health_cause = Cause(reason, self._wall_clock())
        self._write(state)

    def _apply_address(self, state: EndpointState, endpoint: Endpoint) -> None:
        before = state.no_address.reason if state.no_address is not None else ""
        if endpoint.no_address != before:
            reason = endpoint.no_address
            state.no_address = Cause(reason, self._wall_clock()) if reason else None

    def _write(self, state: EndpointState) -> None:
        """Bring slow start and the board up to date."""
        state.ramp.follow(state.in_service, self._clock())
        self._cells.write(state, self.effective_weight(state), self._wall_clock())


def _of(state: EndpointState) -> dict[str, str]:
    return {"pool": state.pool, "endpoint": state.name}


def _hint(given: str, known: list[str]) -> str:
    close = get_close_matches(given, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(known[:10])}" if known else ""


def _nobody(pool: str, name: str) -> None:
    """Wants to know."""
