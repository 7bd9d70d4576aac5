"""The planner: from what is seen and foreseen to a number of endpoints, and whom to stop.

It knows no clock and does nothing: the supervisor and the simulator ask it every few seconds and
act on what it decides. What it counts with:

    present   what is asked now, and what waits, to be worked off within a start time; a rise that
              is under way goes on for so long (``surge``)
    ahead     the most that is foreseen until an endpoint started at the next look would serve
    after     the most until one stopped now could be back and the cool-down is over

It adds for the larger of ``present`` and ``ahead``. It removes when the survivors would carry, with
a margin, ``after`` and all that was asked during the last cool-down: their load is computed before
anybody leaves. A removal waits until a start time and the cool-down have passed since
endpoints were added, or came by another's hand. So there are no two changes of direction within
that time, but for one: what is there now is answered at once, by those that drain already and then
by new ones. Where that comes within the same time after a removal, the removal was a mistake: the
cool-down is twice as long from then on, to at most ``_MOST_PATIENCE`` times, and half as long again
after each removal that was none.
"""

from typing import Final

from penstock.core.scale.capacity import Capacity
from penstock.core.scale.demand import Demand, Foresight, Sight
from penstock.core.scale.members import DOWN, DRAINING, Member, first_to_go
from penstock.core.scale.schedule import bounds_at
from penstock.core.scale.start_times import StartTimes
from penstock.core.scale.surge import Surge
from penstock.core.snapshot.scale import Scale

_MARGIN: Final = 1.1  # times the demand that survivors must carry
_MOST_PATIENCE: Final = 8.0
_LEAST_WORK_OFF_S: Final = 30.0
_FEW: Final = 0.5  # requests foreseen: nobody is kept for less


class Decision:
    """What is to be done, and why. ``stop`` and ``keep`` are names."""

    def __init__(self, desired: int, actual: int, reason: str) -> None:
        self.desired: int = desired
        self.actual: int = actual  # those that serve or start
        self.start: int = 0
        self.stop: list[str] = []  # to be drained, and then stopped
        self.keep: list[str] = []  # that drain, to serve again
        self.reason: str = reason
        self.present: int = 0  # needed
        self.ahead: int = 0
        self.after: int = 0
        self.lead_s: float = 0.0

    def settle(self, desired: int, reason: str) -> None:
        """So many, and why."""
        self.desired = desired
        self.reason = reason

    @property
    def acts(self) -> bool:
        """Whether anything is to be done."""
        return self.start > 0 or len(self.stop) > 0 or len(self.keep) > 0


