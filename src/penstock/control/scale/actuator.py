"""What every actuator is: it starts and stops endpoints of one pool, and says which there are."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from msgspec import to_builtins

from penstock.control.background import BackgroundTasks, Sleep
from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import ActuatorChoice, Endpoint, Scale

UnitState = Literal["starting", "ready", "stopping", "failed"]


@dataclass
class Unit:
    """What an actuator started, or manages: an endpoint, once it is ready.

    ``since`` is when it was asked for, on the actuator's clock, and ``ready_at`` when it was ready;
    0 where nobody saw that. ``turn``: where the actuator keeps
    an order of its own, the least goes first; ``removable`` is False of whom it cannot remove.
    ``host`` is the address by which discovery finds its endpoints, where the actuator does not
    say them itself. ``was`` is the name of that one in whose place it stands.
    """

    name: str
    state: UnitState
    since: float
    endpoint: Endpoint | None = None
    ready_at: float = 0.0
    reason: str = ""
    removable: bool = True
    turn: int = 0
    host: str = ""
    was: str = ""


@dataclass(frozen=True)
class Tools:
    """What actuators work with. ``probe`` says why an endpoint does not serve yet; "": it does."""

    events: Events
    background: BackgroundTasks
    files: StateFiles
    clock: Callable[[], float]
    sleep: Sleep
    probe: Callable[[Endpoint, str], Awaitable[str]]


class ActuatorError(Exception):
    """Something could not be started, stopped or asked. The text is for people."""


class AdoptedError(ActuatorError):
    """Others changed the number in the meantime: what they want holds, and nothing was done."""


class Actuator:
    """Of one pool. Nobody ends what it did not start or was not told to manage."""

    name: ClassVar[str] = ""  # the one place where it stands
    # Whether there is nothing but what it started, which ends with the scaling of its pool. Of
    # others, such as a Deployment, it changes the number while it is told to, and leaves the rest.
    owns: ClassVar[bool] = True

    # Options that say where it acts, without which it is another actuator, and those that what it
    # starts is made with.
    where: ClassVar[tuple[str, ...]] = ()
    makes: ClassVar[tuple[str, ...]] = ()

    # Whether no other balancer that shares the store acts for the pool; set before each look.
    alone: bool = True
    trouble: str = ""  # what operators are to know, though it goes on

    def __init__(self, pool: str, rules: Scale, options: dict[str, Any], tools: Tools) -> None:
        self.pool = pool
        self.rules = rules
        self.options = options
        self.tools = tools

    @classmethod
    def is_same(cls, options: dict[str, Any], others: dict[str, Any]) -> bool:
        """Whether one with these options and one with those have the same endpoints."""
        keys = cls.where if cls.owns else tuple(options.keys() | others.keys())
        return not _differ(keys, options, others)

    def goes_on(self, choice: ActuatorChoice) -> bool:
        """Whether it can go on by that choice: what it started would be its own."""
        return choice.name == self.name and self.is_same(self.options, choice.options)

    def change(self, rules: Scale) -> bool:
        """Go on by other rules. Whether what it started before was made with other options."""
        before, self.options = self.options, rules.actuator.options
        self.rules = rules
        return self.makes_otherwise(before)

    def makes_otherwise(self, options: dict[str, Any]) -> bool:
        """Whether what it starts is made in another way than by these options."""
        return _differ(self.makes, options, self.options)

    @property
    def acts(self) -> bool:
        """Whether it starts and stops anything at all."""
        return True

    def units(self) -> list[Unit]:
        """What there is, those that failed until ``forget``."""
        raise NotImplementedError

    async def look(self) -> None:
        """Find out what there is. Raises ActuatorError, and then what was known holds."""

    async def start(self, count: int) -> None:
        """Start so many more, without waiting until they serve. Raises ActuatorError."""
        raise NotImplementedError

    async def stop(self, name: str) -> None:
        """Stop that one: nothing is sent there any more. Raises ActuatorError."""
        raise NotImplementedError

    def forget(self, name: str) -> None:
        """One that failed has been taken note of."""

    def tell(self, desired: int) -> None:
        """So many are wanted now."""

    async def close(self) -> None:
        """The pool is scaled no more, or the balancer ends: leave nothing behind."""


def _differ(keys: tuple[str, ...], one: dict[str, Any], other: dict[str, Any]) -> bool:
    """As a predecessor would tell them too, whose tuples have become lists."""
    return any(to_builtins(one.get(key)) != to_builtins(other.get(key)) for key in keys)
