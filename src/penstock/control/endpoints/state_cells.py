"""The one writer of the board's endpoint state cells."""

from typing import Final

from penstock.control.endpoints.state import EndpointState
from penstock.core.health.health import DOWN
from penstock.dataplane.board.layout import (
    S_DRAINING,
    S_EJECTED,
    S_EXACT,
    S_HEALTH,
    S_HIT_DISTRUST_PPM,
    S_KEEPS_CLIENTS,
    S_MAX_IN_FLIGHT,
    S_WEIGHT_PPM,
)
from penstock.dataplane.board.memory import Board

_PPM: Final = 1_000_000
_CELLS: Final = (
    S_HEALTH,
    S_DRAINING,
    S_EJECTED,
    S_WEIGHT_PPM,
    S_HIT_DISTRUST_PPM,
    S_EXACT,
    S_MAX_IN_FLIGHT,
    S_KEEPS_CLIENTS,
)


class StateCells:
    """The cells of all endpoints."""

    def __init__(self, board: Board) -> None:
        self._board = board
        # Of rows on a board that another supervisor still writes: they are left to it, and workers
        # are not told of any. They read all when they start.
        self.left_alone: frozenset[int] | None = None

    def write(self, state: EndpointState, effective_weight: float, now: float) -> None:
        """What workers see of a state at that Unix time. They are told if anything changed."""
        wanted = (
            DOWN if state.is_down else state.health,
            int(state.is_draining),
            int(state.ejected is not None),
            round(effective_weight * _PPM),
            round(state.hit_distrust * _PPM),
            state.exact_slot + 1 if state.exact else 0,
            state.agent.max_in_flight + 1,
            int(now < state.clients_stay_until),
        )
        left_alone = self.left_alone
        if wanted == state.written or (left_alone is not None and state.row in left_alone):
            return
        state.written = wanted
        cells = self._board.cells
        at = self._board.state(state.row)
        for cell, value in zip(_CELLS, wanted, strict=True):
            cells[at + cell] = value
        if left_alone is None:
            self._board.state_changed(state.row)
