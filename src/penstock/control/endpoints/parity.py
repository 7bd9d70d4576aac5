"""Watches whether predicted prefix hits come true, and reports where they do not."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from penstock.control.endpoint_key import EndpointKey
from penstock.control.endpoints.states import EndpointStates
from penstock.core.prefixes.parity import PrefixParity
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.layout import L_JUDGED_CACHED, L_JUDGED_PREDICTED, L_JUDGED_PROMPT
from penstock.dataplane.board.memory import Board

_LOOK_S: Final = 1.0


class ParityWatch:
    """Watches all endpoints of pools that serve language models."""

    def __init__(
        self, board: Board, states: EndpointStates, clock: Callable[[], float] = monotonic
    ) -> None:
        self._board = board
        self._clock = clock
        self._states = states
        self._rows: dict[EndpointKey, int] = {}
        self._parities: dict[EndpointKey, PrefixParity] = {}

    def configure(self, snapshot: Snapshot) -> None:
        """Follow the running snapshot."""
        self._rows = {
            (pool.name, endpoint.name): endpoint.row
            for pool in snapshot.pools
            if pool.kind == "llm"
            for endpoint in pool.endpoints
        }
        kept = self._parities
        self._parities = {key: kept.get(key) or PrefixParity() for key in self._rows}

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.refresh()

    def refresh(self) -> None:
        """Judge endpoints with enough answers since the last verdict."""
        board = self._board
        for (pool, name), row in self._rows.items():
            parity = self._parities[pool, name]
            changed = parity.observe(
                board.load_sum(row, L_JUDGED_PROMPT),
                board.load_sum(row, L_JUDGED_PREDICTED),
                board.load_sum(row, L_JUDGED_CACHED),
                self._clock(),
            )
            if changed:
                self._states.distrust_hits(
                    pool,
                    name,
                    parity.hit_distrust,
                    f"{parity.predicted:.0%} of prompt tokens were predicted to be cached, "
                    f"{parity.cached:.0%} were",
                )
