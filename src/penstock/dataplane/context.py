"""What everything in one worker shares."""

import os
from resource import RLIMIT_NOFILE, getrlimit
from typing import Final

from penstock.core.env import Env
from penstock.core.limits.rates import RateTable
from penstock.core.tenants import Tenants
from penstock.dataplane.board.address_sketch import AddressSketch
from penstock.dataplane.board.counters import WorkerCounters
from penstock.dataplane.board.held_places import HeldPlaces
from penstock.dataplane.board.layout import W_ACCEPTED, W_CONNECTIONS
from penstock.dataplane.board.memory import Board
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.io.system import System
from penstock.dataplane.io.tls import ClientContexts
from penstock.dataplane.io.watches import Watches
from penstock.dataplane.pool.limits import Limits
from penstock.dataplane.pool.model_waits import ToldAtOnce
from penstock.dataplane.record.request_log import RequestLog
from penstock.dataplane.record.time_of_day import http_date, tell_time_by
from penstock.dataplane.record.tracer import Tracer
from penstock.dataplane.route.auth_verdicts import AuthVerdicts
from penstock.dataplane.route.planner import Planner
from penstock.dataplane.route.tokens import Tokens
from penstock.dataplane.tunnel.outlets import Outlets

WRONG_KEYS: Final = 20  # that an address may show in so long, to each worker
WRONG_KEYS_S: Final = 60.0
MOST_ADDRESSES: Final = 8192  # that are told apart by that
_TWO_DIGITS: Final[list[bytes]] = [b"%02x" % low for low in range(256)]


def moved_key(listener: str, host: str, port: int) -> str:
    """Of a UDP session, as workers of another version tell of it."""
    return f"{listener} {host} {port}"


class Context:
    """One worker's loop, clock, counters and log, and the planner of its requests."""

    planner: Planner  # there is none before the first snapshot, and no listener either

    def __init__(self, board: Board, worker: int, pid: int, system: System | None = None) -> None:
        self.board: Board = board
        self.worker: int = worker
        self.system: System = system if system is not None else System()
        self.env: Env = Env(self.system.rng, self.system.clock())
        self.loop: Loop = Loop(self.env, self.system)
        self.counters: WorkerCounters = WorkerCounters(board, worker, pid)
        self.log: RequestLog = RequestLog()
        self.tracer: Tracer | None = None
        tell_time_by(self.system)
        self.tls: ClientContexts = ClientContexts()  # of endpoints
        self.supervisor: ToldAtOnce = ToldAtOnce()
        self.stopping: bool = False
        self.clients: int = 0  # connections open
        self.sessions: int = 0  # of UDP
        # Another version's workers read the sockets that clients send datagrams to.
        self.datagrams_held: bool = False
        # Sessions that another version had: ``moved_key`` → endpoint. Each goes on there.
        self.moved: dict[str, str] = {}
        self.moved_until: float = 0.0
        self.compressing: int = 0  # answers
        self.prompt_bytes: int = 0  # of bodies that are read whole, as long as they are kept
        self.prompt_room: int = 0  # for them
        # Accepting pauses above this, so that clients never take the descriptors that their own
        # requests need for connections to endpoints. No more is kept, as a tunnel's two count here.
        limit = getrlimit(RLIMIT_NOFILE)[0]
        self.max_descriptors: int = limit - max(limit // 16, min(32, limit // 2))
        self.outlets: Outlets = Outlets(self.loop, self.counters.values, self.max_descriptors)
        self.date: bytes = b""  # of this second, as Date has it
        self.date_line: bytes = b""  # the same as a field, with the line's end before it
        self.second: int = 0  # since 1970, looked at four times
        self.tenants: Tenants = Tenants()
        self.tokens: Tokens = Tokens()
        self.auth_verdicts: AuthVerdicts = AuthVerdicts()
        self.password_checks: int = 0  # under way
        self.limits: Limits = Limits(self.loop, HeldPlaces(board, worker))
        self.watches: Watches = Watches()
        self.loop.chores.append(self.watches)
        # By address.
        self.wrong_keys: RateTable = RateTable(WRONG_KEYS, WRONG_KEYS_S, most=MOST_ADDRESSES)
        self.look_at_the_date()
        self.addresses: AddressSketch = AddressSketch(board, worker)
        self._id_prefix: bytes = os.urandom(10).hex().encode()
        self._ids: int = 0  # made so far
        self._id_head: bytes = b""  # all of them but the last two digits

    def look_at_the_date(self) -> None:
        """Format Date anew if a second began."""
        second = int(self.system.wall_clock())
        if second != self.second:
            self.second = second
            self.date = http_date(second)
            self.date_line = b"\r\nDate: " + self.date

    def client_came(self, address: str, limit: int, limit_per_address: int) -> bool:
        """Count a client in, unless a limit (0: none) forbids it.

        An ``address`` of "" is not known yet: ``address_came`` follows.
        """
        if limit and self.board.worker_sum(W_CONNECTIONS) >= limit:
            return False
        if address and not self.address_came(address, limit_per_address):
            return False
        self.clients += 1
        self._publish_clients()
        self.counters.bump(W_ACCEPTED)
        return True

    def address_came(self, address: str, limit_per_address: int) -> bool:
        """Count a client's address in, unless a limit (0: none) forbids it."""
        if limit_per_address and self.addresses.count(address) >= limit_per_address:
            return False
        self.addresses.add(address, 1)
        return True

    def client_left(self, address: str) -> None:
        """The other end of ``client_came``; the address is "" where it never was known."""
        self.clients -= 1
        if address:
            self.addresses.add(address, -1)
        self._publish_clients()

    def _publish_clients(self) -> None:
        """At once, because limits are summed over workers."""
        self.counters.values[W_CONNECTIONS] = self.clients
        self.board.cells[self.board.worker(self.worker) + W_CONNECTIONS] = self.clients

    def moved_to(self, listener: str, host: str, port: int) -> str:
        """The endpoint of a session that another version had; empty for others."""
        return self.moved.pop(moved_key(listener, host, port), "") if self.moved else ""

    def new_request_id(self) -> bytes:
        """32 hexadecimal digits, unique among all workers: a random prefix and a count."""
        low = self._ids & 0xFF
        if low == 0:
            # Formatting every one took 7% of the instructions of a request in user mode.
            self._id_head = b"%b%010x" % (self._id_prefix, self._ids >> 8)
        self._ids += 1
        return self._id_head + _TWO_DIGITS[low]
