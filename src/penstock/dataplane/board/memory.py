"""The board: memory that the supervisor and the workers share.

Signed 64-bit cells in a memfd, mapped by everyone. Every cell has exactly one writer, so there
are no locks: the supervisor writes the header and each endpoint's state, a worker writes only the
cells of its own index. Readers sum over workers. An aligned 64-bit store is atomic on every
machine that Penstock runs on. ``layout`` says what stands in each section:

    header      1                                                supervisor
    workers     workers                                          each worker its own
    states      endpoint_rows                                    supervisor
    reports     endpoint_rows                                    supervisor
    load        endpoint_rows x workers                          each worker its own
    pools       pool_rows x workers                              each worker its own
    models      workers x MODEL_ROWS                             each worker its own
    routes      workers                                          each worker its own
    sightings   workers                                          each worker its own
    facts       1                                                supervisor
    addresses   ADDRESS_ROWS x ADDRESS_SLOTS x workers           each worker its own
    changes     1                                                supervisor
    others      endpoint_rows                                    supervisor
    told        1                                                supervisor
    queues      pool_rows x workers                              each worker its own
    ledgers     workers                                          each worker its own

Rows are room, not memory: the system gives a page when it is first touched, reading included, so
nobody looks at rows beyond those that were ever given out. A board has room for far more endpoints
and pools than most ever have, and never moves: a cell stays where it is as long as anybody maps it.
"""

import mmap
import os
from array import array
from typing import Final

from penstock.core.measure.histogram import BUCKETS
from penstock.dataplane.board.layout import (
    ADDRESS_KEY_CELLS,
    ADDRESS_ROWS,
    ADDRESS_SLOTS,
    C_REPORTS,
    C_STATES,
    CHANGED_CELLS,
    CHANGED_ROWS,
    FACTS_CELLS,
    H_ADDRESS_KEY,
    H_ENDPOINT_ROWS,
    H_ENDPOINT_ROWS_USED,
    H_EPOCH,
    H_LAYOUTS,
    H_MAGIC,
    H_POOL_ROWS,
    H_POOL_ROWS_USED,
    H_REPORTS,
    H_SHARED,
    H_WORKERS,
    HEADER_CELLS,
    L_IN_FLIGHT,
    LEDGER_CELLS,
    LEDGER_PLACES,
    LOAD_CELLS,
    M_POOL,
    MAGIC,
    MODEL_CELLS,
    MODEL_ROWS,
    MOST_SECTIONS,
    O_IN_FLIGHT,
    OTHERS_CELLS,
    P_HISTOGRAMS,
    P_SERVING_HISTOGRAMS,
    POOL_CELLS,
    PRESENT_LOAD_CELLS,
    Q_CALL,
    Q_HEADS,
    Q_RUNNING,
    Q_WAITING,
    QUEUE_CELLS,
    REPORT_CELLS,
    ROUTE_RING_CELLS,
    SECTIONS,
    SIGHTING_RING_CELLS,
    STATE_CELLS,
    W_PID,
    WORKER_CELLS,
)
from penstock.dataplane.board.wakers import Wakers

ENDPOINT_ROWS: Final = 65_536
POOL_ROWS: Final = 4_096
_NO_BOARD: Final = "the descriptor given as board holds no Penstock board"


class BoardMismatchError(ValueError):
    """The board cannot be read by this process. The text is for people."""


def as_cell(digest: int) -> int:
    """An unsigned number of 64 bits as a cell holds it."""
    return digest - (1 << 64) if digest >= 1 << 63 else digest


def of_cell(value: int) -> int:
    """What ``as_cell`` was given."""
    return value & ((1 << 64) - 1)


