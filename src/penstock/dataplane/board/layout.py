"""What stands where on the board: the cells of each section, in order.

A cell's number is that of the cell above it plus the cells which that one takes: a cell is added
by one line after the last of its section, and nobody counts. The numbers are ``Final`` sums of
integers, which compiled code sees as literals.

Whoever changes a section raises its layout number: a process that knows another number for it is
refused (``memory.Board``). ``tests/unit/dataplane/test_layout.py`` holds all that.
"""

from typing import Final

from penstock.core.measure.histogram import BUCKETS

MAGIC: Final = 0x50454E53544F434B  # "PENSTOCK"

# The header, the supervisor's. Magic and layout numbers stand first in every version.
HEADER_LAYOUT: Final = 12
H_MAGIC: Final = 0
H_LAYOUTS: Final = H_MAGIC + 1  # the number of each of SECTIONS, in that order
MOST_SECTIONS: Final = 16
H_WORKERS: Final = H_LAYOUTS + MOST_SECTIONS
H_ENDPOINT_ROWS: Final = H_WORKERS + 1  # that there is room for
H_POOL_ROWS: Final = H_ENDPOINT_ROWS + 1
H_ENDPOINT_ROWS_USED: Final = H_POOL_ROWS + 1  # that were ever given out: the first so many
H_POOL_ROWS_USED: Final = H_ENDPOINT_ROWS_USED + 1
H_EPOCH: Final = H_POOL_ROWS_USED + 1  # changes of endpoint states ever made; see C_STATES
H_GENERATION: Final = H_EPOCH + 1  # of the newest snapshot
H_SUPERVISOR_PID: Final = H_GENERATION + 1
H_REPORTS: Final = H_SUPERVISOR_PID + 1  # reports of engines ever written; see C_REPORTS
H_ADDRESS_KEY: Final = H_REPORTS + 1  # random: the key of the sketch of client addresses
ADDRESS_KEY_CELLS: Final = 4
H_SHARED: Final = H_ADDRESS_KEY + ADDRESS_KEY_CELLS  # 1: other balancers' load counts too
HEADER_CELLS: Final = 64

