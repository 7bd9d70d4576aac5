"""How a scenario writes laws and arrival processes, and what they are built into."""

from math import inf
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import Duration, Factor, PositiveCount, PositiveDuration
from penstock.sim.kernel.arrivals import (
    Arrivals,
    Bursts,
    Diurnal,
    Poisson,
    RateProfile,
    Recorded,
    Renewal,
)
from penstock.sim.kernel.laws import (
    Deterministic,
    Empirical,
    Exponential,
    Gamma,
    HyperExponential,
    Law,
    LogNormal,
    Pareto,
    TruncatedNormal,
    Weibull,
)

LawKind = Literal[
    "exponential",
    "deterministic",
    "hyper-exponential",
    "gamma",
    "weibull",
    "log-normal",
    "pareto",
    "truncated-normal",
    "empirical",
]
_BY_CV2 = {
    "hyper-exponential": HyperExponential,
    "gamma": Gamma,
    "weibull": Weibull,
    "log-normal": LogNormal,
}


class LawSpec(Section):
    """A law of durations. A bare duration is a constant."""

    law: LawKind = setting("exponential", "The shape of the distribution.")
    mean: Duration = setting(1.0, "Its mean; of a truncated-normal law, before truncation.")
    cv2: Factor | None = setting(None, "Variance / mean²: of hyper-exponential, gamma, weibull …")
    alpha: Factor | None = setting(None, "Exponent of the tail of a pareto law, above 1.")
    maximum: PositiveDuration | None = setting(None, "Where a pareto law is cut off.")
    values: tuple[Duration, ...] = setting((), "Of an empirical law: what was measured.")
    weights: tuple[Factor, ...] = setting((), "Of an empirical law: how often each value comes.")

    @model_validator(mode="before")
    @classmethod
    def _from_duration(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"law": "deterministic", "mean": value}
        return value

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        self.build()
        return self

    def build(self) -> Law:
        """The law. Raises ValueError when a parameter is missing or has no meaning."""
        given = {name for name in ("cv2", "alpha", "maximum") if getattr(self, name) is not None}
        extra = given - self._takes()
        if extra:
            raise ValueError(f"{self.law} takes no {min(extra)}")
        match self.law:
            case "exponential":
                return Exponential(self.mean)
            case "deterministic":
                return Deterministic(self.mean)
            case "pareto":
                alpha = self._need("alpha")
                return Pareto(self.mean, alpha, inf if self.maximum is None else self.maximum)
            case "truncated-normal":
                return TruncatedNormal(self.mean, self.mean * self._need("cv2") ** 0.5)
            case "empirical":
                return Empirical(list(self.values), list(self.weights) or None)
            case _:
                return _BY_CV2[self.law](self.mean, self._need("cv2"))

    def _takes(self) -> set[str]:
        if self.law == "pareto":
            return {"alpha", "maximum"}
        return {"cv2"} if self.law in _BY_CV2 or self.law == "truncated-normal" else set()

    def _need(self, name: str) -> float:
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"{self.law} needs {name}")
        return float(value)


ArrivalKind = Literal[
    "poisson",
    "deterministic",
    "gamma",
    "weibull",
    "hyper-exponential",
    "bursts",
    "diurnal",
    "profile",
    "recorded",
    "closed",
]
_GAPS = {"gamma": Gamma, "weibull": Weibull, "hyper-exponential": HyperExponential}


class RatePoint(Section):
    """The arrival rate at one time."""

    at: Duration = required("Time since the beginning.")
    rate: Factor = required("Requests per second then.")

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) == 2:
            return {"at": value[0], "rate": value[1]}
        return value


class ArrivalsSpec(Section):
    """When requests come. Give ``rate`` or ``load``, the share of all servers' capacity."""

    kind: ArrivalKind = setting("poisson", "The arrival process.")
    rate: Factor | None = setting(None, "Requests per second, the mean.")
    load: Factor | None = setting(None, "Offered work as a share of what all servers can do.")
    cv2: Factor | None = setting(None, "Of the gaps of gamma, weibull and hyper-exponential.")
    rates: tuple[Factor, ...] = setting((), "Of bursts: the rate in each state.")
    stays: tuple[PositiveDuration, ...] = setting((), "Of bursts: mean time in each state.")
    swing: float = setting(0.5, "Of diurnal: share by which the rate swings.", ge=0, le=1)
    period: PositiveDuration = setting(86400.0, "Of diurnal: time from peak to peak.")
    peak: Duration = setting(0.0, "Of diurnal: time of the first peak.")
    points: tuple[RatePoint, ...] = setting((), "Of profile: (time, rate), joined by lines.")
    times: tuple[Duration, ...] = setting((), "Of recorded: the arrivals' times.")
    clients: PositiveCount = setting(1, "Of closed: clients that wait for their answers.")
    think: LawSpec = Field(default_factory=LawSpec, description="Of closed: between requests.")

    @model_validator(mode="before")
    @classmethod
    def _readable_times(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("times"), list):
            times = [t if isinstance(t, str) else f"{t:.9f}s" for t in value["times"]]
            return value | {"times": times}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        by_rate = self.kind not in ("bursts", "profile", "recorded", "closed")
        if by_rate and (self.rate is None) == (self.load is None):
            raise ValueError(f"{self.kind} arrivals need a rate or a load, one of them")
        if not by_rate and (self.rate is not None or self.load is not None):
            raise ValueError(f"{self.kind} arrivals take no rate and no load")
        if self.kind != "closed":
            self.build(1.0)
        return self

    def build(self, capacity: float) -> Arrivals:
        """The process, for servers that do ``capacity`` requests per second at most.

        Raises ValueError for a closed loop, which is none, and for parameters without meaning.
        """
        rate = self.rate if self.load is None else self.load * capacity
        match self.kind:
            case "poisson":
                return Poisson(rate or 0.0)
            case "diurnal":
                return Diurnal(
                    rate or 0.0, swing=self.swing, period_s=self.period, peak_s=self.peak
                )
            case "bursts":
                return Bursts(list(self.rates), list(self.stays))
            case "profile":
                return RateProfile([p.at for p in self.points], [p.rate for p in self.points])
            case "recorded":
                return Recorded(sorted(self.times))
            case "closed":
                raise ValueError("a closed loop is no arrival process")
        if not rate:
            raise ValueError("a rate or load above 0 is needed")
        if self.kind == "deterministic":
            return Renewal(Deterministic(1.0 / rate))
        if self.cv2 is None:
            raise ValueError(f"{self.kind} arrivals need the cv2 of their gaps")
        return Renewal(_GAPS[self.kind](1.0 / rate, self.cv2))