class Board:
    """One process's view of the board. ``cells`` may be read and written by index."""

    def __init__(self, fd: int) -> None:
        """Map an existing board. Raises BoardMismatchError when it is laid out otherwise."""
        size = os.fstat(fd).st_size
        if size < 8 * HEADER_CELLS:
            raise BoardMismatchError(_NO_BOARD)
        self.fd: int = fd
        self.cells: memoryview = memoryview(mmap.mmap(fd, size)).cast("q")
        _check_layouts(self.cells)
        self.workers: int = self.cells[H_WORKERS]  # indexes that there is room for
        # Of these the workers that run have this first one up to, without, that last one; they are
        # more than those that share what is configured while others finish after an upgrade.
        self.first_index: int = 0
        self.end_index: int = self.workers
        self.sharers: int = self.workers
        self.endpoint_rows: int = self.cells[H_ENDPOINT_ROWS]
        self.pool_rows: int = self.cells[H_POOL_ROWS]
        self._workers_at: int = HEADER_CELLS
        self._states_at: int = self._workers_at + self.workers * WORKER_CELLS
        self._reports_at: int = self._states_at + self.endpoint_rows * STATE_CELLS
        self._loads_at: int = self._reports_at + self.endpoint_rows * REPORT_CELLS
        self._pools_at: int = self._loads_at + self.endpoint_rows * self.workers * LOAD_CELLS
        self._models_at: int = self._pools_at + self.pool_rows * self.workers * POOL_CELLS
        self._routes_at: int = self._models_at + self.workers * MODEL_ROWS * MODEL_CELLS
        self._sightings_at: int = self._routes_at + self.workers * ROUTE_RING_CELLS
        self.facts: int = self._sightings_at + self.workers * SIGHTING_RING_CELLS
        self._addresses_at: int = self.facts + FACTS_CELLS
        addresses = ADDRESS_ROWS * ADDRESS_SLOTS * self.workers
        self._changed_at: int = self._addresses_at + addresses
        self._others_at: int = self._changed_at + CHANGED_CELLS
        # The ring of prefixes that other balancers told of.
        self.told: int = self._others_at + self.endpoint_rows * OTHERS_CELLS
        self.shared: bool = self.cells[H_SHARED] != 0  # from the start of this process
        self._queues_at: int = self.told + ROUTE_RING_CELLS
        self._ledgers_at: int = self._queues_at + self.pool_rows * self.workers * QUEUE_CELLS
        self.wakers: Wakers = Wakers()  # of the other workers, once they are known

    def count_indexes(self, first: int, end: int, sharers: int) -> None:
        """Which workers run, and how many of them are of this supervisor."""
        self.first_index = first
        self.end_index = end
        self.sharers = sharers

    def seen_workers(self) -> list[int]:
        """The indexes that run, or ever did."""
        return [
            index
            for index in range(self.workers)
            if self.first_index <= index < self.end_index
            or self.cells[self.worker(index) + W_PID] != 0
        ]

    @property
    def endpoint_rows_used(self) -> int:
        """Only the first so many rows were ever given to endpoints."""
        used: int = self.cells[H_ENDPOINT_ROWS_USED]
        return used

    @property
    def pool_rows_used(self) -> int:
        """Only the first so many rows were ever given to pools."""
        used: int = self.cells[H_POOL_ROWS_USED]
        return used

    def worker(self, worker: int) -> int:
        """Index of the first cell of that worker's own section."""
        return self._workers_at + worker * WORKER_CELLS

    def state(self, row: int) -> int:
        """Index of the first state cell of the endpoint in that row."""
        return self._states_at + row * STATE_CELLS

    def report(self, row: int) -> int:
        """Index of the first report cell of the endpoint in that row."""
        return self._reports_at + row * REPORT_CELLS

    def load(self, row: int, worker: int) -> int:
        """Index of the first load cell that the worker has for the endpoint in that row."""
        return self._loads_at + (row * self.workers + worker) * LOAD_CELLS

    def pool(self, row: int, worker: int) -> int:
        """Index of the first cell that the worker has for the pool in that row."""
        return self._pools_at + (row * self.workers + worker) * POOL_CELLS

    def histogram(self, row: int, worker: int, phase: int) -> int:
        """Index of the first bucket of a phase (an index into PHASES)."""
        return self.pool(row, worker) + P_HISTOGRAMS + phase * BUCKETS

    def serving_histogram(self, row: int, worker: int, phase: int) -> int:
        """Index of the first bucket of a phase (an index into SERVING_PHASES)."""
        return self.pool(row, worker) + P_SERVING_HISTOGRAMS + phase * BUCKETS

    def model(self, worker: int, row: int) -> int:
        """Index of the first cell of one of the worker's model rows."""
        return self._models_at + (worker * MODEL_ROWS + row) * MODEL_CELLS

    def routes(self, worker: int) -> int:
        """Index of the first cell of the worker's ring of routed prefixes."""
        return self._routes_at + worker * ROUTE_RING_CELLS

    def sightings(self, worker: int) -> int:
        """Index of the first cell of the worker's ring of answered prompts."""
        return self._sightings_at + worker * SIGHTING_RING_CELLS

    def queue(self, row: int, worker: int) -> int:
        """Index of the first cell of the worker's queue for the pool in that row."""
        return self._queues_at + (row * self.workers + worker) * QUEUE_CELLS

    def ledger(self, worker: int) -> int:
        """Index of the first cell of the worker's ledger."""
        return self._ledgers_at + worker * LEDGER_PLACES * LEDGER_CELLS

    def clear_queue(self, row: int, worker: int) -> None:
        """Nobody waits there for the pool in that row, or is under way under its limit."""
        at = self.queue(row, worker)
        self.cells[at + Q_HEADS] = 0
        self.cells[at + Q_CALL] = 0
        self.cells[at + Q_WAITING] = 0
        self.cells[at + Q_RUNNING] = 0

    def address_key(self) -> bytes:
        """The key that addresses are hashed with."""
        return self.cells[H_ADDRESS_KEY : H_ADDRESS_KEY + ADDRESS_KEY_CELLS].tobytes()

    def address_slot(self, row: int, slot: int, worker: int) -> int:
        """Index of a cell of the address sketch; ``row`` is 0 or 1."""
        return self._addresses_at + (row * ADDRESS_SLOTS + slot) * self.workers + worker

    def others(self, row: int) -> int:
        """Index of the first cell of what other balancers have at the endpoint in that row."""
        return self._others_at + row * OTHERS_CELLS

    def share(self) -> None:
        """Workers that start from here on count what other balancers have."""
        self.cells[H_SHARED] = 1
        self.shared = True

    def state_changed(self, row: int) -> None:
        """Tell workers that the state cells of that row were written."""
        self._changed(H_EPOCH, C_STATES, row)

    def report_changed(self, row: int) -> None:
        """Tell workers that the report cells of that row were written."""
        self._changed(H_REPORTS, C_REPORTS, row)

    def states_since(self, epoch: int) -> list[int] | None:
        """Rows whose state changed since H_EPOCH was that; None: so many that any may have."""
        return self._since(H_EPOCH, C_STATES, epoch)

    def reports_since(self, reports: int) -> list[int] | None:
        """Rows whose report changed since H_REPORTS was that; None: so many that any may have."""
        return self._since(H_REPORTS, C_REPORTS, reports)

    def _changed(self, count: int, ring: int, row: int) -> None:
        changes = self.cells[count]
        self.cells[self._changed_at + ring + changes % CHANGED_ROWS] = row
        self.cells[count] = changes + 1  # after the entry: readers go by it

    def _since(self, count: int, ring: int, before: int) -> list[int] | None:
        cells = self.cells
        now = cells[count]
        if before < 0 or now - before >= CHANGED_ROWS:
            return None
        at = self._changed_at + ring
        rows = [cells[at + number % CHANGED_ROWS] for number in range(before, now)]
        # The oldest may have been overwritten meanwhile, one of them by a change not counted yet.
        return None if cells[count] - before >= CHANGED_ROWS else rows

    def load_sum(self, row: int, cell: int) -> int:
        """One load cell summed over workers."""
        at = self._loads_at + row * self.workers * LOAD_CELLS + cell
        total = 0
        for worker in range(self.workers):
            total += self.cells[at + worker * LOAD_CELLS]
        return total

    def load_column(self, cell: int, rows: int) -> list[int]:
        """One load cell of the first so many rows, summed over workers: a hundred times cheaper
        than row by row."""
        end, stride = self.load(rows, 0), self.workers * LOAD_CELLS
        columns = [
            self.cells[self.load(0, worker) + cell : end : stride].tolist()
            for worker in range(self.workers)
        ]
        return (
            columns[0] if len(columns) == 1 else [sum(each) for each in zip(*columns, strict=True)]
        )

    def in_flight(self, row: int) -> int:
        """Requests at the endpoint in that row, of all workers and of other balancers."""
        others: int = self.cells[self.others(row) + O_IN_FLIGHT] if self.shared else 0
        return self.load_sum(row, L_IN_FLIGHT) + others

    def pool_sum(self, row: int, cell: int) -> int:
        """One pool cell summed over workers."""
        total = 0
        for worker in range(self.workers):
            total += self.cells[self.pool(row, worker) + cell]
        return total

    def pool_highest(self, row: int, cell: int) -> int:
        """The highest of one pool cell over workers."""
        return max([self.cells[self.pool(row, worker) + cell] for worker in range(self.workers)])

    def worker_sum(self, cell: int) -> int:
        """One worker cell summed over workers."""
        total = 0
        for worker in range(self.workers):
            total += self.cells[self.worker(worker) + cell]
        return total

    def clear_report(self, row: int) -> None:
        """Nothing is known of the load of the endpoint in that row."""
        self._clear(self.report(row), REPORT_CELLS)

    def clear_others(self, row: int) -> None:
        """No other balancer has anything at the endpoint in that row."""
        self._clear(self.others(row), OTHERS_CELLS)

    def clear_load(self, row: int, worker: int) -> None:
        """Zero what the worker counted for the endpoint in that row."""
        self._clear(self.load(row, worker), LOAD_CELLS)

    def clear_present_load(self, row: int, worker: int) -> None:
        """The worker is dead: zero what it had under way there; what it counted in all stays."""
        self._clear(self.load(row, worker), PRESENT_LOAD_CELLS)

    def clear_pool(self, row: int, worker: int) -> None:
        """Zero what the worker counted for the pool in that row, and its models."""
        self._clear(self.pool(row, worker), POOL_CELLS)
        for model_row in range(MODEL_ROWS):
            at = self.model(worker, model_row)
            if self.cells[at + M_POOL] == row + 1:
                self._clear(at, MODEL_CELLS)

    def _clear(self, at: int, cells: int) -> None:
        self.cells[at : at + cells] = memoryview(array("q", [0]) * cells)


