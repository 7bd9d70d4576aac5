"""Faults of an emulated server: what may be asked of it, and what it is suffering."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

FaultKind = Literal[
    "none", "die", "restart", "refuse", "stall", "stall-streams", "slow", "error", "lie"
]


class FaultCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault to begin.

    - ``none``: ends every fault; a dead server comes back, cold.
    - ``die``: stops listening, resets every connection, loses its state.
    - ``restart``: dies if it is not dead, and comes back cold and without faults after ``for_s``.
    - ``refuse``: stops listening; connections that exist go on.
    - ``stall``: accepts connections and requests, answers nothing.
    - ``stall-streams``: health and metrics answer, running work makes no progress.
    - ``slow``: work takes ``factor`` times as long.
    - ``error``: a ``share`` of the requests is answered with ``status``.
    - ``lie``: metrics say ``reported`` instead of the truth, by the names of ``EngineLoad``.

    ``for_s`` ends it by itself; 0 means until told (of a restart: at once). Of two that follow one
    another in the same respect, the latter's counts.
    """

    kind: FaultKind
    for_s: Annotated[float, Meta(ge=0)] = 0.0
    factor: Annotated[float, Meta(ge=1e-3, le=1e6)] = 10.0
    status: Annotated[int, Meta(ge=400, le=599)] = 500
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    reported: dict[str, float] = {}


class Faults(msgspec.Struct):
    """What an emulated server is suffering at the moment."""

    dead: bool = False
    refusing: bool = False
    stalled: bool = False
    streams_stalled: bool = False
    slow_factor: float = 1.0
    error_status: int = 0  # 0: none
    error_share: float = 0.0
    reported: dict[str, float] = {}

    def begin(self, command: FaultCommand) -> None:
        """Add ``command``'s fault to those already there; ``none`` clears them all."""
        kind = command.kind
        if kind == "none":
            self._clear()
        elif kind in ("die", "restart"):
            self.dead = True
        elif kind == "refuse":
            self.refusing = True
        elif kind == "stall":
            self.stalled = True
        elif kind == "stall-streams":
            self.streams_stalled = True
        elif kind == "slow":
            self.slow_factor = command.factor
        elif kind == "error":
            self.error_status, self.error_share = command.status, command.share
        else:
            self.reported = dict(command.reported)

    def end(self, kind: FaultKind) -> None:
        """Take one kind of fault away and leave the others; what was restarted has none."""
        if kind == "restart":
            self._clear()
        else:
            self._take_away(kind)

    def listening(self) -> bool:
        return not (self.dead or self.refusing)

    def _clear(self) -> None:
        for kind in _FIELDS_OF:
            self._take_away(kind)

    def _take_away(self, kind: FaultKind) -> None:
        healthy = Faults()
        for field in _FIELDS_OF[kind]:
            setattr(self, field, getattr(healthy, field))


def respect(kind: FaultKind) -> str:
    """What a fault of this kind is about; the latest command about it is in force."""
    return _FIELDS_OF[kind][0]


_FIELDS_OF: dict[FaultKind, tuple[str, ...]] = {
    "die": ("dead",),
    "restart": ("dead",),
    "refuse": ("refusing",),
    "stall": ("stalled",),
    "stall-streams": ("streams_stalled",),
    "slow": ("slow_factor",),
    "error": ("error_status", "error_share"),
    "lie": ("reported",),
}
