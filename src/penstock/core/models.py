"""Which model a request gets: aliases, shares of several models, fallbacks, who serves what."""

from typing import Final

from xxhash import xxh3_64_intdigest

from penstock.core.endpoint import Endpoint

# An endpoint whose engine does not tell what waits there counts as crowded with so many requests
# more than the idlest: what Ollama runs at once by default.
_CROWD: Final = 4
_DEFAULT_TAG: Final = ":latest"


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

    def stand_in_for(self, asked: str) -> bool:
        """Whether more than one model may answer a request for ``asked``."""
        if asked in self.shares:
            return True
        fallbacks = self.fallbacks
        return len(fallbacks) > 0 and (asked in fallbacks or asked + _DEFAULT_TAG in fallbacks)

    def chains(self, asked: str, chance: float) -> list[str]:
        """Models to try for a request for ``asked``, best first; ``chance`` is in [0, 1).

        One of an alias' models by weight comes first and its others after it, for the case that
        no endpoint serves it; behind them the fallbacks of each. To Ollama a name without a tag
        is that with the tag "latest", under which alone it lists the model.
        """
        shares = self.shares.get(asked)
        found: list[str] = [asked] if shares is None else _drawn(shares, chance)
        if shares is None and ":" not in asked:
            found.append(asked + _DEFAULT_TAG)
        for name in [*found, asked]:
            for other in self.fallbacks.get(name, ()):
                if other not in found:
                    found.append(other)
        return found


def _drawn(shares: dict[str, float], chance: float) -> list[str]:
    names = list(shares)
    left = chance * sum(shares.values())
    for name in names:
        left -= shares[name]
        if left < 0.0:
            return [name, *[other for other in names if other != name]]
    return names


def loaded_hash(name: str) -> int:
    """A name's hash as boards hold it: signed."""
    value = int(xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")))
    return value - (1 << 64) if value >= 1 << 63 else value


def with_it_loaded(model: str, endpoints: list[Endpoint]) -> list[Endpoint]:
    """Those that have the model or adapter in memory and no queue; all if there is no such one.

    Loading an adapter or a model takes longer than a request waits at an engine that has room, and
    less long than in one that queues.
    """
    wanted = loaded_hash(model)
    there = [each for each in endpoints if wanted in each.loaded]
    if not there or len(there) == len(endpoints):
        return endpoints
    idlest = min([each.load() for each in endpoints])
    roomy = [
        each
        for each in there
        if each.waiting == 0 or (each.waiting < 0 and each.load() <= idlest + _CROWD)
    ]
    return roomy or endpoints
