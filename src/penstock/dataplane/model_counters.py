"""Tokens by model, in the worker's model rows of the board."""

from sys import byteorder
from typing import Final

from penstock.dataplane.board import (
    M_ANSWERS,
    M_CACHED_TOKENS,
    M_NAME,
    M_NAME_BYTES,
    M_OUTPUT_TOKENS,
    M_POOL,
    M_PROMPT_TOKENS,
    MODEL_NAME_BYTES,
    MODEL_ROWS,
    Board,
)

OTHER_MODELS: Final = "(other)"  # the models of a pool beyond its first ones
MODELS_PER_POOL: Final = 31


class ModelCounters:
    """One pool's, in one worker. Counts go to the board at once: answers with usage are rare."""

    def __init__(self, board: Board, pool_row: int, worker: int) -> None:
        self._board: Board = board
        self._pool_row: int = pool_row
        self._worker: int = worker
        self._rows: dict[str, int] = {}  # model → first cell

    def count(self, model: str, prompt: int, cached: int, output: int) -> None:
        """One answer's tokens; those not known are negative."""
        at = self._rows.get(model, -1)
        if at < 0:
            at = self._place(model)
            if at < 0:
                return
        cells = self._board.cells
        cells[at + M_PROMPT_TOKENS] += max(prompt, 0)
        cells[at + M_CACHED_TOKENS] += max(cached, 0)
        cells[at + M_OUTPUT_TOKENS] += max(output, 0)
        cells[at + M_ANSWERS] += 1  # last: who reads it finds the tokens

    def _place(self, model: str) -> int:
        """The first cell of the model's row, or of that of all others; -1 when none is free.

        Names come from clients and are without number, so those beyond the bound are not kept.
        """
        if len(self._rows) >= MODELS_PER_POOL and model != OTHER_MODELS:
            at = self._rows.get(OTHER_MODELS, -1)
            return at if at >= 0 else self._place(OTHER_MODELS)
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
