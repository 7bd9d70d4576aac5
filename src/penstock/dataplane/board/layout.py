"""The board: memory that the supervisor and the workers share.

Signed 64-bit cells in a memfd, mapped by everyone. Every cell has exactly one writer, so there
are no locks: the supervisor writes the header and each endpoint's state, a worker writes only the
cells of its own index. Readers sum over workers. An aligned 64-bit store is atomic on every
machine that Penstock runs on.

    header      64 cells                                         supervisor
    workers     workers x 64                                     each worker its own
    endpoints   endpoint_rows x 8                                supervisor
    reports     endpoint_rows x 32                               supervisor
    load        endpoint_rows x workers x LOAD_CELLS            each worker its own
    pools       pool_rows x workers x POOL_CELLS                 each worker its own
    models      workers x MODEL_ROWS x MODEL_CELLS               each worker its own
    routes      workers x (8 + 2 x ROUTES)                       each worker its own
    sightings   workers x (8 + SIGHTING_CELLS)                   each worker its own
    facts       8 + 2 x FACTS + 2 x FACT_WAYS x FACT_SETS        supervisor
    addresses   2 x ADDRESS_SLOTS x workers                      each worker its own
"""

import mmap
import os
from typing import Final

from penstock.core.measure.histogram import BUCKETS

MAGIC: Final = 0x50454E53544F434B  # "PENSTOCK"
VERSION: Final = 9

# Header cells.
H_MAGIC: Final = 0
H_VERSION: Final = 1
H_WORKERS: Final = 2
H_ENDPOINT_ROWS: Final = 3
H_POOL_ROWS: Final = 4
H_EPOCH: Final = 5  # raised after any change of endpoint state
H_GENERATION: Final = 6  # of the newest snapshot
H_SUPERVISOR_PID: Final = 7
H_REPORTS: Final = 8  # raised after any endpoint's report was written
H_ADDRESS_KEY: Final = 9  # four cells, random: the key of the sketch of client addresses
_ADDRESS_KEY_CELLS: Final = 4
_HEADER_CELLS: Final = 64

# Worker cells.
W_PID: Final = 0
W_HEARTBEAT_MS: Final = 1  # monotonic clock
W_GENERATION: Final = 2  # of the snapshot it runs
W_CONNECTIONS: Final = 3  # clients connected
W_ACCEPTED: Final = 4
W_REFUSED_LIMIT: Final = 5  # connections refused by a limit
W_ACCEPT_PAUSES: Final = 6  # out of descriptors
W_BAD_REQUESTS: Final = 7  # refused by the parser
W_UNROUTED: Final = 8
W_FIXED: Final = 9  # redirects and fixed responses
W_BYTES_FROM_CLIENTS: Final = 10
W_BYTES_TO_CLIENTS: Final = 11
W_TLS_HANDSHAKES: Final = 12
W_TLS_FAILURES: Final = 13
W_LOG_DROPPED: Final = 14
W_IDLE_ENDPOINT_CONNECTIONS: Final = 15
W_REQUESTS: Final = 16  # taken, whatever became of them
W_DECISIONS_DROPPED: Final = 17  # lines of decision logs
_WORKER_CELLS: Final = 64

# Endpoint state cells, written by the supervisor.
S_HEALTH: Final = 0  # core.endpoint STARTING, UP, DOWN
S_DRAINING: Final = 1
S_EJECTED: Final = 2
S_WEIGHT_PPM: Final = 3  # effective weight x 1e6: configured or set at run time, x slow start
S_PREFIX_DOUBT_PPM: Final = 4  # share of predicted prefix hits that is not believed x 1e6
S_EXACT: Final = 5  # its slot in the exact prefix index + 1; 0 while it is not exact
S_MAX_IN_FLIGHT: Final = 6  # that its agent asks for + 1, 1: no bound; 0: as configured
S_KEEPS_CLIENTS: Final = 7  # it drains or has weight 0, and clients bound to it stay
_STATE_CELLS: Final = 8