# What a worker counts of itself.
WORKER_LAYOUT: Final = 7
W_PID: Final = 0
W_HEARTBEAT_MS: Final = W_PID + 1  # monotonic clock
W_GENERATION: Final = W_HEARTBEAT_MS + 1  # of the snapshot it runs
W_CONNECTIONS: Final = W_GENERATION + 1  # clients connected
W_ACCEPTED: Final = W_CONNECTIONS + 1
W_REFUSED_LIMIT: Final = W_ACCEPTED + 1  # connections refused by a limit
W_ACCEPT_PAUSES: Final = W_REFUSED_LIMIT + 1  # out of descriptors
W_BAD_REQUESTS: Final = W_ACCEPT_PAUSES + 1  # refused by the parser
W_UNROUTED: Final = W_BAD_REQUESTS + 1
W_FIXED: Final = W_UNROUTED + 1  # redirects and fixed responses
W_BYTES_FROM_CLIENTS: Final = W_FIXED + 1
W_BYTES_TO_CLIENTS: Final = W_BYTES_FROM_CLIENTS + 1
W_TLS_HANDSHAKES: Final = W_BYTES_TO_CLIENTS + 1
W_TLS_FAILURES: Final = W_TLS_HANDSHAKES + 1
W_LOG_DROPPED: Final = W_TLS_FAILURES + 1
W_IDLE_ENDPOINT_CONNECTIONS: Final = W_LOG_DROPPED + 1
W_REQUESTS: Final = W_IDLE_ENDPOINT_CONNECTIONS + 1  # taken, whatever became of them
W_DECISIONS_DROPPED: Final = W_REQUESTS + 1  # lines of decision logs
W_REFUSED_ADDRESS: Final = W_DECISIONS_DROPPED + 1  # connections refused by allow and deny
W_HTTP2_CONNECTIONS: Final = W_REFUSED_ADDRESS + 1  # clients that spoke HTTP/2
W_HTTP2_STREAM_FAULTS: Final = W_HTTP2_CONNECTIONS + 1  # streams reset for what clients sent
# Connections ended because of floods, by wire.http2.flood_limits.FLOODS.
W_HTTP2_FLOODS: Final = W_HTTP2_STREAM_FAULTS + 1
HTTP2_FLOOD_KINDS: Final = 12
# Connections closed because of their PROXY header: none came, it was wrong, or a stranger sends it.
W_PROXY_MISSING: Final = W_HTTP2_FLOODS + HTTP2_FLOOD_KINDS
W_PROXY_BAD: Final = W_PROXY_MISSING + 1
W_PROXY_UNTRUSTED: Final = W_PROXY_BAD + 1
W_SESSIONS: Final = W_PROXY_UNTRUSTED + 1  # of UDP, at present
W_SESSIONS_OPENED: Final = W_SESSIONS + 1
W_SESSIONS_MOVED: Final = W_SESSIONS_OPENED + 1  # to another endpoint, as theirs was dead
# How sessions ended, in this order:
SESSION_ENDS: Final = ("idle", "evicted", "refused", "cut")
W_SESSION_ENDS: Final = W_SESSIONS_MOVED + 1
W_DATAGRAMS_FROM_CLIENTS: Final = W_SESSION_ENDS + 4
W_DATAGRAMS_TO_CLIENTS: Final = W_DATAGRAMS_FROM_CLIENTS + 1
# Why datagrams were dropped, in this order:
DATAGRAM_DROPS: Final = (
    "denied",
    "rate",
    "no_route",
    "no_endpoint",
    "no_socket",
    "queue_full",
    "buffer_full",
    "too_big",
    "amplification",
    "late",
    "unreachable",
    "stopping",
    "byte_rate",
    "proxy_missing",
    "proxy_bad",
    "proxy_untrusted",
)
W_DATAGRAM_DROPS: Final = W_DATAGRAMS_TO_CLIENTS + 1
# UDP sessions whose first datagram has the server id of no endpoint, though it should have one.
W_UNKNOWN_SERVER_IDS: Final = W_DATAGRAM_DROPS + 16
# Clients' connections closed because the certificate that they showed is trusted no more.
W_DISTRUSTED: Final = W_UNKNOWN_SERVER_IDS + 1
# Answers compressed: bytes that came and that went, of each coding in this order.
CODINGS: Final = ("gzip", "zstd")
W_COMPRESSED_FROM: Final = W_DISTRUSTED + 1
W_COMPRESSED_TO: Final = W_COMPRESSED_FROM + 2
# Why answers were not, where compression is on, in this order: another status, method, call or
# coding; their type; their size; a secret; what their client takes; too many at once.
UNCOMPRESSED: Final = ("unsuitable", "type", "small", "private", "not_accepted", "busy")
W_UNCOMPRESSED: Final = W_COMPRESSED_TO + 2
UNCOMPRESSED_REASONS: Final = 6
W_HAS_PLACES: Final = W_UNCOMPRESSED + UNCOMPRESSED_REASONS  # 1: of limits, or it had some
WORKER_CELLS: Final = 96

# The state of an endpoint, written by the supervisor.
STATE_LAYOUT: Final = 1
S_HEALTH: Final = 0  # core.endpoint STARTING, UP, DOWN
S_DRAINING: Final = S_HEALTH + 1
S_EJECTED: Final = S_DRAINING + 1
# Effective weight x 1e6: configured or set at run time, x slow start.
S_WEIGHT_PPM: Final = S_EJECTED + 1
# Share of predicted prefix hits that is not believed x 1e6.
S_HIT_DISTRUST_PPM: Final = S_WEIGHT_PPM + 1
S_EXACT: Final = S_HIT_DISTRUST_PPM + 1  # its slot in the exact prefix index + 1; 0: none
S_MAX_IN_FLIGHT: Final = S_EXACT + 1  # that its agent asks for + 1, 1: no bound; 0: as configured
S_KEEPS_CLIENTS: Final = S_MAX_IN_FLIGHT + 1  # it drains or has weight 0; clients bound to it stay
STATE_CELLS: Final = 8

