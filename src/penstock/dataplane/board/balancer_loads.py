"""Load of endpoints as balancers tell each other of it, from and to the board.

An endpoint is known to all by a hash of its URL. Of each a balancer tells absolute numbers, so a
message that is lost leaves an old number and no error that stays; a digest over all of them shows
whether any was. The supervisor's part of the board, read and written two hundred times a second,
which is why it is compiled.
"""

from typing import Final

from penstock.core.health.breaker import OPEN
from penstock.core.health.health import DOWN
from penstock.dataplane.board.layout import (
    L_BREAKER,
    L_DECODING,
    L_IN_FLIGHT,
    L_KV_TOKENS,
    L_PENDING_PREFILL,
    L_PREFILLED,
    LOAD_CELLS,
    O_DECODING,
    O_IN_FLIGHT,
    O_KV_TOKENS,
    O_PENDING_PREFILL,
    O_PREFILLED,
    O_WANTED,
    O_WANTS,
    S_EJECTED,
    S_HEALTH,
    STATE_CELLS,
)
from penstock.dataplane.board.memory import Board

# What is told of an endpoint, after its hash. Whoever knows fewer reads the first of them.
T_IN_FLIGHT: Final = 0
T_PENDING_PREFILL: Final = 1
T_KV_TOKENS: Final = 2
T_DECODING: Final = 3
T_PREFILLED: Final = 4  # a running total
T_VERDICT: Final = 5  # a sum of these
EJECTED: Final = 1
IS_DOWN: Final = 2
CIRCUIT_OPEN: Final = 4
# Places that it wants more of. Not digested: an older version does not know of it.
T_WANTS: Final = 6
_DIGESTED: Final = 6
TOLD: Final = 7
WIDTH: Final = 1 + TOLD
MOST_ENDPOINTS: Final = 65_536  # of one balancer
_MOST: Final = 1 << 40  # of any of these numbers
_DIGEST_MASK: Final = (1 << 40) - 1
_FACTOR: Final = 1_000_003


def digest_of(url: int, values: list[int]) -> int:
    """Of what is told of an endpoint; exclusive-or of all of them is that of a balancer."""
    found = url & _DIGEST_MASK
    for value in values[:_DIGESTED]:
        found = (found * _FACTOR + value) & _DIGEST_MASK
    return found


class OwnLoads:
    """What this balancer's workers have, summed over them and over pools with the same URL."""

    def __init__(self, board: Board) -> None:
        self._board: Board = board
        self._cells: memoryview = board.cells
        self._rows: dict[int, list[int]] = {}
        self._told: dict[int, list[int]] = {}
        self._digests: dict[int, int] = {}
        self._spans: dict[int, list[tuple[int, int]]] = {}  # of cells
        self._seen: dict[int, bytes] = {}  # what stood on the board when it was summed
        self.digest: int = 0

    def configure(self, rows: dict[int, list[int]]) -> None:
        """The board's rows of each endpoint, by the hash of its URL."""
        self._rows = rows
        self._told = {}
        self._digests = {}
        self._seen = {}
        self.digest = 0
        board = self._board
        self._spans = {}
        for url, each in rows.items():
            spans: list[tuple[int, int]] = []
            for row in each:
                load = board.load(row, 0)
                state = board.state(row)
                wants = board.others(row) + O_WANTS
                spans.append((load, load + board.workers * LOAD_CELLS))
                spans.append((state, state + STATE_CELLS))
                spans.append((wants, wants + 1))
            self._spans[url] = spans

    def changed(self) -> list[int]:
        """What is to be told: WIDTH numbers for each endpoint that has others than before."""
        found: list[int] = []
        for url, rows in self._rows.items():
            raw = self._raw(url)
            if raw == self._seen.get(url):
                continue  # most have, at any time
            self._seen[url] = raw
            now = self._read(rows)
            if self._told.get(url) == now:
                continue
            digest = digest_of(url, now)
            self.digest ^= self._digests.get(url, 0) ^ digest
            self._digests[url] = digest
            self._told[url] = now
            found.append(url)
            found += now
        return found

    def all(self) -> list[int]:
        """All that was told so far, which ``digest`` is of."""
        found: list[int] = []
        for url, values in self._told.items():
            found.append(url)
            found += values
        return found

    def _raw(self, url: int) -> bytes:
        """All that is summed, as it stands there: a comparison of bytes is cheaper than a sum."""
        cells = self._cells
        found = b""
        for first, end in self._spans[url]:
            found += cells[first:end].tobytes()
        return found

    def _read(self, rows: list[int]) -> list[int]:
        board = self._board
        cells = self._cells
        in_flight = pending = held = decoding = prefilled = verdict = wants = 0
        for row in rows:
            first = board.load(row, 0)
            for at in range(first, first + board.workers * LOAD_CELLS, LOAD_CELLS):
                in_flight += cells[at + L_IN_FLIGHT]
                pending += cells[at + L_PENDING_PREFILL]
                held += cells[at + L_KV_TOKENS]
                decoding += cells[at + L_DECODING]
                prefilled += cells[at + L_PREFILLED]
                if cells[at + L_BREAKER] == OPEN:
                    verdict |= CIRCUIT_OPEN
            wants += cells[board.others(row) + O_WANTS]
            state = board.state(row)
            if cells[state + S_EJECTED] != 0:
                verdict |= EJECTED
            if cells[state + S_HEALTH] == DOWN:
                verdict |= IS_DOWN
        found = [in_flight, pending, held, decoding, prefilled, verdict, wants]
        if min(found) < 0 or max(found) > _MOST:
            found = [_bounded(value) for value in found]
        return found