# What an endpoint's engine last said of its load, written by the supervisor; -1: it did not say.
R_AT_US: Final = 0  # when, monotonic clock; 0: never
R_RUNNING: Final = 2
R_WAITING: Final = 3
R_KV_PPM: Final = 4  # share of its cache that running requests hold x 1e6
R_KV_TOKENS: Final = 5  # the same in tokens
R_KV_CAPACITY: Final = 6  # tokens
R_PREFIX_QUERIES: Final = 7  # tokens looked up in its prefix cache, a running total
R_PREFIX_HITS: Final = 8  # tokens found there
R_FOREIGN: Final = 9  # requests there that this balancer did not send
R_READ: Final = 10  # reports read, a running total
R_FAILED: Final = 11  # attempts to read one that failed
R_COLD: Final = 12  # how often its prefix cache was emptied, a restart included
R_CACHED: Final = 13  # tokens that its prefix cache holds, by its KV events, + 1; 0: not known
R_LOADED: Final = 14  # how many of R_LOADED_HASHES are used
R_SLOTS: Final = 15  # sequences that it keeps, each in a slot that can be chosen; 0: none
R_LOADED_HASHES: Final = 16  # of models and adapters in its memory: xxh3 of their names
_REPORT_CELLS: Final = 32
MAX_LOADED: Final = _REPORT_CELLS - R_LOADED_HASHES

# Load cells, one set per endpoint and worker.
L_IN_FLIGHT: Final = 0
L_REQUESTS: Final = 1  # attempts opened
L_1XX_TO_5XX: Final = 2  # five cells: responses by class; 5xx stands for what is beyond too
L_CONNECT_FAILURES: Final = 7
L_RESETS: Final = 8  # connection died before the response was whole
L_GARBAGE: Final = 9  # what came was no HTTP, or was framed wrongly
L_TIMEOUTS: Final = 10
L_CONSECUTIVE_FAILURES: Final = 11  # as this worker saw them; 0 after a success
L_CONNECTIONS: Final = 12  # opened
L_BYTES_SENT: Final = 13
L_BYTES_RECEIVED: Final = 14
L_FAILURES: Final = 15  # attempts the endpoint is to blame for (core.ticket.Ticket.failed)
# Of answers whose engine told what of their prompt it found cached: tokens.
L_JUDGED_PROMPT: Final = 16
L_JUDGED_PREDICTED: Final = 17  # believed to be cached when the endpoint was chosen
L_JUDGED_CACHED: Final = 18  # found there
# Of requests to a language model that run there: tokens, as the policy counts them.
L_PENDING_PREFILL: Final = 19
L_KV_TOKENS: Final = 20
L_BREAKER: Final = 21  # its circuit breaker's state, as in core.breaker
L_BREAKER_OPENED: Final = 22  # how often
L_GATEWAY_ERRORS: Final = 23  # responses 502, 503, 504
L_BROKEN: Final = 24  # responses that were not whole: counted by class and by how they failed
# Runs of failures as this worker sees them, like L_CONSECUTIVE_FAILURES, by kind.
L_RUN_GATEWAY: Final = 25  # 502, 503, 504, or no whole response
L_RUN_LOCAL: Final = 26  # no whole response
L_RUN_5XX: Final = 27  # among responses alone
L_RUN_GATEWAY_ERRORS: Final = 28  # 502, 503, 504, among responses alone
# With L_PENDING_PREFILL and L_KV_TOKENS:
L_DECODING: Final = 29  # requests whose answer has begun
L_PREFILLED: Final = 30  # tokens, a running total
L_BLAMELESS_5XX: Final = 31  # of the responses 5xx: 501, 505, and what is beyond 599
L_EXCUSED: Final = 32  # of L_GARBAGE: not held against the endpoint
# Of attempts that brought a whole response: how many, and the sums of their times.
L_TIMED: Final = 33
L_FIRST_BYTE_SUM_US: Final = 34  # of a streamed answer of a language model: its first token
L_TOTAL_SUM_US: Final = 35
L_IRREGULAR: Final = 36  # responses by wire.http1.IRREGULARITIES: four cells
L_ADDRESS: Final = 40  # that was connected to last, an index into its addresses + 1; 0: none yet
# When the endpoint was heard last that owes this worker a byte, or began to owe it, on the
# monotonic clock; 0 while it owes none.
L_QUIET_SINCE_US: Final = 41
L_HEARD_US: Final = 42  # when a byte that was waited for came from it last, likewise
LOAD_CELLS: Final = 48
RUNS: Final = (
    L_CONSECUTIVE_FAILURES,
    L_RUN_GATEWAY,
    L_RUN_LOCAL,
    L_RUN_5XX,
    L_RUN_GATEWAY_ERRORS,
)