# What an endpoint's engine last said of its load, written by the supervisor; -1: it did not say.
REPORT_LAYOUT: Final = 3
R_AT_US: Final = 0  # when, monotonic clock; 0: never
R_RUNNING: Final = R_AT_US + 1
R_WAITING: Final = R_RUNNING + 1
R_KV_PPM: Final = R_WAITING + 1  # share of its cache that running requests hold x 1e6
R_KV_TOKENS: Final = R_KV_PPM + 1  # the same in tokens
R_KV_CAPACITY: Final = R_KV_TOKENS + 1  # tokens
R_PREFIX_QUERIES: Final = R_KV_CAPACITY + 1  # tokens looked up in its prefix cache, a running total
R_PREFIX_HITS: Final = R_PREFIX_QUERIES + 1  # tokens found there
R_FOREIGN: Final = R_PREFIX_HITS + 1  # requests there that this balancer did not send
R_READ: Final = R_FOREIGN + 1  # reports read, a running total
R_FAILED: Final = R_READ + 1  # attempts to read one that failed
R_COLD: Final = R_FAILED + 1  # how often its prefix cache was emptied, a restart included
R_CACHED: Final = R_COLD + 1  # tokens in its prefix cache, by its KV events, + 1; 0: not known
R_LOADED: Final = R_CACHED + 1  # how many of R_LOADED_HASHES are used
R_SLOTS: Final = R_LOADED + 1  # sequences that it keeps, each in a slot to choose; 0: none
R_MOST_RUNNING: Final = R_SLOTS + 1  # requests that it serves at a time; 0: not told
R_IDS_WAY: Final = R_MOST_RUNNING + 1  # how it tells token ids: of wire.resume.token_ids
R_LOADED_HASHES: Final = R_IDS_WAY + 1  # of models and adapters in its memory: xxh3 of their names
MAX_LOADED: Final = 16
REPORT_CELLS: Final = 40

