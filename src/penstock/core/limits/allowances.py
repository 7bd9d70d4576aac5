"""What may be taken of, by each of many subjects: rates, budgets and places alike."""

from typing import Final

from mypy_extensions import trait

MOST_SUBJECTS: Final = 65536  # that one limit tells apart
# What shares one allowance because there is no place for it by itself.
OVERFLOW: Final = "\0others"
NEVER: Final = float("inf")


@trait
class Allowances:
    """Of one limit. Times are seconds on one clock.

    Bounded: a subject leaves only when its allowance is whole again, so that leaving gains it
    nothing; those for which there is no place share one allowance, so that made-up ones gain none.
    """

    overflowed: int  # how often a subject had no place

    def most(self) -> float:
        """What may be taken at once at most."""
        raise NotImplementedError

    def left(self, subject: str, now: float) -> float:
        """How much may be taken at once now; below 0 after more was spent than there was."""
        raise NotImplementedError

    def remaining(self, subject: str, now: float) -> float:
        """How much there is in all, wherever it lies."""
        return self.left(subject, now)

    def spend(self, subject: str, cost: float, now: float) -> None:
        """Take it although it may be more than there is: what follows waits the longer."""
        raise NotImplementedError

    def give_back(self, subject: str, cost: float, now: float) -> None:
        """What was taken and not used."""
        raise NotImplementedError

    def wait_s(self, subject: str, cost: float, now: float) -> float:
        """How long until so much is there; 0.0: it is. ``NEVER``: it is more than ``most``."""
        raise NotImplementedError

    def whole_s(self, subject: str, now: float) -> float:
        """How long until its allowance is whole again."""
        raise NotImplementedError

    def most_taken(self, most: int) -> list[str]:
        """The subjects of whose allowance most is taken, at most so many, the fullest first."""
        raise NotImplementedError

    def taken(self, now: float) -> dict[str, float]:
        """What is not there of each subject's, where that is known here."""
        return {}

    def keeps_s(self, amount: float) -> float:
        """How long so much may lie where it was lent to: no longer than it would take to flow back,
        or more than ``most`` would come together."""
        raise NotImplementedError
