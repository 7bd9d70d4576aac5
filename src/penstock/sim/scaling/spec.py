"""``scale`` in a scenario: who decides how many servers there are, and what a start takes."""

from typing import Literal, Self

from pydantic import model_validator

from penstock.config.document.section import Section, setting
from penstock.config.document.values import Count, Duration, PositiveCount, PositiveDuration, Share
from penstock.sim.specs import LawSpec

RuleName = Literal[
    "penstock",
    "hpa",
    "kpa",
    "target-tracking",
    "predictive",
    "dynamo-last-value",
    "dynamo-arima",
]


class ScaleSpec(Section):
    """Servers are started and drained while the run goes on; there are at most those listed."""

    rule: RuleName = setting("penstock", "The planner that scales live, or another's rule.")
    target: float | None = setting(
        None,
        "What the rule is tuned by: of penstock the share of capacity that is kept spare (0), of "
        "others the busy share that they aim at (0.7).",
        ge=0,
        le=1,
    )
    min: Count = setting(1, "The fewest servers.")
    begin: Count | None = setting(None, "How many there are at first. Default: `min`.")
    start: LawSpec = setting(LawSpec(law="deterministic", mean="60s"), "What a start takes.")  # type: ignore[arg-type]
    every: PositiveDuration = setting(5.0, "Between two looks of penstock.")
    cool_down: Duration = setting(300.0, "Of penstock: after servers were added.")
    late: Share = setting(0.05, "Of penstock: the share of requests that may wait.")
    forecast: str = setting("none", "Of penstock: the method, or `none`.")
    quantile: Share = setting(0.9, "Of the forecast.")
    step: PositiveDuration = setting(60.0, "Of the forecast.")
    seasons: tuple[PositiveDuration, ...] = setting((), "Of the forecast, the shortest first.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.begin is not None and self.begin < self.min:
            raise ValueError("`begin` is less than `min`")
        others = {"cool_down", "late", "forecast", "quantile", "step", "seasons", "every"}
        given = others & self.model_fields_set
        if self.rule != "penstock" and given:
            raise ValueError(f"`{min(given)}` is of `rule: penstock`; others are as they are")
        return self

    @property
    def first(self) -> PositiveCount:
        """How many servers run at first."""
        return self.min if self.begin is None else self.begin
