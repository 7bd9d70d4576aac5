"""Those of a set whose number somebody else keeps, such as a Deployment: which there are, and which
are still to come.

Who was asked for and has no name yet has one of ours until it has its own; who comes for one that
is gone stands in its place. So the planner sees neither as a change of the number.
"""

from collections.abc import Mapping

from penstock.control.scale.actuator import Unit


class Replicas:
    """Of one set."""

    def __init__(self, name: str) -> None:
        self.units: dict[str, Unit] = {}
        self._name = name
        self._made = 0

    def follow(self, alive: Mapping[str, int], desired: int, now: float) -> list[str]:
        """These there are, by their names, with their turns to go; so many there are to be.

        Returns who was to be removed and stays: another was removed in its place.
        """
        before = self.units
        stopping = [name for name in alive if name in before and before[name].state == "stopping"]
        stay = stopping[max(len(alive) - desired, 0) :]
        for name in stay:
            before[name].state = "starting"
        there = [name for name in alive if name in before]
        gone = [n for n, unit in before.items() if n not in alive and unit.state != "stopping"]
        gone.sort(key=lambda name: not self.is_awaited(name))
        self.units = {name: before[name] for name in there}
        for name in alive:
            if name not in before:
                was = gone.pop(0) if gone else ""
                since = before[was].since if self.is_awaited(was) else now
                self.units[name] = Unit(name, "starting", since, was=was)
            self.units[name].turn = alive[name]
        staying = sum(unit.state != "stopping" for unit in self.units.values())
        for _ in range(desired - staying):
            was = gone.pop(0) if gone else ""
            if self.is_awaited(was):
                self.units[was] = before[was]
            else:
                self._await(now).was = was
        return stay

    def expect(self, count: int, now: float) -> None:
        """So many more were asked for."""
        for _ in range(count):
            self._await(now)

    def is_awaited(self, name: str) -> bool:
        """Whether it has no name of its own yet."""
        return name.startswith(f"{self._name}~")

    def _await(self, now: float) -> Unit:
        self._made += 1
        unit = Unit(f"{self._name}~{self._made}", "starting", now, turn=-(1 << 31))
        self.units[unit.name] = unit
        return unit
