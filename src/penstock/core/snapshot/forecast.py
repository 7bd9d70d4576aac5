"""How a pool's load is forecast."""

from __future__ import annotations

from penstock.core.snapshot.data import Data


class Forecast(Data, frozen=True):
    """``seasons_s`` and ``horizon_s`` are whole steps; ``method`` is one of core/forecast."""

    method: str = "blend"
    step_s: float = 60.0
    seasons_s: tuple[float, ...] = (86_400.0, 604_800.0)  # the shortest first
    horizon_s: float = 3600.0
    lead_s: float = 300.0  # how far ahead decisions need it
