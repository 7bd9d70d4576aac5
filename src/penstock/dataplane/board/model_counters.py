"""Tokens by model, in the worker's model rows of the board."""

from sys import byteorder
from typing import Final

from penstock.dataplane.board.layout import (
    M_ANSWERS,
    M_CACHED_TOKENS,
    M_NAME,
    M_NAME_BYTES,
    M_OUTPUT_TOKENS,
    M_POOL,
    M_PROMPT_TOKENS,
    MODEL_NAME_BYTES,
    MODEL_ROWS,
)
from penstock.dataplane.board.memory import Board

OTHER_MODELS: Final = "(other)"  # the models of a pool that have no row of their own
MODELS_PER_POOL: Final = 31
_MOST_CANDIDATES: Final = 256  # names without a row whose answers are counted


class _Sums:
    """A row's: to read a cell costs as much as to write one."""

    def __init__(self, board: Board, at: int) -> None:
        cells = board.cells
        self.prompt: int = cells[at + M_PROMPT_TOKENS]
        self.cached: int = cells[at + M_CACHED_TOKENS]
        self.output: int = cells[at + M_OUTPUT_TOKENS]
        self.answers: int = cells[at + M_ANSWERS]


class ModelCounters:
    """One pool's, in one worker. Counts go to the board at once: answers with usage are rare."""

    def __init__(self, board: Board, pool_row: int, worker: int) -> None:
        self._board: Board = board
        self._pool_row: int = pool_row
        self._worker: int = worker
        self.known: frozenset[str] = frozenset()  # names that endpoints list or are configured with
        self._rows: dict[str, int] = {}  # model → first cell
        self._sums: dict[
            int, _Sums
        ] = {}  # first cell → what stands there, which nobody else writes
        # Answers of names without a row, by which they earn one (Misra and Gries, 1982).
        self._candidates: dict[str, int] = {}

    def count(self, model: str, prompt: int, cached: int, output: int) -> None:
        """One answer's tokens; those not known are negative."""
        at = self._rows.get(model, -1)
        if at < 0:
            at = self._place(model)
            if at < 0:
                return
        sums = self._sums.get(at)
        if sums is None:
            sums = self._sums[at] = _Sums(self._board, at)
        cells = self._board.cells
        if prompt > 0:
            sums.prompt += prompt
            cells[at + M_PROMPT_TOKENS] = sums.prompt
        if cached > 0:
            sums.cached += cached
            cells[at + M_CACHED_TOKENS] = sums.cached
        if output > 0:
            sums.output += output
            cells[at + M_OUTPUT_TOKENS] = sums.output
        sums.answers += 1
        cells[at + M_ANSWERS] = sums.answers  # last: who reads it finds the tokens

    def _place(self, model: str) -> int:
        """The first cell of the model's row, or of that of all others; -1 when none is free.

        Names come from clients and are without number, and some engines answer to any. So rows are
        bounded, and a name that endpoints list, or that has more answers, takes another's row.
        """
        if len(self._rows) >= MODELS_PER_POOL and model != OTHER_MODELS:
            other = self._rows.get(OTHER_MODELS, -1)
            if other < 0:
                other = self._place(OTHER_MODELS)
            return other if other < 0 else self._earned(model, other)
        name = _name_bytes(model)
        cells = self._board.cells
        free = -1
        for row in range(MODEL_ROWS):
            at = self._board.model(self._worker, row)
            owner = cells[at + M_POOL]
            if owner == self._pool_row + 1 and name_at(self._board, at) == name:
                self._rows[model] = at
                return at
            if owner == 0 and free < 0:
                free = at
        if free >= 0:
            self._write(free, name)
            self._rows[model] = free
        return free

    def _earned(self, model: str, other: int) -> int:
        """The row of a name that has just earned it, or that of all others."""
        candidates = self._candidates
        answers = candidates.get(model, 0) + 1
        if len(candidates) >= _MOST_CANDIDATES and model not in candidates:
            self._candidates = {name: n - 1 for name, n in candidates.items() if n > 1}
        else:
            candidates[model] = answers
        cells = self._board.cells
        least = ""
        fewest = 0
        for name, at in self._rows.items():
            if name == OTHER_MODELS or name in self.known:
                continue
            if not least or cells[at + M_ANSWERS] < fewest:
                least = name
                fewest = cells[at + M_ANSWERS]
        if not least or (model not in self.known and answers <= fewest):
            return other
        self._candidates.pop(model, None)
        at = self._rows.pop(least)
        cells[at + M_POOL] = 0  # nobody reads it meanwhile
        self._sums = {}
        for cell in (M_PROMPT_TOKENS, M_CACHED_TOKENS, M_OUTPUT_TOKENS, M_ANSWERS):
            cells[other + cell] += cells[at + cell]
            cells[at + cell] = 0
        self._write(at, _name_bytes(model))
        self._rows[model] = at
        return at

    def _write(self, at: int, name: bytes) -> None:
        cells = self._board.cells
        padded = name.ljust(MODEL_NAME_BYTES, b"\0")
        for index in range(MODEL_NAME_BYTES // 8):
            word = padded[index * 8 : index * 8 + 8]
            cells[at + M_NAME + index] = int.from_bytes(word, byteorder, signed=True)
        cells[at + M_NAME_BYTES] = len(name)
        cells[at + M_POOL] = self._pool_row + 1


def name_at(board: Board, at: int) -> bytes:
    """The name in a model row."""
    words = board.cells[at + M_NAME : at + M_NAME + MODEL_NAME_BYTES // 8]
    return words.tobytes()[: board.cells[at + M_NAME_BYTES]]


def _name_bytes(model: str) -> bytes:
    name = model.encode("utf-8", "replace")[:MODEL_NAME_BYTES]
    return name.decode("utf-8", "ignore").encode()  # not cut inside of a character