# What a worker counts of an endpoint: first what is so at present, and is gone with the worker.
LOAD_LAYOUT: Final = 2
L_IN_FLIGHT: Final = 0
# Of requests to a language model that run there: tokens, as the policy counts them.
L_PENDING_PREFILL: Final = L_IN_FLIGHT + 1
L_KV_TOKENS: Final = L_PENDING_PREFILL + 1
L_DECODING: Final = L_KV_TOKENS + 1  # requests whose answer has begun
L_BREAKER: Final = L_DECODING + 1  # its circuit breaker's state, as in core.health.breaker
L_ADDRESS: Final = L_BREAKER + 1  # connected to last, an index into its addresses + 1; 0: none yet
# When the endpoint was heard last that owes this worker a byte, or began to owe it, on the
# monotonic clock; 0 while it owes none.
L_QUIET_SINCE_US: Final = L_ADDRESS + 1
# From here to L_EXCUSED as core.health.attempt_counts has them. First runs of failures as this
# worker sees them, 0 after a success: of all, and by kind.
L_CONSECUTIVE_FAILURES: Final = L_QUIET_SINCE_US + 1
ATTEMPTS_AT: Final = L_CONSECUTIVE_FAILURES
L_RUN_GATEWAY: Final = L_CONSECUTIVE_FAILURES + 1  # 502, 503, 504, or no whole response
L_RUN_LOCAL: Final = L_RUN_GATEWAY + 1  # no whole response
L_RUN_5XX: Final = L_RUN_LOCAL + 1  # among responses alone
L_RUN_GATEWAY_ERRORS: Final = L_RUN_5XX + 1  # 502, 503, 504, among responses alone
PRESENT_LOAD_CELLS: Final = L_RUN_GATEWAY_ERRORS + 1
# Then totals, which the worker after this one goes on from.
L_1XX_TO_5XX: Final = PRESENT_LOAD_CELLS  # responses by class; 5xx stands for what is beyond too
L_CONNECT_FAILURES: Final = L_1XX_TO_5XX + 5  # from here on as in core.ticket, from CONNECT_FAILED
L_RESETS: Final = L_CONNECT_FAILURES + 1  # connection died before the response was whole
L_GARBAGE: Final = L_RESETS + 1  # what came was no HTTP, or was framed wrongly
L_TIMEOUTS: Final = L_GARBAGE + 1
L_FAILURES: Final = L_TIMEOUTS + 1  # attempts the endpoint is to blame for (Ticket.failed)
L_GATEWAY_ERRORS: Final = L_FAILURES + 1  # responses 502, 503, 504
L_BROKEN: Final = L_GATEWAY_ERRORS + 1  # not whole: counted by class and by how they failed
L_BLAMELESS_5XX: Final = L_BROKEN + 1  # of the responses 5xx: 501, 505, and what is beyond 599
L_EXCUSED: Final = L_BLAMELESS_5XX + 1  # of L_GARBAGE: not held against the endpoint
L_REQUESTS: Final = L_EXCUSED + 1  # attempts opened
L_BREAKER_OPENED: Final = L_REQUESTS + 1  # how often
L_CONNECTIONS: Final = L_BREAKER_OPENED + 1  # opened
L_BYTES_SENT: Final = L_CONNECTIONS + 1
L_BYTES_RECEIVED: Final = L_BYTES_SENT + 1
# Of attempts that brought a whole response: how many, and the sums of their times.
L_TIMED: Final = L_BYTES_RECEIVED + 1
L_FIRST_BYTE_SUM_US: Final = L_TIMED + 1  # of a streamed answer of a language model: first token
L_TOTAL_SUM_US: Final = L_FIRST_BYTE_SUM_US + 1
L_IRREGULAR: Final = L_TOTAL_SUM_US + 1  # responses by wire.http1.IRREGULARITIES
L_PREFILLED: Final = L_IRREGULAR + 4  # tokens, with those above that run
# Of answers whose engine told what of their prompt it found cached: tokens.
L_JUDGED_PROMPT: Final = L_PREFILLED + 1
L_JUDGED_PREDICTED: Final = L_JUDGED_PROMPT + 1  # believed cached when the endpoint was chosen
L_JUDGED_CACHED: Final = L_JUDGED_PREDICTED + 1  # found there
L_HEARD_US: Final = L_JUDGED_CACHED + 1  # when a byte that was waited for came last
# Attempts that brought a whole response, by how long they took: core.measure.histogram.COARSE.
L_TIMES: Final = L_HEARD_US + 1
LOAD_CELLS: Final = 80

