"""Which model a request gets: aliases, shares of several models, fallbacks, who serves what."""

from typing import Final

from xxhash import xxh3_64_intdigest

from penstock.core.endpoint import Endpoint
from penstock.core.pool.model_names import other_spelling, without_default_tag

# An endpoint whose engine does not tell what waits there counts as crowded with so many requests
# more than the idlest: what Ollama runs at once by default.
_CROWD: Final = 4
_MOST_SPELLED: Final = 256  # names whose spellings are kept: clients choose them


class ModelNames:
    """The names of one pool. ``shares`` are models by alias with their weights; ``default`` is what
    is asked for where a request names none."""

    def __init__(
        self,
        shares: dict[str, dict[str, float]],
        fallbacks: dict[str, tuple[str, ...]],
        default: str = "",
    ) -> None:
        self.shares: dict[str, dict[str, float]] = shares
        self.fallbacks: dict[str, tuple[str, ...]] = fallbacks
        self.default: str = default
        self._spellings: dict[str, list[str]] = {}  # of names that were asked for, never changed

    def stand_in_for(self, asked: str) -> bool:
        """Whether more than one model may answer a request for ``asked``."""
        fallbacks = self.fallbacks
        if not self.shares and not fallbacks:
            return False
        if asked in self.shares or other_spelling(asked) in self.shares:
            return True
        return len(fallbacks) > 0 and (asked in fallbacks or other_spelling(asked) in fallbacks)

    def chains(self, asked: str, chance: float) -> list[str]:
        """Models to try for a request for ``asked``, best first; ``chance`` is in [0, 1).

        One of an alias' models by weight comes first and its others after it, for the case that
        no endpoint serves it; behind them the fallbacks of each. Every name is followed by its
        other spelling.
        """
        if not self.shares and not self.fallbacks:
            spellings = self._spellings.get(asked)
            if spellings is None:
                spellings = []
                _add(asked, spellings)
                if len(self._spellings) < _MOST_SPELLED:
                    self._spellings[asked] = spellings
            return spellings
        other = other_spelling(asked)
        shares = self.shares.get(asked) or self.shares.get(other)
        found: list[str] = []
        for name in [asked] if shares is None else _drawn(shares, chance):
            _add(name, found)
        if self.fallbacks:
            for name in [*found, asked, other]:
                for another in self.fallbacks.get(name, ()):
                    _add(another, found)
        return found


def _add(name: str, found: list[str]) -> None:
    if name not in found:
        found.append(name)
        other = other_spelling(name)
        if other and other not in found:
            found.append(other)


def _drawn(shares: dict[str, float], chance: float) -> list[str]:
    names = list(shares)
    left = chance * sum(shares.values())
    for name in names:
        left -= shares[name]
        if left < 0.0:
            return [name, *[other for other in names if other != name]]
    return names


def loaded_hash(name: str) -> int:
    """A name's hash as boards hold it: signed; the same for both spellings."""
    spelled = without_default_tag(name).encode("utf-8", "surrogatepass")
    value = int(xxh3_64_intdigest(spelled))
    return value - (1 << 64) if value >= 1 << 63 else value


def with_it_loaded(model: str, endpoints: list[Endpoint]) -> list[Endpoint]:
    """Those that have the model or adapter in memory and no queue; all if there is no such one.

    Loading an adapter or a model takes longer than a request waits at an engine that has room, and
    less long than in one that queues.
    """
    wanted = loaded_hash(model)
    there = [each for each in endpoints if wanted in each.reported.loaded]
    if not there or len(there) == len(endpoints):
        return endpoints
    idlest = min([each.load() for each in endpoints])
    roomy = [
        each
        for each in there
        if each.reported.waiting == 0
        or (each.reported.waiting < 0 and each.load() <= idlest + _CROWD)
    ]
    return roomy or endpoints
