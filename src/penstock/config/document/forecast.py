"""The document's part about forecasts of a pool's load."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from penstock.config.document.quantities import format_duration
from penstock.config.document.section import Section, setting
from penstock.config.document.values import OneOrMany, PositiveDuration
from penstock.core import snapshot
from penstock.core.forecast import create_forecaster, forecasters

_FORECAST: Final = snapshot.Forecast()
_SHORTEST_S: Final = 1.0
_MOST_STEPS: Final = 100_000  # of a season: 0.8 MB for each method that remembers it
_MOST_AHEAD: Final = 1440
_MOST_SEASONS: Final = 4


def _known(name: str) -> str:
    create_forecaster(name)
    return name


class Forecast(Section):
    """What the pool will be asked for, told from what it was asked for. `on` stands for the
    defaults, the name of a method for its `method`."""

    method: Annotated[str, AfterValidator(_known)] = setting(
        _FORECAST.method, f"How: {', '.join(f'`{name}`' for name in forecasters())}."
    )
    step: PositiveDuration = setting(
        _FORECAST.step_s, "Requests and tokens are counted over this time, and forecast for it."
    )
    seasons: Annotated[OneOrMany[PositiveDuration], Field(max_length=_MOST_SEASONS)] = setting(
        _FORECAST.seasons_s, "Times after which the load is like it was. `[]`: there are none."
    )
    horizon: PositiveDuration = setting(_FORECAST.horizon_s, "How far ahead it goes.")
    lead: PositiveDuration = setting(
        _FORECAST.lead_s,
        "How far ahead it is needed: the time that a new endpoint takes to start. Metrics tell the "
        "load so far ahead, and `blend` weighs methods by how well they know it.",
    )

    @model_validator(mode="after")
    def _whole_steps(self) -> "Forecast":
        if self.step < _SHORTEST_S:
            raise ValueError("`step` is shorter than a second")
        for season in self.seasons:
            if self._steps(season, "a season") < 2:
                raise ValueError("a season is shorter than two steps")
            if season > _MOST_STEPS * self.step:
                raise ValueError(
                    f"a season of {format_duration(season)} has more than {_MOST_STEPS:,} steps: "
                    "choose a longer `step`"
                )
        if self._steps(self.horizon, "`horizon`") > _MOST_AHEAD:
            raise ValueError(
                f"`horizon` has more than {_MOST_AHEAD:,} steps: choose a longer `step`"
            )
        if self._steps(self.lead, "`lead`") > self.horizon / self.step:
            raise ValueError("`lead` is longer than `horizon`")
        return self

    def _steps(self, time_s: float, what: str) -> int:
        steps = round(time_s / self.step)
        if steps < 1 or abs(steps * self.step - time_s) > 1e-6:
            raise ValueError(
                f"{what} of {format_duration(time_s)} is no whole number of steps of "
                f"{format_duration(self.step)}"
            )
        return steps

    def compiled(self) -> snapshot.Forecast:
        """As the supervisor takes it."""
        return snapshot.Forecast(
            self.method, self.step, tuple(sorted(set(self.seasons))), self.horizon, self.lead
        )


def _switched(value: Any) -> Any:
    if value in (True, "on"):
        return {}
    if value in (False, "off"):
        return None
    return {"method": value} if isinstance(value, str) else value


ForecastOrOff = Annotated[
    Forecast | None,
    BeforeValidator(_switched, json_schema_input_type=bool | str | Forecast | None),
]