# What a worker counts of a pool.
POOL_LAYOUT: Final = 3
P_REQUESTS: Final = 0
P_RETRIES: Final = P_REQUESTS + 1
P_RETRIES_DENIED: Final = P_RETRIES + 1  # by the budget
P_NO_ENDPOINT: Final = P_RETRIES_DENIED + 1
P_CLIENT_GONE: Final = P_NO_ENDPOINT + 1
P_1XX_TO_5XX: Final = P_CLIENT_GONE + 1  # what clients were answered
P_CUT: Final = P_1XX_TO_5XX + 5  # responses cut after their first byte
P_PARSE_SUM_US: Final = P_CUT + 1
# A sum of each:
PHASES: Final = ("queue", "connect", "first_byte", "total")
P_QUEUE_SUM_US: Final = P_PARSE_SUM_US + 1
P_CONNECT_SUM_US: Final = P_QUEUE_SUM_US + 1
P_FIRST_BYTE_SUM_US: Final = P_CONNECT_SUM_US + 1
P_TOTAL_SUM_US: Final = P_FIRST_BYTE_SUM_US + 1
P_COPIES_GIVEN_UP: Final = P_TOTAL_SUM_US + 1  # to a mirror that did not keep up
P_QUEUED: Final = P_COPIES_GIVEN_UP + 1  # in admission, before an endpoint was chosen
P_REFUSED: Final = P_QUEUED + 1  # by admission, in the order of core.admission.refusals.REASONS
P_WAITING: Final = P_REFUSED + 5  # in admission's queue at present
P_LIMIT_MILLI: Final = P_WAITING + 1  # on concurrency at present x 1000; 0 without one
P_PROBES: Final = P_LIMIT_MILLI + 1  # sent to endpoints to ask for their load
P_PROBES_FAILED: Final = P_PROBES + 1  # or answered without telling it
P_UNREAD: Final = P_PROBES_FAILED + 1  # prompts not read, because so many came at once
# Of answers whose tokens are known, a sum of each:
SERVING_PHASES: Final = ("first_token", "token")
P_SERVING: Final = P_UNREAD + 1
# Other policies on sampled decisions of the pool: so many sets of cells, one for each of them.
MAX_SHADOWS: Final = 4
P_SHADOWS: Final = P_SERVING + 2
SH_DECISIONS: Final = 0
SH_DIFFERENT: Final = SH_DECISIONS + 1  # it would have picked another endpoint
SH_JUDGED: Final = SH_DIFFERENT + 1  # with a known cost of both picks, whose sums follow
SH_LIVE_COST_US: Final = SH_JUDGED + 1
SH_COST_US: Final = SH_LIVE_COST_US + 1
SHADOW_CELLS: Final = 8
# Streamed answers that are watched token by token.
P_LATE_TOKENS: Final = P_SHADOWS + MAX_SHADOWS * SHADOW_CELLS  # deadlines of tokens that passed
P_VAIN_TOKENS: Final = P_LATE_TOKENS + 1  # of prompts, at endpoints given up before their first
P_HEDGES: Final = P_VAIN_TOKENS + 1  # second attempts beside one that had no token yet
P_HEDGES_WON: Final = P_HEDGES + 1
P_HEDGES_DENIED: Final = P_HEDGES_WON + 1  # by the budget
P_RESUMED: Final = P_HEDGES_DENIED + 1  # cut answers that another endpoint went on with
P_KEPT_BYTES: Final = P_RESUMED + 1  # of prompts and answers, at present, to go on from
# Why cut answers were not gone on with, in this order:
RESUME_REFUSALS: Final = (
    "request",
    "answer",
    "exact",
    "max_resumes",
    "budget",
    "memory",
    "deadline",
    "no_endpoint",
)
P_NOT_RESUMED: Final = P_KEPT_BYTES + 1
# Histograms of PHASES, then of SERVING_PHASES.
P_PREEMPTED: Final = P_NOT_RESUMED + 8  # lost their place to a more important one, no token yet
P_HISTOGRAMS: Final = P_PREEMPTED + 1
P_SERVING_HISTOGRAMS: Final = P_HISTOGRAMS + len(PHASES) * BUCKETS
POOL_CELLS: Final = P_SERVING_HISTOGRAMS + len(SERVING_PHASES) * BUCKETS

# What a worker counts of one model in one pool.
MODEL_LAYOUT: Final = 1
MODEL_ROWS: Final = 256
M_POOL: Final = 0  # the pool's row + 1; 0 while the row is free
M_NAME_BYTES: Final = M_POOL + 1
M_ANSWERS: Final = M_NAME_BYTES + 1  # whose tokens the engine told
M_PROMPT_TOKENS: Final = M_ANSWERS + 1
M_CACHED_TOKENS: Final = M_PROMPT_TOKENS + 1
M_OUTPUT_TOKENS: Final = M_CACHED_TOKENS + 1
M_NAME: Final = M_OUTPUT_TOKENS + 1  # UTF-8, eight bytes to a cell
MODEL_NAME_BYTES: Final = 128
MODEL_CELLS: Final = M_NAME + MODEL_NAME_BYTES // 8

