"""Every method on one series, step by step: it never sees what comes after (rolling origin)."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import nan
from time import process_time
from typing import Final

from penstock.core.forecast import LEVELS, Forecast, create_forecaster, forecasters
from penstock.core.forecast.decision_loss import StandInFleet
from penstock.sim.forecasting.series import Series

# Between which four fifths of the values should lie.
LOWER: Final = 0.1
UPPER: Final = 0.9
_SHOWN: Final = 720  # steps that a plot has
_PROGRESS: Final = 500  # steps

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Terms:
    """What forecasts are judged by, in steps."""

    seasons: tuple[int, ...]
    lead: int  # from ordering capacity until it serves
    horizon: int
    warm_up: int  # that are seen, but not judged
    under: float = 9.0  # the price of a missing unit, where an idle one costs 1


@dataclass
class AtHorizon:
    """How forecasts were that were made so many steps before."""

    steps: int
    below: dict[float, int] = field(default_factory=lambda: dict.fromkeys(LEVELS, 0))
    judged: int = 0
    load: float = 0.0
    absolute_error: float = 0.0
    pinball: float = 0.0
    width: float = 0.0

    def add(self, forecast: Forecast, value: float) -> None:
        """A step had this value."""
        self.judged += 1
        self.load += value
        self.absolute_error += abs(value - forecast.mean[self.steps - 1])
        quantiles = {level: forecast.quantile(level, self.steps) for level in LEVELS}
        for level, quantile in quantiles.items():
            self.below[level] += value <= quantile
            missing = value - quantile
            self.pinball += (level if missing > 0.0 else level - 1.0) * missing / len(LEVELS)
        self.width += quantiles[UPPER] - quantiles[LOWER]

    @property
    def mae(self) -> float:
        """Mean absolute error, in the series' unit."""
        return _ratio(self.absolute_error, self.judged)

    @property
    def wape(self) -> float:
        """The sum of absolute errors over that of the loads."""
        return _ratio(self.absolute_error, self.load)

    @property
    def pinball_loss(self) -> float:
        """The mean over all levels, of the load."""
        return _ratio(self.pinball, self.load)

    @property
    def band(self) -> float:
        """The mean width of the band that has four fifths of the values, of the mean load."""
        return _ratio(self.width, self.load)

    def coverage(self, level: float) -> float:
        """The share of values at or below that quantile."""
        return _ratio(self.below[level], self.judged)


@dataclass
class Acting:
    """What a stand-in fleet had idle and lacked, over the load."""

    idle: float = 0.0
    missing: float = 0.0
    load: float = 0.0

    def add(self, capacity: float, value: float) -> None:
        """A step had this value."""
        self.load += value
        if capacity >= value:
            self.idle += capacity - value
        else:
            self.missing += value - capacity

    def loss(self, under: float) -> float:
        """The decision loss, of the load."""
        return _ratio(self.idle + under * self.missing, self.load)

    @property
    def idle_share(self) -> float:
        """Capacity that nothing used, of the load."""
        return _ratio(self.idle, self.load)

    @property
    def missing_share(self) -> float:
        """Load without capacity, of the load."""
        return _ratio(self.missing, self.load)


@dataclass
class Judged:
    """One method on one series."""

    method: str
    horizons: list[AtHorizon]  # 1, the lead and the longest, without repetition
    at_lead: AtHorizon
    acting: Acting
    cpu_s: float = 0.0  # for each observation with its forecast
    # Of the last steps: number, value, and mean and band as forecast a lead before.
    course: deque[tuple[int, float, float, float, float]] = field(
        default_factory=lambda: deque(maxlen=_SHOWN)
    )


@dataclass(frozen=True)
class Judgement:
    """All methods on one series."""

    series: Series
    terms: Terms
    methods: list[Judged]


def judge(
    series: Series,
    terms: Terms,
    methods: Sequence[str] = (),
    *,
    on_progress: Progress = lambda done, total: None,
) -> Judgement:
    """Every method of those names, by default all, on the same steps.

    Raises ValueError on an unknown method, and for a warm-up that leaves nothing to judge.
    """
    names = list(methods or forecasters())
    if terms.warm_up + terms.lead >= len(series.values):
        raise ValueError(
            f"{len(series.values)} steps are too few for a warm-up of {terms.warm_up} and a lead "
            f"of {terms.lead}"
        )
    total = len(names) * len(series.values)
    judged = [
        _judge(series, terms, name, partial(_report, on_progress, at * len(series.values), total))
        for at, name in enumerate(names)
    ]
    return Judgement(series, terms, judged)


def _judge(series: Series, terms: Terms, name: str, on_step: Callable[[int], None]) -> Judged:
    options: dict[str, object] = {"lead": terms.lead, "under": terms.under}
    known = {option.name for option in forecasters()[name].options} if name in forecasters() else ()
    forecaster = create_forecaster(
        name, terms.seasons, terms.horizon, {k: v for k, v in options.items() if k in known}
    )
    horizons = [AtHorizon(steps) for steps in sorted({1, terms.lead, terms.horizon})]
    at_lead = next(each for each in horizons if each.steps == terms.lead)
    found = Judged(name, horizons, at_lead, Acting())
    fleet = StandInFleet(terms.lead, terms.under)
    made: deque[Forecast] = deque(maxlen=terms.horizon)
    began = process_time()
    spent = 0.0
    for step, value in enumerate(series.values):
        if value is not None and step >= terms.warm_up:
            _compare(found, made, fleet.capacity, step, value)
        began = process_time()
        forecaster.observe(value)
        forecast = forecaster.forecast(terms.horizon)
        spent += process_time() - began
        made.append(forecast)
        fleet.act(forecast)
        if step % _PROGRESS == 0:
            on_step(step)
    found.cpu_s = spent / len(series.values)
    return found


def _report(on_progress: Progress, before: int, total: int, steps: int) -> None:
    on_progress(before + steps, total)


def _compare(
    found: Judged, made: deque[Forecast], capacity: float, step: int, value: float
) -> None:
    for horizon in found.horizons:
        if horizon.steps <= len(made):
            horizon.add(made[-horizon.steps], value)
    found.acting.add(capacity, value)
    lead = found.at_lead.steps
    if lead <= len(made):
        forecast = made[-lead]
        found.course.append(
            (
                step,
                value,
                forecast.mean[lead - 1],
                forecast.quantile(LOWER, lead),
                forecast.quantile(UPPER, lead),
            )
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else nan
