"""How many endpoints a pool is to have, and by whose hands they are started and stopped."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from penstock.core.snapshot.data import Data


class ActuatorChoice(Data, frozen=True):
    """Who starts and stops endpoints, by name (control/scale/actuators), and its settings."""

    name: str = "publish"
    options: dict[str, Any] = field(default_factory=dict)  # as its section in the document


class ScaleWindow(Data, frozen=True):
    """Other bounds for some hours of some days, in the machine's time zone."""

    min: int = 0
    max: int = 0  # 0: that of ``Scale``
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)  # 0: Monday
    from_s: float = 0.0  # of the day
    to_s: float = 86400.0  # before ``from_s``: it lasts over midnight


class Scale(Data, frozen=True):
    """From a load to a number of endpoints. 0 turns a bound off, but for ``min``."""

    max: int
    min: int = 1
    mode: Literal["act", "advise"] = "act"
    actuator: ActuatorChoice = ActuatorChoice()
    concurrency: int = 0  # requests that an endpoint serves at a time; 0: by a model of engines
    max_in_flight: int = 0  # of each that is started
    late_share: float = 0.05  # of requests that may wait for a place, or miss an objective
    spare: float = 0.0  # capacity kept free, as a share of the demand
    ttft_s: float = 0.0
    token_s: float = 0.0
    quantile: float = 0.9  # of the pool's forecast, where it has one
    start_time_s: float = 60.0  # until some were seen
    start_quantile: float = 0.9  # of those seen
    start_timeout_s: float = 600.0
    cool_down_s: float = 300.0
    step_up: int = 0
    step_down: int = 0
    idle_s: float = 900.0  # without a request, before the last endpoint goes
    drain_s: float = 300.0  # that streams of an endpoint to be stopped are waited for; 0: for ever
    interval_s: float = 5.0
    windows: tuple[ScaleWindow, ...] = ()