# Pool cells, one set per pool and worker: counters, then one histogram per phase.
P_REQUESTS: Final = 0
P_RETRIES: Final = 1
P_RETRIES_DENIED: Final = 2  # by the budget
P_NO_ENDPOINT: Final = 3
P_CLIENT_GONE: Final = 4
P_1XX_TO_5XX: Final = 5  # five cells: what clients were answered
P_CUT: Final = 10  # responses cut after their first byte
P_PARSE_SUM_US: Final = 11
P_QUEUE_SUM_US: Final = 12
P_CONNECT_SUM_US: Final = 13
P_FIRST_BYTE_SUM_US: Final = 14
P_TOTAL_SUM_US: Final = 15
P_COPIES_GIVEN_UP: Final = 16  # to a mirror that did not keep up
P_QUEUED: Final = 17  # in admission, before an endpoint was chosen
P_REFUSED: Final = 18  # by admission: five cells, in the order of core.admission.gate.REASONS
P_WAITING: Final = 23  # in admission's queue at present
P_LIMIT_MILLI: Final = 24  # on concurrency at present x 1000; 0 without one
P_PROBES: Final = 25  # sent to endpoints to ask for their load
P_PROBES_FAILED: Final = 26  # or answered without telling it
P_HISTOGRAMS: Final = 27
PHASES: Final = ("queue", "connect", "first_byte", "total")  # as the sums above, in order
_PHASES_END: Final = P_HISTOGRAMS + len(PHASES) * BUCKETS
# Other policies on sampled decisions of the pool: so many sets of cells, one for each of them.
MAX_SHADOWS: Final = 4
P_SHADOWS: Final = _PHASES_END
SH_DECISIONS: Final = 0
SH_DIFFERENT: Final = 1  # it would have picked another endpoint
SH_JUDGED: Final = 2  # with a known cost of both picks, whose sums follow
SH_LIVE_COST_US: Final = 3
SH_COST_US: Final = 4
SHADOW_CELLS: Final = 8
# Histograms of answers whose tokens are known, with their sums before them.
P_SERVING: Final = P_SHADOWS + MAX_SHADOWS * SHADOW_CELLS
SERVING_PHASES: Final = ("first_token", "token")
P_UNREAD: Final = P_SERVING + 2  # prompts not read, because so many came at once
P_SERVING_HISTOGRAMS: Final = P_SERVING + 8
POOL_CELLS: Final = P_SERVING_HISTOGRAMS + len(SERVING_PHASES) * BUCKETS

# Model rows: what a worker counted of one model in one pool.
MODEL_ROWS: Final = 256
M_POOL: Final = 0  # the pool's row + 1; 0 while the row is free
M_NAME_BYTES: Final = 1
M_ANSWERS: Final = 2  # whose tokens the engine told
M_PROMPT_TOKENS: Final = 3
M_CACHED_TOKENS: Final = 4
M_OUTPUT_TOKENS: Final = 5
M_NAME: Final = 8  # UTF-8, eight bytes to a cell
MODEL_NAME_BYTES: Final = 128
MODEL_CELLS: Final = M_NAME + MODEL_NAME_BYTES // 8

