"""What a planner sees of a pool, from the counters that workers keep on the board."""

from typing import Final

from penstock.admin.tokens import tokens_by_pool
from penstock.control.elsewhere import Elsewhere
from penstock.core.scale.demand import Demand, Sight
from penstock.core.snapshot import Pool
from penstock.dataplane.board.layout import (
    L_PREFILLED,
    L_TIMED,
    L_TOTAL_SUM_US,
    O_PREFILLED,
    P_REQUESTS,
    P_WAITING,
)
from penstock.dataplane.board.memory import Board

_RATE_S: Final = 15.0  # over which rates are taken


class Sample:
    """One look: what is asked, and how long requests took since the look before (0: none did)."""

    def __init__(
        self,
        sight: Sight,
        service_s: float,
        came: float,
        prompt_tokens: float,
        output_tokens: float,
    ) -> None:
        self.sight = sight
        self.service_s = service_s
        self.came = came  # since the look before: requests, and their tokens
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens


class Sampler:
    """Of one pool."""

    def __init__(self, board: Board, elsewhere: Elsewhere) -> None:
        self._board = board
        self._elsewhere = elsewhere
        self._at = 0.0
        self._totals: tuple[int, ...] | None = None  # requests, output tokens
        self._of_endpoints: dict[tuple[str, int], tuple[int, ...]] = {}
        self._looks: list[tuple[float, float, float, float]] = []  # seconds, and what came in them

    def look(self, pool: Pool, now: float, local_s: float) -> Sample:
        """What is so now, and has been since the last look."""
        board = self._board
        tokens = tokens_by_pool(board).get(pool.row) if pool.kind == "llm" else None
        others = self._elsewhere.demand(pool.name)
        totals = (
            board.pool_sum(pool.row, P_REQUESTS) + others.requests,
            (tokens.output if tokens else 0) + others.output_tokens,
        )
        before = self._totals if self._totals is not None else totals
        came, outputs = (max(a - b, 0) for a, b in zip(totals, before, strict=True))
        timed, total_us, prefilled = self._changes(pool)
        passed = now - self._at
        if self._totals is not None and passed > 0.0:
            self._looks.append((passed, came, prefilled, outputs))
        self._totals, self._at = totals, now
        in_flight = sum(board.in_flight(each.row) for each in pool.endpoints)
        sight = Sight(
            now,
            self._demand(),
            local_s=local_s,
            in_flight=float(max(in_flight, 0)),
            queued=float(max(board.pool_sum(pool.row, P_WAITING) + others.waiting, 0)),
        )
        service_s = total_us / timed / 1e6 if timed > 0 else 0.0
        return Sample(sight, service_s, came, prefilled, outputs)

    def _demand(self) -> Demand:
        looks = self._looks
        while len(looks) > 1 and sum(each[0] for each in looks[1:]) >= _RATE_S:
            del looks[0]
        seconds = sum(each[0] for each in looks)
        if not seconds:
            return Demand()
        return Demand(*(sum(each[at] for each in looks) / seconds for at in (1, 2, 3)))

    def _changes(self, pool: Pool) -> tuple[int, ...]:
        """Of all endpoints: requests that were timed, their seconds, and tokens computed."""
        now = {}
        changes: tuple[int, ...] = (0, 0, 0)
        for endpoint in pool.endpoints:
            key = (endpoint.name, endpoint.row)
            seen = tuple(
                self._board.load_sum(endpoint.row, cell)
                for cell in (L_TIMED, L_TOTAL_SUM_US, L_PREFILLED)
            )
            if self._board.shared:
                at = self._board.others(endpoint.row)
                seen = (*seen[:2], seen[2] + self._board.cells[at + O_PREFILLED])
            now[key] = seen
            before = self._of_endpoints.get(key, seen)
            changes = tuple(
                total + max(a - b, 0) for total, a, b in zip(changes, seen, before, strict=True)
            )
        self._of_endpoints = now
        return changes
