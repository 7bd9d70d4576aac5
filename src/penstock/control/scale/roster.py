"""Who there is of a pool that is scaled: what its actuator knows, told to the pool as endpoints and
to the planner as members."""

from penstock.control.discovery.membership import Membership
from penstock.control.discovery.source import SCALER, Place, Source, place_of
from penstock.control.endpoints.states import EndpointStates
from penstock.control.scale.actuator import Actuator, Unit
from penstock.control.scale.departures import Departures
from penstock.control.scale.pool_members import endpoints_of, member_state
from penstock.control.scale.replacing import Replacing
from penstock.core.scale.members import DRAINING, STARTING, Member
from penstock.core.snapshot import Endpoint, Pool
from penstock.dataplane.board.layout import R_CACHED
from penstock.dataplane.board.memory import Board


class Roster:
    """Of one pool."""

    def __init__(
        self,
        actuator: Actuator,
        board: Board,
        states: EndpointStates,
        membership: Membership,
        departures: Departures,
    ) -> None:
        self.replacing = Replacing()
        self._actuator = actuator
        self._board = board
        self._states = states
        self._membership = membership
        self._departures = departures
        self._source = SCALER
        self._published: set[Place] = set()  # where those are that are ready
        self._placed: set[Place] = set()  # and those that the snapshot may still have

    def take_over(self, before: "Roster") -> None:
        """Go on with what another told."""
        self._published = before._published
        self._placed = before._placed
        self.replacing = before.replacing

    # --- told to the pool -------------------------------------------------------------------

    def publish(self, pool: str) -> None:
        """Those that are ready are endpoints of it. Raises TooManyError."""
        left = self._departures.left
        endpoints = [
            unit.endpoint
            for unit in self._actuator.units()
            if unit.endpoint is not None and unit.state == "ready" and unit.name not in left
        ]
        self._published = {place_of(each) for each in endpoints}
        self._placed |= self._published
        self._membership.set(self._source, pool, endpoints)

    def told(self, pool: str) -> tuple[Endpoint, ...]:
        """What it was told last."""
        return self._membership.told(self._source, pool)

    def withdraw(self, pool: str) -> None:
        """None of them is ours any more."""
        self._membership.set(SCALER, pool, [])

    def step_aside(self, order: int) -> None:
        """Another scales the pool from now on: name what is left apart from that one's."""
        if self._source != SCALER:
            return
        pool = self._actuator.pool
        self._source = Source(SCALER.rank, order, f"{SCALER.name} ({self._actuator.name})")
        told = self._membership.told(SCALER, pool)
        mine = [each for each in told if place_of(each) in self._published]
        if mine:
            self._membership.set(self._source, pool, mine)
            others = [each for each in told if place_of(each) not in self._published]
            self._membership.set(SCALER, pool, others)

    def step_back(self) -> None:
        """What was named apart is named with the others again."""
        if self._source != SCALER:
            pool = self._actuator.pool
            told = self._membership.told(self._source, pool)
            also = self._membership.told(SCALER, pool)
            self._membership.set(SCALER, pool, (*also, *told))
            self._membership.set(self._source, pool, ())

    # --- told to the planner ----------------------------------------------------------------

    def members(self, pool: Pool) -> list[Member]:
        """Units, and endpoints that nobody's actuator started."""
        running = {place_of(each): each for each in pool.endpoints}
        by_host: dict[str, list[Endpoint]] = {}
        for each in pool.endpoints:
            by_host.setdefault(each.host, []).append(each)
        members = []
        for unit in self._actuator.units():
            if unit.state == "stopping" or unit.name in self._departures.left:
                continue
            if self.replacing.hides(unit.name):
                continue
            host = unit.endpoint.host if unit.endpoint is not None else unit.host
            found = endpoints_of(unit, by_host.get(host, ()))
            for each in found:
                del running[place_of(each)]
            members.append(self._of_unit(pool, unit, found))
        # Those of ours without a unit are gone, and the snapshot does not know it yet.
        members += [
            self._of_fixed(pool, each)
            for each in running.values()
            if place_of(each) not in self._placed
            and self._membership.source_of(pool.name, each).rank != SCALER.rank
        ]
        self._placed &= {place_of(each) for each in pool.endpoints} | self._published
        return members

    def _of_unit(self, pool: Pool, unit: Unit, found: list[Endpoint]) -> Member:
        state, streams, cached = STARTING, 0, 0
        if found:
            self._departures.put_back(pool, unit, found)
            state = min(member_state(self._states.of(pool.name, each.name), pool) for each in found)
            loads = [self._load(each) for each in found]
            streams, cached = sum(load[0] for load in loads), sum(load[1] for load in loads)
        if unit.name in self._departures.draining:
            state = DRAINING
        return Member(
            unit.name,
            state,
            since=unit.since,
            streams=streams,
            cached_tokens=cached,
            removable=unit.removable,
            turn=unit.turn,
        )

    def _of_fixed(self, pool: Pool, endpoint: Endpoint) -> Member:
        state = member_state(self._states.of(pool.name, endpoint.name), pool)
        streams, cached = self._load(endpoint)
        removable = not self._actuator.acts  # whoever obeys the metric chooses for itself
        return Member(
            endpoint.name, state, streams=streams, cached_tokens=cached, removable=removable
        )

    def _load(self, endpoint: Endpoint) -> tuple[int, int]:
        """Requests in flight there, and what its cache holds as far as is known."""
        board = self._board
        cached = board.cells[board.report(endpoint.row) + R_CACHED] - 1
        return max(board.in_flight(endpoint.row), 0), max(cached, 0)
