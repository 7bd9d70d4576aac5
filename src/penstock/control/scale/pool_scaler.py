"""One pool that is scaled: what is seen goes to the planner, and what it says is done.

An endpoint that is to go is drained first, then waited for until it has nothing left, then taken
out of the pool, and only then stopped by its actuator.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from penstock.admin.view import ScaleView
from penstock.control.discovery.membership import Membership, TooManyError
from penstock.control.discovery.source import SCALER, Place, Source, place_of
from penstock.control.elsewhere import Elsewhere
from penstock.control.endpoints.state import EndpointState
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.scale.actuator import Actuator, ActuatorError, AdoptedError, Unit
from penstock.control.scale.foreseen import ForeseenDemand
from penstock.control.scale.known_scaler import KnownScaler
from penstock.control.scale.pool_members import endpoints_of, member_state
from penstock.control.scale.replacing import Replacing
from penstock.control.scale.sampling import Sample, Sampler
from penstock.core.scale.demand import Demand
from penstock.core.scale.members import DRAINING, SERVING, STARTING, Member
from penstock.core.scale.planner import Decision, Planner
from penstock.core.scale.regret import Regret
from penstock.core.snapshot import Endpoint, Pool
from penstock.dataplane.board.layout import R_CACHED
from penstock.dataplane.board.memory import Board

_BACK_OFF_S: Final = 5.0  # after a start that failed; doubled with each in a row
_LONGEST_BACK_OFF_S: Final = 300.0
_ELSEWHERE: Final = "another balancer that shares the store scales it"
_REASON: Final = "the pool is scaled down"


class PoolScaler:
    """``look`` it every few seconds."""

    def __init__(
        self,
        planner: Planner,
        foreseen: ForeseenDemand,
        actuator: Actuator,
        board: Board,
        states: EndpointStates,
        membership: Membership,
        events: Events,
        acknowledged: Callable[[Endpoint], bool],
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """``acknowledged``: no worker knows an endpoint at that address any more."""
        self.planner = planner
        self.foreseen = foreseen
        self.actuator = actuator
        self.leaving = False  # it is scaled no more: everything that it started goes
        self.heir: PoolScaler | None = None  # until whose endpoints serve those that leave stay
        self._source = SCALER
        self._replacing = Replacing()
        self._inherits_outdated = False
        self._board = board
        self._states = states
        self._membership = membership
        self._events = events
        self._acknowledged = acknowledged
        self._elsewhere = elsewhere or Elsewhere()
        self._sampler = Sampler(board, self._elsewhere)
        self._draining: dict[str, float] = {}  # since when, of those that are to be stopped
        self._left: dict[str, Endpoint] = {}  # out of the pool, and not stopped yet
        self._inherited: KnownScaler | None = None  # until it is known who is there
        self._told_ready: set[str] = set()
        self._published: set[Place] = set()  # where those are that are ready
        self._placed: set[Place] = set()  # and those that the snapshot may still have
        self._decision: Decision | None = None
        self._regret: Regret | None = None
        self._knows = False  # what there is
        self._problem = ""  # until one is ready
        self._blind = ""  # until the actuator knows again what there is
        self._stuck = ""  # until somebody can be stopped
        self._failures = 0
        self._start_after = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether it has nothing left that it started."""
        return not self.actuator.owns or not self.actuator.units()

    async def look(self, pool: Pool, now: float, local_s: float) -> None:
        """See, decide, act."""
        try:
            await self.actuator.look()
            self._knows = True
            self._blind = ""
        except ActuatorError as error:
            self._blind = self._told(str(error), self._blind)
        self._go_on_from_predecessor()
        self._note_units(now)
        self._publish(pool.name)
        sample = self._sampler.look(pool, now, local_s)
        self._learn(sample, pool)
        members = self._members(pool)
        decision = self._decide(sample, members)
        self._remember(decision, members, sample, now)
        if self._acts and (self._knows or self.actuator.owns):
            await self._act(decision, pool, now)
        else:
            self.planner.undone(decision)
        if self._acts:
            self._tell_others(pool)
        await self._go_on_draining(pool, now)

    def _tell_others(self, pool: Pool) -> None:
        draining = [place_of(e) for name in self._draining for e in self._running(pool, name)]
        started = self._membership.told(self._source, pool.name) if self.actuator.owns else None
        self._elsewhere.tell(pool.name, started, draining)

    @property
    def serves_what_it_wants(self) -> bool:
        """Whether another scaler's endpoints are not needed beside its own."""
        decision = self._decision
        if decision is None or not self._acts:
            return not self._acts
        ready = [each for each in self.actuator.units() if each.state == "ready"]
        return sum(each.name not in self._draining for each in ready) >= decision.desired

    def step_aside(self, order: int) -> None:
        """Another scales the pool from now on: name what is left apart from that one's."""
        if self._source != SCALER:
            return
        pool = self.actuator.pool
        self._source = Source(SCALER.rank, order, f"{SCALER.name} ({self.actuator.name})")
        told = self._membership.told(SCALER, pool)
        mine = [each for each in told if place_of(each) in self._published]
        if mine:
            self._membership.set(self._source, pool, mine)
            others = [each for each in told if place_of(each) not in self._published]
            self._membership.set(SCALER, pool, others)

    def outdate(self) -> None:
        """All that there is was started with other settings."""
        self._replacing.begin(unit.name for unit in self.actuator.units())

    def outdate_inherited(self) -> None:
        """The same of all that a predecessor started, once it is known who is there."""
        self._inherits_outdated = True

    async def let_go(self, pool: Pool, *, replaced: bool) -> None:
        """Of what its actuator does not own: all of it stays, and serves on."""
        for each in pool.endpoints:
            cause = self._states.of(pool.name, each.name).draining
            if cause is not None and cause.reason == _REASON:
                self._states.undrain(pool.name, each.name, "it is scaled by others from now on")
        if not replaced:
            self._membership.set(SCALER, pool.name, [])
        await self.actuator.close()

    def hand_over(self, heir: "PoolScaler") -> None:
        """Other rules hold; who drains, and what is on its way out, is the heir's."""
        pool = self.actuator.pool
        if self._source != SCALER:
            told = self._membership.told(self._source, pool)
            also = self._membership.told(SCALER, pool)
            self._membership.set(SCALER, pool, (*also, *told))
            self._membership.set(self._source, pool, ())
        heir._published = self._published
        heir._draining, heir._left = self._draining, self._left
        heir._replacing = self._replacing
        heir._inherited = self._inherited
        heir._told_ready = self._told_ready
        heir._regret = self._regret
        heir._knows = self._knows
        heir._placed = self._placed

    def known(self) -> KnownScaler:
        """Who is on the way out, for a successor."""
        if self._inherited is not None:
            return self._inherited
        rules = msgspec.to_builtins(self.planner.rules)
        return KnownScaler(
            self.actuator.pool,
            dict(self._draining),
            list(self._left),
            sorted(self._replacing.outdated),
            rules,
        )

    def inherit(self, known: KnownScaler) -> None:
        """What a predecessor knew, before the first look: who was on the way out goes on."""
        self._inherited = known

    @property
    def desired(self) -> int | None:
        """How many endpoints are wanted; None before the first look, and where it only advises."""
        if self._decision is None or self.planner.rules.mode != "act":
            return None
        return self._decision.desired

    def view(self) -> ScaleView:
        """What operators are shown."""
        decision = self._decision or Decision(0, 0, "no look yet")
        units = self.actuator.units()
        regret = self._regret or Regret(0)
        return ScaleView(
            mode=self.planner.rules.mode,
            actuator=self.actuator.name,
            desired=decision.desired,
            actual=decision.actual,
            starting=sum(unit.state == "starting" for unit in units),
            draining=len(self._draining) + len(self._left),
            present=decision.present,
            ahead=decision.ahead,
            lead_s=self.planner.starts.lead_s(),
            reason=decision.reason,
            problem=_ELSEWHERE * (not self.actuator.alone)
            or self._problem
            or self._stuck
            or self._blind
            or self.actuator.trouble,
            foreseen=self._foreseen(0.5),
            foreseen_high=self._foreseen(self.planner.rules.quantile),
            wakes=self._acts and self.planner.rules.min == 0,
            endpoint_s=regret.endpoint_s,
            advised_endpoint_s=regret.advised_endpoint_s,
            broken_s=regret.broken_s,
            advised_broken_s=regret.advised_broken_s,
        )

    def _foreseen(self, level: float) -> float:
        return self.foreseen.rate(self.planner.starts.lead_s(), level)

    @property
    def _acts(self) -> bool:
        acts = self.planner.rules.mode == "act" and self.actuator.acts
        return acts and self.actuator.alone

    # --- what there is ----------------------------------------------------------------------

    def _go_on_from_predecessor(self) -> None:
        known = self._inherited
        if known is None or not self._knows:
            return
        self._inherited = None
        if self._inherits_outdated:
            self.outdate()
        self._draining |= known.draining
        self._replacing.begin(known.outdated)
        for unit in self.actuator.units():
            if unit.name in known.left and unit.endpoint is not None:
                self._left[unit.name] = unit.endpoint

    def _note_units(self, now: float) -> None:
        for unit in self.actuator.units():
            if unit.was:
                self._take_place(unit)
            if unit.state == "ready" and unit.name not in self._told_ready:
                self._told_ready.add(unit.name)
                self._failures = 0
                self._problem = ""
                if unit.ready_at > 0.0:
                    self.planner.starts.add(unit.ready_at - unit.since)
            elif unit.state == "failed":
                self.actuator.forget(unit.name)
                self.planner.lost(unit.name)
                self._draining.pop(unit.name, None)
                self._fail(f"{unit.name} {unit.reason}", now)
        there = {unit.name for unit in self.actuator.units()}
        self._told_ready &= there
        for gone in [name for name in self._draining if name not in there]:
            del self._draining[gone]
        for gone in [name for name in self._left if name not in there]:
            del self._left[gone]

    def _take_place(self, unit: Unit) -> None:
        self.planner.replaced(unit.was, unit.name)
        if unit.was in self._draining:
            self._draining[unit.name] = self._draining.pop(unit.was)
        unit.was = ""

    def _publish(self, pool: str) -> None:
        if not self._knows:
            return  # those that a predecessor handed over stay until it is known who is there
        endpoints = [
            unit.endpoint
            for unit in self.actuator.units()
            if unit.endpoint is not None and unit.state == "ready" and unit.name not in self._left
        ]
        self._published = {place_of(each) for each in endpoints}
        self._placed |= self._published
        try:
            self._membership.set(self._source, pool, endpoints)
        except TooManyError as error:
            self._complain(str(error))

    def _members(self, pool: Pool) -> list[Member]:
        running = {place_of(each): each for each in pool.endpoints}
        by_host: dict[str, list[Endpoint]] = {}
        for each in pool.endpoints:
            by_host.setdefault(each.host, []).append(each)
        members = []
        for unit in self.actuator.units():
            if unit.state == "stopping" or unit.name in self._left:
                continue
            if self._replacing.hides(unit.name):
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
            self._put_back(pool, unit, found)
            state = min(member_state(self._states.of(pool.name, each.name), pool) for each in found)
            loads = [self._load(each) for each in found]
            streams, cached = sum(load[0] for load in loads), sum(load[1] for load in loads)
        if unit.name in self._draining:
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

    def _put_back(self, pool: Pool, unit: Unit, found: list[Endpoint]) -> None:
        """Who drains for the sake of a removal that is no longer under way serves again: another
        was removed in its place, or stands at its address."""
        if unit.name in self._draining or self.actuator.owns:
            return
        for each in found:
            cause = self._states.of(pool.name, each.name).draining
            if cause is not None and cause.reason == _REASON:
                self._states.undrain(pool.name, each.name, "it was not removed")

    def _of_fixed(self, pool: Pool, endpoint: Endpoint) -> Member:
        state = member_state(self._states.of(pool.name, endpoint.name), pool)
        streams, cached = self._load(endpoint)
        removable = not self.actuator.acts  # whoever obeys the metric chooses for itself
        return Member(
            endpoint.name, state, streams=streams, cached_tokens=cached, removable=removable
        )

    def _load(self, endpoint: Endpoint) -> tuple[int, int]:
        """Requests in flight there, and what its cache holds as far as is known."""
        board = self._board
        cached = board.cells[board.report(endpoint.row) + R_CACHED] - 1
        return max(board.in_flight(endpoint.row), 0), max(cached, 0)

    # --- deciding ---------------------------------------------------------------------------

    def _learn(self, sample: Sample, pool: Pool) -> None:
        self.foreseen.note(sample)
        serving = sum(each.available for each in self._states_of(pool))
        self.planner.capacity.learn_service(sample.service_s, sample.sight, serving)

    def _states_of(self, pool: Pool) -> list[EndpointState]:
        return [self._states.of(pool.name, each.name) for each in pool.endpoints]

    def _decide(self, sample: Sample, members: list[Member]) -> Decision:
        if not self.leaving:
            return self.planner.decide(sample.sight, members)
        mine = [each for each in members if each.removable and each.state != DRAINING]
        if self.heir is not None and not self.heir.serves_what_it_wants:
            return Decision(len(mine), len(mine), "they serve until those of another serve")
        decision = Decision(0, len(mine), "the pool is scaled no more")
        decision.stop = [each.name for each in mine]
        return decision

    def _remember(
        self, decision: Decision, members: list[Member], sample: Sample, now: float
    ) -> None:
        before = self._decision
        self._decision = decision
        if self._regret is None:
            self._regret = Regret(decision.actual)
        serving = sum(each.state == SERVING for each in members)
        present = self.planner.capacity.needed(
            Demand(
                sample.sight.demand.rate,
                sample.sight.demand.prompt_tokens,
                sample.sight.demand.output_tokens,
            )
        )
        self._regret.look(now, serving, decision.actual, present)
        self._regret.advise(decision.desired, now, decision.lead_s)
        if decision.desired != (before.desired if before is not None else decision.actual):
            verb = "would have" if self.planner.rules.mode == "advise" else "is to have"
            pool = self.actuator.pool
            self._events.info(
                "scale",
                f"pool {pool} {verb} {decision.desired} endpoints, and has {decision.actual}: "
                f"{decision.reason}",
                pool=pool,
                desired=decision.desired,
                actual=decision.actual,
            )

    # --- acting -----------------------------------------------------------------------------

    async def _act(self, decision: Decision, pool: Pool, now: float) -> None:
        self.actuator.tell(decision.desired)
        for name in decision.keep:
            self._draining.pop(name, None)
            for endpoint in self._running(pool, name):
                self._states.undrain(pool.name, endpoint.name, "it is needed after all")
        for name in decision.stop:
            self._drain(pool, name, now)
        await self._start(decision, pool, now)
        if not self.leaving:
            await self._replace(pool, now)

    def _drain(self, pool: Pool, name: str, now: float) -> None:
        self._draining[name] = now
        for endpoint in self._running(pool, name):
            self._states.drain(pool.name, endpoint.name, _REASON)

    async def _replace(self, pool: Pool, now: float) -> None:
        """Those that were started with other settings, some at a time."""
        replacing = self._replacing
        units = self.actuator.units()
        kept = [each.name for each in units if each.name not in self._draining | self._left]
        for old, new in replacing.swap(units, kept):
            self.planner.replaced(old, new)
            self._drain(pool, old, now)
            kept.remove(old)
        count = replacing.next(kept)
        if count == 0 or now < self._start_after:
            return
        before = {each.name for each in units}
        try:
            await self.actuator.start(count)
        except ActuatorError as error:
            self._fail(f"{error}; those with the settings before serve on", now)
        begun = {each.name for each in self.actuator.units()} - before
        replacing.started(begun, kept)

    async def _start(self, decision: Decision, pool: Pool, now: float) -> None:
        if decision.start:
            if now < self._start_after:
                self.planner.undone(decision)
                return
            try:
                await self.actuator.start(decision.start)
            except AdoptedError as error:
                self.planner.undone(decision)
                self._events.info("scale", f"pool {pool.name}: {error}", pool=pool.name)
            except ActuatorError as error:
                self.planner.undone(decision)
                self._fail(str(error), now)

    async def _go_on_draining(self, pool: Pool, now: float) -> None:
        drain_s = self.planner.rules.drain_s
        for name, since in list(self._draining.items()):
            endpoints = self._running(pool, name)
            waited_s = now - since
            if any(self._load(each)[0] > 0 for each in endpoints):
                if not drain_s or waited_s < drain_s:
                    continue
                text = f"endpoint {pool.name}/{name} has streams left after its `drain`: it goes"
                self._events.warning("scale.drain", text, pool=pool.name, endpoint=name)
            elif endpoints and waited_s <= 0.0:
                continue  # workers hear of it a moment later
            if self._waits_its_turn(name):
                continue
            unit = self._unit(name)
            if unit is not None and unit.endpoint is not None:
                del self._draining[name]
                self._left[name] = unit.endpoint
                self._publish(pool.name)
            elif await self._stop(name):
                del self._draining[name]
        for name, endpoint in list(self._left.items()):
            if self._acknowledged(endpoint) and await self._stop(name):
                del self._left[name]

    def _waits_its_turn(self, name: str) -> bool:
        """Whether another that drains has to be stopped before."""
        mine = self._unit(name)
        others = [self._unit(each) for each in self._draining]
        return mine is not None and any(each and each.turn < mine.turn for each in others)

    async def _stop(self, name: str) -> bool:
        """Whether it could be; else it is tried again."""
        try:
            await self.actuator.stop(name)
        except AdoptedError:
            return False
        except ActuatorError as error:
            self._stuck = self._told(str(error), self._stuck)
            return False
        self._stuck = ""
        return True

    def _unit(self, name: str) -> Unit | None:
        return next((unit for unit in self.actuator.units() if unit.name == name), None)

    def _running(self, pool: Pool, name: str) -> list[Endpoint]:
        """The endpoints of that unit in the snapshot that runs."""
        unit = self._unit(name)
        return endpoints_of(unit, pool.endpoints) if unit is not None else []

    def _fail(self, reason: str, now: float) -> None:
        pause_s = min(_BACK_OFF_S * 2.0**self._failures, _LONGEST_BACK_OFF_S)
        self._failures += 1
        self._start_after = now + pause_s
        self._complain(f"{reason}; the next try is in {pause_s:g} s")

    def _complain(self, problem: str) -> None:
        self._problem = self._told(problem, self._problem)

    def _told(self, problem: str, before: str) -> str:
        """It, once it is in the log."""
        if problem != before:
            pool = self.actuator.pool
            self._events.error(
                "scale.failed", f"pool {pool} cannot be scaled: {problem}", pool=pool
            )
        return problem