# A ring of the prefix blocks that a worker sent to endpoints and of the answers that it got from
# them, for the others.
RT_COUNT: Final = 0  # entries ever written
RT_ENTRIES: Final = (
    8  # from here on: hash; row of the endpoint << 32 | tokens of the block, or all ones
)
ROUTE_CELLS: Final = 2
ROUTES: Final = 65_536  # 1 MiB; 2,000 prompts of 32 new blocks
_RING_CELLS: Final = RT_ENTRIES + ROUTES * ROUTE_CELLS

# A ring of prompts that were answered, of which the supervisor learns which tokens a text is.
SG_COUNT: Final = 0  # cells ever written
SG_ENTRIES: Final = 8
SIGHTING_CELLS: Final = 32_768  # 256 KiB; 500 prompts of 50 blocks between two readings
_SIGHTING_RING: Final = SG_ENTRIES + SIGHTING_CELLS

# What caches certainly hold: a table of learned text blocks, and a ring of those that left one.
FA_COUNT: Final = 0  # entries ever written into the ring
FA_LEARNED: Final = 1  # text blocks in the table
FA_ENTRIES: Final = 8  # from here on: digest; slot + 1, or 0 for all
FACT_CELLS: Final = 2
FACTS: Final = 16_384
FA_TABLE: Final = FA_ENTRIES + FACTS * FACT_CELLS
# Sets of so many places, each a digest (0: free) and the bits of the slots that hold it. Twice the
# places of what is learned at most, so that a set is seldom full.
FACT_WAYS: Final = 4
FACT_SETS: Final = 32_768
EXACT_SLOTS: Final = 62  # bits that are an unboxed number in compiled code
_FACTS_CELLS: Final = FA_TABLE + FACT_SETS * FACT_WAYS * 2

# A count-min sketch of connections per client address: two rows of slots.
ADDRESS_SLOTS: Final = 8192


def as_cell(digest: int) -> int:
    """An unsigned number of 64 bits as a cell holds it."""
    return digest - (1 << 64) if digest >= 1 << 63 else digest


def of_cell(value: int) -> int:
    """What ``as_cell`` was given."""
    return value & ((1 << 64) - 1)


