"""How many endpoints a demand needs: the model of what one of them can do.

Plain servers have so many places; the time that a request holds one is measured while places are
free, for in a crowd it has waiting in it, and waiting is no work: a scaler that took it for work
would answer a crowd with twice what it needs.
"""

from math import ceil
from typing import Final

from mypy_extensions import mypyc_attr

from penstock.core.scale.demand import Demand, Sight
from penstock.core.scale.staffing import fewest_places

_CROWDED: Final = 0.9  # of the places taken: what is measured has waiting in it
_GRAINS: Final = 100.0  # of an Erlang: no finer is counted
_KEPT: Final = 4096
_STEP: Final = 0.1  # of the mean service time, per sample


@mypyc_attr(allow_interpreted_subclasses=True)
class Capacity:
    """What endpoints of a pool can do."""

    def needed(self, demand: Demand) -> int:
        """The fewest endpoints that serve ``demand`` within the pool's objectives."""
        raise NotImplementedError

    def needed_at_least(self, sight: Sight) -> int:
        """What is there already needs so many, whatever the demand is said to be."""
        return 0

    def learn_service(self, seconds: float, sight: Sight, serving: int) -> None:
        """Requests took this long at endpoints on average, of which ``serving`` were there."""


class Places(Capacity):
    """Each endpoint serves ``concurrency`` requests at a time; the rest wait for a place."""

    def __init__(self, concurrency: int, late_share: float, service_s: float = 0.0) -> None:
        self.service_s: float = service_s  # that a request holds a place; 0: not known yet
        self._concurrency: int = concurrency
        self._late_share: float = late_share
        self._sure: bool = service_s > 0.0
        self._found: dict[int, int] = {}  # asked for several times at every look

    def needed(self, demand: Demand) -> int:
        offered = ceil(demand.rate * self.service_s * _GRAINS)
        found = self._found.get(offered)
        if found is None:
            if len(self._found) >= _KEPT:
                self._found.clear()
            places = fewest_places(offered / _GRAINS, self._late_share)
            found = ceil(places / self._concurrency)
            self._found[offered] = found
        return found

    def needed_at_least(self, sight: Sight) -> int:
        if self._sure:
            return 0
        return ceil((sight.in_flight + sight.queued) / self._concurrency)

    def learn_service(self, seconds: float, sight: Sight, serving: int) -> None:
        if seconds <= 0.0:
            return
        places = serving * self._concurrency
        if sight.queued > 0.0 or sight.in_flight > _CROWDED * places:
            if not self._sure:  # better than nothing, and at most as much
                self.service_s = min(self.service_s or seconds, seconds)
            return
        if not self._sure:
            self._sure = True
            self.service_s = seconds
        self.service_s += (seconds - self.service_s) * _STEP