class Planner:
    """Of one pool."""

    def __init__(self, rules: Scale, capacity: Capacity, foresight: Foresight) -> None:
        self.rules: Scale = rules
        self.capacity: Capacity = capacity
        self.foresight: Foresight = foresight
        self.starts: StartTimes = StartTimes(rules.start_time_s, rules.start_quantile)
        self._surge: Surge = Surge()
        self._peaks: list[tuple[float, int]] = []  # of needs; each is below those before it
        self._added_at: float = -1e18
        self._removed_at: float = -1e18
        self._foreign_at: float = -1e18
        self._patience: float = 1.0  # times the cool-down
        self._judged: bool = True  # the last removal: it was a mistake, or none
        self._busy_at: float = -1e18
        self._known: set[str] = set()
        self._awaited: int = 0  # asked for and not seen yet
        self._begun: bool = False

    def decide(self, sight: Sight, members: list[Member]) -> Decision:
        """What to do now. Whoever acts on it does all of it, or calls ``undone``."""
        now = sight.now
        foreign = self._adopt(members, now)
        counting = [each for each in members if each.counts()]
        actual = len(counting)
        if sight.demand.rate > 0.0 or sight.queued > 0.0 or sight.in_flight > 0.0:
            self._busy_at = now
        if not self._begun:
            self._begun = True
            self._busy_at = now
            self._added_at = now  # nothing is known yet of what is needed at times
        fewest, most = bounds_at(self.rules, sight.local_s)
        decision = self._needs(sight)
        decision.actual = actual
        self._choose(decision, sight, fewest, most)
        if foreign:
            decision.reason += f"; {foreign}"
        self._name(decision, members)
        self._note(decision, members, now)
        return decision

    def undone(self, decision: Decision) -> None:
        """Endpoints that it asked to start will not come."""
        self._awaited = max(self._awaited - decision.start, 0)

    def lost(self, name: str) -> None:
        """That one failed by itself: nobody removed it."""
        self._known.discard(name)

    def replaced(self, name: str, successor: str) -> None:
        """Another stands in its place, which is no change of the number."""
        if name in self._known:
            self._known.discard(name)
            self._known.add(successor)

    def _needs(self, sight: Sight) -> Decision:
        lead_s = self.starts.lead_s()
        rises = self._surge.factor(sight.now, sight.demand.rate, lead_s)
        present = self._present(sight, rises)
        ahead = self._foreseen(lead_s + self.rules.interval_s)
        after = self._foreseen(lead_s + self.rules.cool_down_s)
        decision = Decision(0, 0, "")
        decision.present = present
        decision.ahead = ahead
        decision.after = after
        decision.lead_s = lead_s
        return decision

    def _present(self, sight: Sight, rises: float) -> int:
        demand = sight.demand.scaled(rises)
        if sight.queued > 0.0:
            work_off_s = max(self.starts.lead_s(), _LEAST_WORK_OFF_S)
            rate = demand.rate + sight.queued / work_off_s
            if demand.rate > 0.0:
                demand = demand.scaled(rate / demand.rate)
            else:
                demand = Demand(rate)
        needed = max(self._for(demand), self.capacity.needed_at_least(sight))
        if needed == 0 and (sight.queued > 0.0 or sight.in_flight > 0.0 or demand.rate > 0.0):
            return 1
        return needed

    def _foreseen(self, until_s: float, margin: float = 1.0) -> int:
        demand = self.foresight.most(until_s)
        if demand is None or demand.rate * until_s < _FEW:
            return 0
        return self._for(demand.scaled(margin))

    def _for(self, demand: Demand) -> int:
        """Endpoints for a demand, and for what is to be spare beside it."""
        if self.rules.spare > 0.0:
            demand = demand.scaled(1.0 + self.rules.spare)
        return self.capacity.needed(demand)

    def _choose(self, decision: Decision, sight: Sight, fewest: int, most: int) -> None:
        """The number, and the reason for it."""
        rules = self.rules
        actual = decision.actual
        now = sight.now
        wanted = max(decision.present, decision.ahead)
        margin = self._for(sight.demand.scaled(_MARGIN))
        self._remember(max(wanted, margin), now)
        if actual < fewest and wanted <= fewest:
            decision.settle(fewest, f"at least {fewest} are wanted")
        elif actual > most:
            decision.settle(most, f"at most {most} are allowed")
        elif wanted > actual:
            if decision.present <= actual and self._settling(now):
                decision.settle(actual, "more are foreseen, but others changed the number")
                return
            target = min(wanted, most)
            if rules.step_up:
                target = min(target, actual + rules.step_up)
            why = "present load" if decision.present >= decision.ahead else "load foreseen"
            bound = f", bounded by max {most}" if wanted > most else ""
            decision.settle(target, f"{why} needs {wanted}{bound}")
        else:
            self._lower(decision, sight, max(fewest, 0))

    def _lower(self, decision: Decision, sight: Sight, fewest: int) -> None:
        rules = self.rules
        actual = decision.actual
        now = sight.now
        survivors = max(self._survivors(decision), fewest)
        if survivors == 0 and now - self._busy_at < rules.idle_s:
            survivors = 1
        if survivors >= actual:
            decision.settle(actual, f"load needs {max(decision.present, decision.ahead)}")
            return
        calm_s = now - max(self._added_at, self._foreign_at)
        wait_s = self._wait_s(decision)
        if calm_s < wait_s:
            decision.settle(actual, f"{survivors} would do; cooling down since a change")
            return
        if now - self._removed_at < rules.interval_s:
            decision.settle(actual, f"{survivors} would do")
            return
        if rules.step_down:
            survivors = max(survivors, actual - rules.step_down)
        decision.settle(survivors, f"{survivors} carry what is there and foreseen")

    def _wait_s(self, decision: Decision) -> float:
        """A start time and the cool-down."""
        return decision.lead_s + self.rules.cool_down_s * self._patience

    def _survivors(self, decision: Decision) -> int:
        """The fewest that would carry all with a margin."""
        wait_s = decision.lead_s + self.rules.cool_down_s
        foreseen = self._foreseen(wait_s, _MARGIN)
        return max(foreseen, decision.present, self._peak())

    def _settling(self, now: float) -> bool:
        return now - self._foreign_at < self.rules.cool_down_s

    def _remember(self, needed: int, now: float) -> None:
        while self._peaks and self._peaks[-1][1] <= needed:
            self._peaks.pop()
        self._peaks.append((now, needed))
        horizon = now - self.rules.cool_down_s * self._patience
        while self._peaks[0][0] < horizon:
            del self._peaks[0]

    def _peak(self) -> int:
        """The most that was needed within the last cool-down, with the margin."""
        return self._peaks[0][1] if self._peaks else 0

    def _name(self, decision: Decision, members: list[Member]) -> None:
        """Who is to start, stay and stop, to come to the number."""
        more = decision.desired - decision.actual
        if more > 0:
            draining = [each for each in members if each.state == DRAINING and each.removable]
            draining.sort(key=_worth, reverse=True)
            decision.keep = [each.name for each in draining[:more]]
            decision.start = more - len(decision.keep)
        elif more < 0:
            counting = [each for each in members if each.counts()]
            going = first_to_go(counting, -more)
            if going:
                last = going[-1].turn
                dead = [each for each in members if each.state == DOWN and each.removable]
                before = [each for each in dead if each.turn < last]
                decision.stop = [each.name for each in before]  # nobody can go before they did
            decision.stop += [each.name for each in going]
            if len(going) < -more:
                decision.desired = decision.actual - len(going)
                decision.reason += "; the others are not for the actuator to remove"

    def _note(self, decision: Decision, members: list[Member], now: float) -> None:
        if not self._judged:
            self._judge(decision, now)
        if decision.start or decision.keep:
            self._added_at = now
        if decision.stop:
            self._removed_at = now
            self._judged = False
        self._awaited += decision.start
        self._known = {each.name for each in members if each.state != DRAINING}
        self._known.difference_update(decision.stop)
        self._known.update(decision.keep)

    def _judge(self, decision: Decision, now: float) -> None:
        """Whether the last removal was a mistake, once that is known."""
        if now - self._removed_at >= self._wait_s(decision):
            self._judged = True
            self._patience = max(self._patience / 2.0, 1.0)
        elif decision.start or decision.keep:
            self._judged = True
            self._patience = min(self._patience * 2.0, _MOST_PATIENCE)

    def _adopt(self, members: list[Member], now: float) -> str:
        """Notice what others changed; from there on it is the number to begin from."""
        present = {each.name for each in members if each.state != DRAINING}
        came = len(present - self._known)
        left = len(self._known - {each.name for each in members})
        for each in members:
            if each.state == DRAINING and each.name in self._known:
                left += 1  # an operator drains it
        if not self._begun:
            return ""
        expected = min(came, self._awaited)
        self._awaited -= expected
        came -= expected
        if came == 0 and left == 0:
            return ""
        self._foreign_at = now
        return f"others added {came} and took {left} away: adopted"


def _worth(member: Member) -> tuple[int, int]:
    """Of those that drain: whose turn comes last, then who has the most streams."""
    return member.turn, member.streams