class Board:
    """One process's view of the board. ``cells`` may be read and written by index."""

    def __init__(self, fd: int) -> None:
        """Map an existing board. Raises ValueError when it is not one of this version."""
        size = os.fstat(fd).st_size
        self.fd: int = fd
        self.cells: memoryview = memoryview(mmap.mmap(fd, size)).cast("q")
        if self.cells[H_MAGIC] != MAGIC or self.cells[H_VERSION] != VERSION:
            raise ValueError(
                "the descriptor given as board holds no Penstock board of this version"
            )
        self.workers: int = self.cells[H_WORKERS]
        self.endpoint_rows: int = self.cells[H_ENDPOINT_ROWS]
        self.pool_rows: int = self.cells[H_POOL_ROWS]
        self._workers_at: int = _HEADER_CELLS
        self._states_at: int = self._workers_at + self.workers * _WORKER_CELLS
        self._reports_at: int = self._states_at + self.endpoint_rows * _STATE_CELLS
        self._loads_at: int = self._reports_at + self.endpoint_rows * _REPORT_CELLS
        self._pools_at: int = self._loads_at + self.endpoint_rows * self.workers * LOAD_CELLS
        self._models_at: int = self._pools_at + self.pool_rows * self.workers * POOL_CELLS
        self._routes_at: int = self._models_at + self.workers * MODEL_ROWS * MODEL_CELLS
        self._sightings_at: int = self._routes_at + self.workers * _RING_CELLS
        self.facts: int = self._sightings_at + self.workers * _SIGHTING_RING
        self._addresses_at: int = self.facts + _FACTS_CELLS

    def worker(self, worker: int) -> int:
        """Index of the first cell of that worker's own section."""
        return self._workers_at + worker * _WORKER_CELLS

    def state(self, row: int) -> int:
        """Index of the first state cell of the endpoint in that row."""
        return self._states_at + row * _STATE_CELLS

    def report(self, row: int) -> int:
        """Index of the first report cell of the endpoint in that row."""
        return self._reports_at + row * _REPORT_CELLS

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
        return self._routes_at + worker * _RING_CELLS

    def sightings(self, worker: int) -> int:
        """Index of the first cell of the worker's ring of answered prompts."""
        return self._sightings_at + worker * _SIGHTING_RING

    def address_key(self) -> bytes:
        """The key that addresses are hashed with."""
        return self.cells[H_ADDRESS_KEY : H_ADDRESS_KEY + _ADDRESS_KEY_CELLS].tobytes()

    def address_slot(self, row: int, slot: int, worker: int) -> int:
        """Index of a cell of the address sketch; ``row`` is 0 or 1."""
        return self._addresses_at + (row * ADDRESS_SLOTS + slot) * self.workers + worker

    def load_sum(self, row: int, cell: int) -> int:
        """One load cell summed over workers."""
        at = self._loads_at + row * self.workers * LOAD_CELLS + cell
        total = 0
        for worker in range(self.workers):
            total += self.cells[at + worker * LOAD_CELLS]
        return total

    def pool_sum(self, row: int, cell: int) -> int:
        """One pool cell summed over workers."""
        total = 0
        for worker in range(self.workers):
            total += self.cells[self.pool(row, worker) + cell]
        return total

    def worker_sum(self, cell: int) -> int:
        """One worker cell summed over workers."""
        total = 0
        for worker in range(self.workers):
            total += self.cells[self.worker(worker) + cell]
        return total

    def clear_report(self, row: int) -> None:
        """Nothing is known of the load of the endpoint in that row."""
        at = self.report(row)
        for cell in range(at, at + _REPORT_CELLS):
            self.cells[cell] = 0

    def clear_load(self, row: int, worker: int) -> None:
        """Zero what the worker counted for the endpoint in that row."""
        at = self.load(row, worker)
        for cell in range(at, at + LOAD_CELLS):
            self.cells[cell] = 0

    def clear_pool(self, row: int, worker: int) -> None:
        """Zero what the worker counted for the pool in that row, and its models."""
        at = self.pool(row, worker)
        for cell in range(at, at + POOL_CELLS):
            self.cells[cell] = 0
        for model_row in range(MODEL_ROWS):
            at = self.model(worker, model_row)
            if self.cells[at + M_POOL] == row + 1:
                for cell in range(at, at + MODEL_CELLS):
                    self.cells[cell] = 0


def create_board(workers: int, endpoint_rows: int = 4096, pool_rows: int = 256) -> Board:
    """A board of zeroes in a memfd, which is inherited only when passed on purpose.

    Pages are taken from the system when first written, so unused rows cost nothing.
    """
    cells = (
        _HEADER_CELLS
        + workers * _WORKER_CELLS
        + endpoint_rows * (_STATE_CELLS + _REPORT_CELLS)
        + endpoint_rows * workers * LOAD_CELLS
        + pool_rows * workers * POOL_CELLS
        + workers * MODEL_ROWS * MODEL_CELLS
        + workers * (_RING_CELLS + _SIGHTING_RING)
        + _FACTS_CELLS
        + 2 * ADDRESS_SLOTS * workers
    )
    fd = os.memfd_create("penstock-board", os.MFD_CLOEXEC)
    os.ftruncate(fd, cells * 8)
    with memoryview(mmap.mmap(fd, cells * 8)).cast("q") as view:
        view[H_VERSION] = VERSION
        view[H_WORKERS] = workers
        view[H_ENDPOINT_ROWS] = endpoint_rows
        view[H_POOL_ROWS] = pool_rows
        key = memoryview(os.urandom(8 * _ADDRESS_KEY_CELLS)).cast("q")
        view[H_ADDRESS_KEY : H_ADDRESS_KEY + _ADDRESS_KEY_CELLS] = key
        view[H_MAGIC] = MAGIC
    return Board(fd)
