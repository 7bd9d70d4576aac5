"""One pool that is scaled: what is seen goes to the planner, and what it says is done."""

from collections.abc import Callable
from typing import Final

import msgspec

from penstock.admin.view import ScaleView
from penstock.control.discovery.membership import Membership, TooManyError
from penstock.control.elsewhere import Elsewhere
from penstock.control.endpoints.state import EndpointState
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.scale.actuator import Actuator, ActuatorError, AdoptedError, Unit
from penstock.control.scale.departures import Departures
from penstock.control.scale.foreseen import ForeseenDemand
from penstock.control.scale.known_scaler import KnownScaler
from penstock.control.scale.roster import Roster
from penstock.control.scale.sampling import Sample, Sampler
from penstock.control.scale.trouble import Trouble
from penstock.core.scale.demand import Demand
from penstock.core.scale.members import DRAINING, SERVING, Member
from penstock.core.scale.planner import Decision, Planner
from penstock.core.scale.regret import Regret
from penstock.core.snapshot import Endpoint, Pool
from penstock.dataplane.board.memory import Board

_ELSEWHERE: Final = "another balancer that shares the store scales it"


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
        self._inherits_outdated = False
        self._states = states
        self._events = events
        self._trouble = Trouble(events, actuator.pool)
        self._departures = Departures(actuator, board, states, events, self._trouble, acknowledged)
        self._roster = Roster(actuator, board, states, membership, self._departures)
        self._elsewhere = elsewhere or Elsewhere()
        self._sampler = Sampler(board, self._elsewhere)
        self._inherited: KnownScaler | None = None  # until it is known who is there
        self._told_ready: set[str] = set()
        self._decision: Decision | None = None
        self._regret: Regret | None = None
        self._knows = False  # what there is

    @property
    def is_empty(self) -> bool:
        """Whether it has nothing left that it started."""
        return not self.actuator.owns or not self.actuator.units()

    async def look(self, pool: Pool, now: float, local_s: float) -> None:
        """See, decide, act."""
        try:
            await self.actuator.look()
            self._knows = True
            self._trouble.looked()
        except ActuatorError as error:
            self._trouble.look_failed(str(error))
        self._go_on_from_predecessor()
        self._note_units(now)
        self._publish(pool.name)
        sample = self._sampler.look(pool, now, local_s)
        self._learn(sample, pool)
        members = self._roster.members(pool)
        decision = self._decide(sample, members)
        self._remember(decision, members, sample, now)
        if self._acts and (self._knows or self.actuator.owns):
            await self._act(decision, pool, now)
        else:
            self.planner.undone(decision)
        if self._acts:
            self._tell_others(pool)
        await self._departures.go_on(
            pool, now, self.planner.rules.drain_s, lambda: self._publish(pool.name)
        )

    def _tell_others(self, pool: Pool) -> None:
        started = self._roster.told(pool.name) if self.actuator.owns else None
        self._elsewhere.tell(pool.name, started, self._departures.places(pool))

    @property
    def serves_what_it_wants(self) -> bool:
        """Whether another scaler's endpoints are not needed beside its own."""
        decision = self._decision
        if decision is None or not self._acts:
            return not self._acts
        ready = [each for each in self.actuator.units() if each.state == "ready"]
        return sum(each.name not in self._departures.draining for each in ready) >= decision.desired

    def step_aside(self, order: int) -> None:
        """Another scales the pool from now on: name what is left apart from that one's."""
        self._roster.step_aside(order)

    def outdate(self) -> None:
        """All that there is was started with other settings."""
        self._roster.replacing.begin(unit.name for unit in self.actuator.units())

    def outdate_inherited(self) -> None:
        """The same of all that a predecessor started, once it is known who is there."""
        self._inherits_outdated = True

    async def let_go(self, pool: Pool, *, replaced: bool) -> None:
        """Of what its actuator does not own: all of it stays, and serves on."""
        self._departures.let_go(pool)
        if not replaced:
            self._roster.withdraw(pool.name)
        await self.actuator.close()

    def hand_over(self, heir: "PoolScaler") -> None:
        """Other rules hold; who drains, and what is on its way out, is the heir's."""
        self._roster.step_back()
        heir._roster.take_over(self._roster)
        heir._departures.take_over(self._departures)
        heir._inherited = self._inherited
        heir._told_ready = self._told_ready
        heir._regret = self._regret
        heir._knows = self._knows

    def known(self) -> KnownScaler:
        """Who is on the way out, for a successor."""
        if self._inherited is not None:
            return self._inherited
        rules = msgspec.to_builtins(self.planner.rules)
        return KnownScaler(
            self.actuator.pool,
            dict(self._departures.draining),
            list(self._departures.left),
            sorted(self._roster.replacing.outdated),
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
            draining=len(self._departures.names()),
            present=decision.present,
            ahead=decision.ahead,
            lead_s=self.planner.starts.lead_s(),
            reason=decision.reason,
            problem=_ELSEWHERE * (not self.actuator.alone)
            or self._trouble.shown
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
        self._departures.draining |= known.draining
        self._roster.replacing.begin(known.outdated)
        for unit in self.actuator.units():
            if unit.name in known.left and unit.endpoint is not None:
                self._departures.left[unit.name] = unit.endpoint

    def _note_units(self, now: float) -> None:
        for unit in self.actuator.units():
            if unit.was:
                self._take_place(unit)
            if unit.state == "ready" and unit.name not in self._told_ready:
                self._told_ready.add(unit.name)
                self._trouble.one_is_ready()
                if unit.ready_at > 0.0:
                    self.planner.starts.add(unit.ready_at - unit.since)
            elif unit.state == "failed":
                self.actuator.forget(unit.name)
                self.planner.lost(unit.name)
                self._departures.forget(unit.name)
                self._trouble.start_failed(f"{unit.name} {unit.reason}", now)
        there = {unit.name for unit in self.actuator.units()}
        self._told_ready &= there
        self._departures.keep_to(there)

    def _take_place(self, unit: Unit) -> None:
        self.planner.replaced(unit.was, unit.name)
        self._departures.rename(unit.was, unit.name)
        unit.was = ""

    def _publish(self, pool: str) -> None:
        if not self._knows:
            return  # those that a predecessor handed over stay until it is known who is there
        try:
            self._roster.publish(pool)
        except TooManyError as error:
            self._trouble.complain(str(error))

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
            self._departures.keep(pool, name)
        for name in decision.stop:
            self._departures.drain(pool, name, now)
        await self._start(decision, pool, now)
        if not self.leaving:
            await self._replace(pool, now)

    async def _replace(self, pool: Pool, now: float) -> None:
        """Those that were started with other settings, some at a time."""
        replacing = self._roster.replacing
        units = self.actuator.units()
        kept = [each.name for each in units if each.name not in self._departures.names()]
        for old, new in replacing.swap(units, kept):
            self.planner.replaced(old, new)
            self._departures.drain(pool, old, now)
            kept.remove(old)
        count = replacing.next(kept)
        if count == 0 or not self._trouble.may_start(now):
            return
        before = {each.name for each in units}
        try:
            await self.actuator.start(count)
        except ActuatorError as error:
            self._trouble.start_failed(f"{error}; those with the settings before serve on", now)
        begun = {each.name for each in self.actuator.units()} - before
        replacing.started(begun, kept)

    async def _start(self, decision: Decision, pool: Pool, now: float) -> None:
        if decision.start:
            if not self._trouble.may_start(now):
                self.planner.undone(decision)
                return
            try:
                await self.actuator.start(decision.start)
            except AdoptedError as error:
                self.planner.undone(decision)
                self._events.info("scale", f"pool {pool.name}: {error}", pool=pool.name)
            except ActuatorError as error:
                self.planner.undone(decision)
                self._trouble.start_failed(str(error), now)
