"""Series that forecasts are held to, each the same in every run."""

from math import exp, sin, tau
from random import Random

DAY = 48  # steps


def poisson(dice: Random, mean: float) -> float:
    """A count with that mean."""
    if mean > 50.0:
        return max(0.0, round(dice.gauss(mean, mean**0.5)))
    count, left = 0, dice.random()
    while left > exp(-mean):
        left *= dice.random()
        count += 1
    return float(count)


def days(count: int, seed: int = 1, mean: float = 100.0) -> list[float]:
    """Counts that rise and fall with the day."""
    dice = Random(seed)
    return [
        poisson(dice, mean * (1.0 + 0.8 * sin(tau * step / DAY))) for step in range(count * DAY)
    ]


def weeks(count: int, seed: int = 1, mean: float = 100.0) -> list[float]:
    """The same, with less at weekends, and a peak there that comes late."""
    dice = Random(seed)
    made = []
    for step in range(count * 7 * DAY):
        weekend = step // DAY % 7 >= 5
        phase = step / DAY - (0.15 if weekend else 0.0)
        height = mean * (0.4 if weekend else 1.0)
        made.append(poisson(dice, height * (1.0 + 0.8 * sin(tau * phase))))
    return made