class ToldLoads:
    """What one other balancer told, by the hash of the endpoint's URL."""

    def __init__(self) -> None:
        self.values: dict[int, list[int]] = {}
        self.digests: dict[int, int] = {}  # of each
        self.digest: int = 0


class OtherLoads:
    """The sums over all other balancers, on the board."""

    def __init__(self, board: Board) -> None:
        self._board: Board = board
        self._cells: memoryview = board.cells
        self._rows: dict[int, list[int]] = {}
        self._sums: dict[int, list[int]] = {}

    def configure(self, rows: dict[int, list[int]]) -> None:
        """The board's rows of each endpoint, by the hash of its URL."""
        self._rows = rows
        self.write_all()

    def write_all(self) -> None:
        """Once more: a predecessor on the same board takes back what it wrote when it ends."""
        for url in self._rows:
            self._write(url)

    def take(self, told: ToldLoads, numbers: memoryview, width: int, whole: bool) -> list[int]:
        """A balancer told these, ``width`` to an endpoint; ``whole``: and has no others.

        Returns hashes of those of which it has another verdict than before.
        """
        changed: list[int] = []
        if whole:
            present = {numbers[at]: True for at in range(0, len(numbers), width)}
            for gone in [each for each in told.values if each not in present]:
                self._replace(told, gone, [0] * TOLD, changed)
                told.digest ^= told.digests.pop(gone)
                del told.values[gone]
        known = min(width - 1, TOLD)
        for at in range(0, len(numbers), width):
            url: int = numbers[at]
            if url not in told.values and len(told.values) >= MOST_ENDPOINTS:
                continue
            values: list[int] = numbers[at + 1 : at + 1 + known].tolist()
            if min(values) < 0 or max(values) > _MOST:
                values = [_bounded(value) for value in values]
            if known < TOLD:
                values += [0] * (TOLD - known)
            self._replace(told, url, values, changed)
        return changed

    def drop(self, told: ToldLoads) -> None:
        """That balancer is gone, and with it what it had."""
        changed: list[int] = []
        for url in list(told.values):
            self._replace(told, url, [0] * TOLD, changed)
            if url not in self._rows and not any(self._sums[url][:T_PREFILLED]):
                del self._sums[url]
        told.values = {}
        told.digests = {}
        told.digest = 0

    def in_flight(self, url: int) -> int:
        """Of all other balancers."""
        sums = self._sums.get(url)
        return sums[T_IN_FLIGHT] if sums is not None else 0

    def _replace(self, told: ToldLoads, url: int, values: list[int], changed: list[int]) -> None:
        before = told.values.get(url)
        sums = self._sums.get(url)
        if sums is None:
            sums = [0] * TOLD
            self._sums[url] = sums
        verdict = 0
        if before is not None:
            if before == values:
                return
            verdict = before[T_VERDICT]
            for field in range(T_PREFILLED):
                sums[field] += values[field] - before[field]
            sums[T_WANTS] += values[T_WANTS] - before[T_WANTS]
            # A running total that goes on, whoever comes or goes.
            sums[T_PREFILLED] += max(values[T_PREFILLED] - before[T_PREFILLED], 0)
        else:
            for field in range(T_PREFILLED):
                sums[field] += values[field]
            sums[T_WANTS] += values[T_WANTS]
        told.values[url] = values
        digest = digest_of(url, values)
        told.digest ^= told.digests.get(url, 0) ^ digest
        told.digests[url] = digest
        if values[T_VERDICT] != verdict:
            changed.append(url)
        self._write(url)

    def _write(self, url: int) -> None:
        rows = self._rows.get(url)
        sums = self._sums.get(url)
        if rows is None:
            return
        cells = self._cells
        for row in rows:
            at = self._board.others(row)
            if sums is None:  # a running total stays
                for cell in (O_IN_FLIGHT, O_PENDING_PREFILL, O_KV_TOKENS, O_DECODING, O_WANTED):
                    cells[at + cell] = 0
                continue
            cells[at + O_IN_FLIGHT] = sums[T_IN_FLIGHT]
            cells[at + O_PENDING_PREFILL] = sums[T_PENDING_PREFILL]
            cells[at + O_KV_TOKENS] = sums[T_KV_TOKENS]
            cells[at + O_DECODING] = sums[T_DECODING]
            cells[at + O_WANTED] = sums[T_WANTS]
            cells[at + O_PREFILLED] = sums[T_PREFILLED]


def _bounded(value: int) -> int:
    return min(max(value, 0), _MOST)
