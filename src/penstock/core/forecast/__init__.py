"""Forecasts of loads: a series of equal steps, and what its next ones will be.

The methods are found by name, one per file in ``methods``; nothing else lists them.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from penstock.core.forecast.base import Forecaster
from penstock.core.forecast.forecast import LEVELS, Forecast
from penstock.core.plain_state import State
from penstock.core.snapshot import Forecast as ForecastSpec

__all__ = [
    "LEVELS",
    "Forecast",
    "Forecaster",
    "create_forecaster",
    "forecaster_of",
    "forecasters",
    "restored",
]


@cache
def forecasters() -> dict[str, type[Forecaster]]:
    """Every method by its name, in alphabetical order."""
    methods = import_module(f"{__name__}.methods")
    found: dict[str, type[Forecaster]] = {}
    for module in iter_modules(methods.__path__):
        for member in vars(import_module(f"{methods.__name__}.{module.name}")).values():
            if isinstance(member, type) and issubclass(member, Forecaster) and member.name:
                found[member.name] = member
    return dict(sorted(found.items()))


def create_forecaster(
    name: str,
    seasons: tuple[int, ...] = (),
    horizon: int = 60,
    options: dict[str, object] | None = None,
) -> Forecaster:
    """A forecaster of that name; ``seasons`` and ``horizon`` are in steps.

    Raises ValueError on an unknown name or a bad option, season or horizon.
    """
    known = forecasters()
    if name not in known:
        close = get_close_matches(name.lower().replace("_", "-"), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise ValueError(f"there is no forecast {name!r}; {hint}")
    if horizon < 1:
        raise ValueError(f"a horizon is at least one step, not {horizon}")
    if any(season < 2 for season in seasons) or sorted(set(seasons)) != list(seasons):
        raise ValueError(f"seasons are of two steps or more, the shortest first, not {seasons}")
    cls = known[name]
    given = dict(options or {})
    checked = {
        option.name: option.check(given.pop(option.name))
        for option in cls.options
        if option.name in given
    }
    if given:
        names = ", ".join(option.name for option in cls.options) or "none"
        raise ValueError(f"forecast {name!r} has no option {min(given)!r}; its options: {names}")
    make: Callable[..., Forecaster] = cls
    return make(seasons, horizon, **checked)


def forecaster_of(spec: ForecastSpec) -> Forecaster:
    """The forecaster that a pool asks for. Raises ValueError like ``create_forecaster``."""
    options: dict[str, object] = {}
    if spec.method in forecasters() and any(
        option.name == "lead" for option in forecasters()[spec.method].options
    ):
        options["lead"] = round(spec.lead_s / spec.step_s)
    seasons = tuple(round(season / spec.step_s) for season in spec.seasons_s)
    return create_forecaster(spec.method, seasons, round(spec.horizon_s / spec.step_s), options)


def restored(
    state: State,
    name: str,
    seasons: tuple[int, ...] = (),
    horizon: int = 60,
    options: dict[str, object] | None = None,
) -> Forecaster:
    """One that goes on where that ``state`` was written.

    Raises ValueError where the state is of another method, season or horizon, or is none.
    """
    forecaster = create_forecaster(name, seasons, horizon, options)
    forecaster.restore(state)
    return forecaster