def _check_layouts(cells: memoryview) -> None:
    if cells[H_MAGIC] != MAGIC:
        raise BoardMismatchError(_NO_BOARD)
    differing = [
        f"{name!r} has layout {cells[H_LAYOUTS + index]} on the board, {layout} here"
        for index, (name, layout) in enumerate(SECTIONS)
        if cells[H_LAYOUTS + index] != layout
    ]
    further = [cells[H_LAYOUTS + index] for index in range(len(SECTIONS), MOST_SECTIONS)]
    if any(further):
        differing.append("the board has sections that are not known here")
    if differing:
        raise BoardMismatchError(
            f"the board was made by another version of Penstock: {'; '.join(differing)}. "
            "Supervisor and workers must be of one version: restart the balancer"
        )


def create_board(
    workers: int, endpoint_rows: int = ENDPOINT_ROWS, pool_rows: int = POOL_ROWS
) -> Board:
    """A board of zeroes in a memfd, which is inherited only when passed on purpose."""
    cells = (
        HEADER_CELLS
        + workers * WORKER_CELLS
        + endpoint_rows * (STATE_CELLS + REPORT_CELLS)
        + endpoint_rows * workers * LOAD_CELLS
        + pool_rows * workers * POOL_CELLS
        + workers * MODEL_ROWS * MODEL_CELLS
        + workers * (ROUTE_RING_CELLS + SIGHTING_RING_CELLS)
        + FACTS_CELLS
        + ADDRESS_ROWS * ADDRESS_SLOTS * workers
        + CHANGED_CELLS
        + endpoint_rows * OTHERS_CELLS
        + ROUTE_RING_CELLS
        + pool_rows * workers * QUEUE_CELLS
        + workers * LEDGER_PLACES * LEDGER_CELLS
    )
    fd = os.memfd_create("penstock-board", os.MFD_CLOEXEC)
    os.ftruncate(fd, cells * 8)
    with memoryview(mmap.mmap(fd, cells * 8)).cast("q") as view:
        for index, (_, layout) in enumerate(SECTIONS):
            view[H_LAYOUTS + index] = layout
        view[H_WORKERS] = workers
        view[H_ENDPOINT_ROWS] = endpoint_rows
        view[H_POOL_ROWS] = pool_rows
        key = memoryview(os.urandom(8 * ADDRESS_KEY_CELLS)).cast("q")
        view[H_ADDRESS_KEY : H_ADDRESS_KEY + ADDRESS_KEY_CELLS] = key
        view[H_MAGIC] = MAGIC
    return Board(fd)