# A ring of the prefix blocks that a worker sent to endpoints and of the answers that it got from
# them, for the others.
ROUTE_LAYOUT: Final = 1
RT_COUNT: Final = 0  # entries ever written
RT_ENTRIES: Final = 8  # each: hash; row of the endpoint << 32 | tokens of the block, or all ones
ROUTE_CELLS: Final = 2
ROUTES: Final = 65_536  # 1 MiB; 2,000 prompts of 32 new blocks
ROUTE_RING_CELLS: Final = RT_ENTRIES + ROUTES * ROUTE_CELLS

# A ring of prompts that were answered, of which the supervisor learns which tokens a text is.
SIGHTING_LAYOUT: Final = 1
SG_COUNT: Final = 0  # cells ever written
SG_ENTRIES: Final = 8
SIGHTING_CELLS: Final = 32_768  # 256 KiB; 500 prompts of 50 blocks between two readings
SIGHTING_RING_CELLS: Final = SG_ENTRIES + SIGHTING_CELLS

# What caches certainly hold: a table of learned text blocks, and a ring of those that left one.
FACT_LAYOUT: Final = 1
FA_COUNT: Final = 0  # entries ever written into the ring
FA_LEARNED: Final = FA_COUNT + 1  # text blocks in the table
FA_ENTRIES: Final = 8  # each: digest; slot + 1, or 0 for all
FACT_CELLS: Final = 2
FACTS: Final = 16_384
FA_TABLE: Final = FA_ENTRIES + FACTS * FACT_CELLS
# Sets of so many places, each a digest (0: free) and the bits of the slots that hold it. Twice the
# places of what is learned at most, so that a set is seldom full.
FACT_WAYS: Final = 4
FACT_SETS: Final = 32_768
EXACT_SLOTS: Final = 62  # bits that are an unboxed number in compiled code
FACTS_CELLS: Final = FA_TABLE + FACT_SETS * FACT_WAYS * 2

# A count-min sketch of connections per client address: two rows of slots.
ADDRESS_LAYOUT: Final = 1
ADDRESS_ROWS: Final = 2
ADDRESS_SLOTS: Final = 8192

# Rings of the rows whose state or report was written last, so that workers read no others: change n
# stands at n modulo CHANGED_ROWS, and H_EPOCH and H_REPORTS say how many there were.
CHANGED_LAYOUT: Final = 1
CHANGED_ROWS: Final = 8_192  # half a second of reports of 16,000 engines asked once a second
C_STATES: Final = 0
C_REPORTS: Final = C_STATES + CHANGED_ROWS
CHANGED_CELLS: Final = C_REPORTS + CHANGED_ROWS

# What other balancers have at an endpoint, as far as they told; written by the supervisor. After
# those of all endpoints stands a ring as that of a worker (ROUTE_LAYOUT), of what others routed.
OTHERS_LAYOUT: Final = 2
O_IN_FLIGHT: Final = 0
O_PENDING_PREFILL: Final = O_IN_FLIGHT + 1
O_KV_TOKENS: Final = O_PENDING_PREFILL + 1
O_DECODING: Final = O_KV_TOKENS + 1
O_PREFILLED: Final = O_DECODING + 1  # a running total
# Where places of `max_in_flight` are leased: what this balancer may have in flight + 1 (0: they are
# not), how many more it wants, and how many more others want of which it may have some.
O_PLACES: Final = O_PREFILLED + 1
O_WANTS: Final = O_PLACES + 1
O_WANTED: Final = O_WANTS + 1
OTHERS_CELLS: Final = 8

