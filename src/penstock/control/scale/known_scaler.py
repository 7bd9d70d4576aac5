"""What the scaler of a pool knows and its actuator does not, for a successor."""

from typing import Any

import msgspec


class KnownScaler(msgspec.Struct):
    """Fields are added with defaults, and none comes to mean something else."""

    pool: str
    draining: dict[str, float] = {}  # since when, by the monotonic clock: those to be stopped
    left: list[str] = []  # out of the pool, and not stopped yet
    outdated: list[str] = []  # started with other settings than those that hold
    rules: dict[str, Any] = {}  # the pool's `scale`, by which a successor without one ends it
