"""``forecast``."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from penstock.admin.command import Answer, Document
from penstock.admin.view import UnknownNameError
from penstock.control.commands.base import OperatorCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts

_UNITS: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


class ShowForecast(OperatorCommand):
    """Show what pools will be asked for, per second: the mean, and from p10 to p90."""

    name: ClassVar[str] = "forecast"
    method: ClassVar[Literal["GET", "POST"]] = "GET"
    example: ClassVar[str] = "--pool main"
    pool: Annotated[str, Meta(description="Only this pool.")] = ""

    async def run(self, parts: "Parts") -> Answer:
        """Raises UnknownNameError for a pool without a forecast."""
        names = [pool.name for pool in parts.publisher.running.pools if pool.forecast is not None]
        if self.pool and self.pool not in names:
            known = f"; there are: {', '.join(names[:10])}" if names else ""
            raise UnknownNameError(
                f"no pool called {self.pool!r} is forecast{known}; `forecast: on` in a pool begins"
            )
        return Answer(
            {
                "pools": [
                    {
                        "pool": name,
                        "series": msgspec.to_builtins(parts.forecasts.views(name), str_keys=True),
                    }
                    for name in names
                    if self.pool in ("", name)
                ]
            }
        )

    @classmethod
    def told(cls, answer: Document) -> str:
        if not answer["pools"]:
            return "no pool is forecast; `forecast: on` in a pool begins"
        return "\n".join(line for pool in answer["pools"] for line in _pool(pool))


def _pool(pool: dict[str, Any]) -> list[str]:
    if not pool["series"]:
        return [f"{pool['pool']}: too little was seen so far"]
    return [line for series in pool["series"] for line in _series(pool["pool"], series)]


def _series(pool: str, series: dict[str, Any]) -> list[str]:
    model = series["model"]  # as clients called it
    of = f"{pool}, {model if model.isprintable() else ascii(model)}" if model else pool
    blended = ", ".join(
        f"{name} {weight:.0%}" for name, weight in series["weights"].items() if weight >= 0.01
    )
    how = f"{series['method']}: {blended}" if blended else series["method"]
    ahead = [
        f"  in {_time(each['ahead_s'])}: {each['mean']:,.3g} "
        f"({each['quantiles']['0.1']:,.3g} to {each['quantiles']['0.9']:,.3g})"
        for each in series["ahead"]
    ]
    head = (
        f"{of}: {series['quantity'].replace('_', ' ')} per second, now {series['latest']:,.3g} "
        f"({how}; {series['observed']:,} steps of {_time(series['step_s'])} seen)"
    )
    return [head, *ahead]


def _time(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