# Who goes on next of those that wait in a worker for a pool: the head of each of its first lines.
QUEUE_LAYOUT: Final = 4
Q_HEADS: Final = 0  # how many are shown; 0: nobody waits there
Q_WAITING: Final = Q_HEADS + 1  # how many wait there
Q_RUNNING: Final = Q_WAITING + 1  # under way there, under the pool's adaptive limit
# What the worker learned of that limit last: which limit it is, one more than the greatest number
# that it had seen, and values x 1e6 (``core.admission.limit``).
Q_LIMIT_KIND: Final = Q_RUNNING + 1
Q_LEARNED: Final = Q_LIMIT_KIND + 1
LIMIT_STATE_CELLS: Final = 5
Q_LIMIT_STATE: Final = Q_LEARNED + 1
Q_FIRST: Final = Q_LIMIT_STATE + 5  # the best; each has the cells that follow:
QH_NEEDS: Final = 0  # what they can use: xxh3 of ``needs_of``
QH_IMPORTANCE: Final = QH_NEEDS + 1  # -1: passed over for too long
QH_TENANT: Final = QH_IMPORTANCE + 1  # xxh3 of its name
QH_TURN: Final = QH_TENANT + 1  # the tenant's x 1000, as old as what is shown
QH_LATE: Final = QH_TURN + 1  # its deadline in us, monotonic clock, or what else goes by
QUEUE_HEAD_CELLS: Final = 5
MOST_QUEUE_HEADS: Final = 4
# A call of the worker for a place of one that is less important, and what it says to calls of
# others (``board.place_calls``).
CALLED_CELLS: Final = 16
Q_CALL: Final = Q_FIRST + MOST_QUEUE_HEADS * QUEUE_HEAD_CELLS  # its number; 0: none
Q_CALL_IMPORTANCE: Final = Q_CALL + 1
Q_CALL_TAKES: Final = Q_CALL_IMPORTANCE + 1  # the worker whose offer is taken + 1
Q_CALLED: Final = Q_CALL_TAKES + 1  # a bit for each row of an endpoint, modulo 992
OFFERS: Final = 16
Q_OFFERS: Final = (
    Q_CALLED + CALLED_CELLS
)  # by number of the worker that calls, modulo 16; each has:
OF_CALL: Final = 0  # number << 16 | worker
OF_IMPORTANCE: Final = OF_CALL + 1  # 0: nobody would lose its place
OF_COUNTER: Final = OF_IMPORTANCE + 1  # its tenant's x 1000
OF_SINCE_US: Final = OF_COUNTER + 1
OF_STATE: Final = OF_SINCE_US + 1
OFFER_CELLS: Final = 5
QUEUE_CELLS: Final = Q_OFFERS + OFFERS * OFFER_CELLS

# What a worker gave to whom, in all its pools, and what it has of limits' places: a table by hash
# (``board.ledger``).
LEDGER_LAYOUT: Final = 2
LG_KEY: Final = 0  # 0 while the place is free
LG_SUM: Final = LG_KEY + 1  # x 1000
LG_HIGHEST: Final = LG_SUM + 1  # x 1000
LG_PLACES: Final = LG_HIGHEST + 1  # of a limit on concurrent requests, that the worker has
LEDGER_CELLS: Final = 4
LEDGER_PLACES: Final = 4_096

# Names and layout numbers, in the order of H_LAYOUTS; new ones come last.
SECTIONS: Final = (
    ("header", HEADER_LAYOUT),
    ("workers", WORKER_LAYOUT),
    ("endpoint states", STATE_LAYOUT),
    ("engine reports", REPORT_LAYOUT),
    ("endpoint load", LOAD_LAYOUT),
    ("pools", POOL_LAYOUT),
    ("models", MODEL_LAYOUT),
    ("routed prefixes", ROUTE_LAYOUT),
    ("answered prompts", SIGHTING_LAYOUT),
    ("exact prefixes", FACT_LAYOUT),
    ("client addresses", ADDRESS_LAYOUT),
    ("changed rows", CHANGED_LAYOUT),
    ("other balancers", OTHERS_LAYOUT),
    ("queues", QUEUE_LAYOUT),
    ("ledgers", LEDGER_LAYOUT),
)
