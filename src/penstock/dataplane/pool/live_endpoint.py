"""An endpoint at work: its address, its idle connections, its load on the board."""

import ssl
from ipaddress import ip_address
from typing import Final

from mypy_extensions import trait

from penstock.core import snapshot
from penstock.core.endpoint import BACKUP
from penstock.core.env import Env
from penstock.core.health.breaker import STATE_NAMES, BreakerChange
from penstock.core.health.health import DOWN
from penstock.core.measure.load_report import LoadReport
from penstock.core.prefixes.engine_slots import ANY, EngineSlots
from penstock.core.snapshot.address import host_field
from penstock.core.ticket import Ticket
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.board.fence import fence
from penstock.dataplane.board.layout import (
    L_QUIET_SINCE_US,
    LOAD_CELLS,
    O_IN_FLIGHT,
    O_PLACES,
    R_AT_US,
    R_CACHED,
    R_COLD,
    R_FOREIGN,
    R_IDS_WAY,
    R_KV_CAPACITY,
    R_KV_PPM,
    R_KV_TOKENS,
    R_LOADED,
    R_LOADED_HASHES,
    R_MOST_RUNNING,
    R_PREFIX_HITS,
    R_RUNNING,
    R_SLOTS,
    R_WAITING,
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
from penstock.dataplane.board.token_cells import read_tokens, write_tokens
from penstock.dataplane.endpoint.address_race import Address
from penstock.dataplane.endpoint.connector import ConnectionSettings, Connector
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.llm.engine_habits import EngineHabits
from penstock.dataplane.pool.long_lived import LongLived
from penstock.dataplane.record.request_log import json_text
from penstock.wire.forwarding import Edit
from penstock.wire.inspection import Inspection

# How old what other workers have in flight may be. Reading it costs 40 ns per worker; load
# reports older than 5 ms begin to cost latency, younger ones do not.
_ELSEWHERE_MAX_AGE_S: Final = 0.001
MAX_SLOTS: Final = 256  # of an engine; looked through for each prompt
_QUIET_MAX_AGE_S: Final = 0.1  # since when they hear nothing: they publish it four times a second


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@trait
class EndpointOwner:
    """Whoever is told that an endpoint's circuit opened or closed: its pool."""

    def eligibility_changed(self) -> None:
        """The endpoint was cut out, or is tried again."""
        raise NotImplementedError

    def note(self, kind: str, message: str, endpoint: str = "") -> None:
        """Have it logged."""
        raise NotImplementedError


class LiveEndpoint(CountedEndpoint):
    """One object for as long as the endpoint is configured, whatever is reloaded around it."""

    def __init__(
        self,
        spec: snapshot.Endpoint,
        pool: str,
        settings: ConnectionSettings,
        board: Board,
        worker: int,
        loop: Loop,
    ) -> None:
        super().__init__(spec, pool, board, worker)
        self.connector: Connector = Connector(loop, self, settings)
        self.log_name: bytes = json_text(spec.name.encode())
        self._keeps_clients: bool = False  # while it drains, or has weight 0
        self._owner: EndpointOwner | None = None
        self.host_header: bytes = b""
        self.base_path: bytes = b""
        self.edits: list[Edit] = []  # of the heads of requests to it alone
        # By name and over TLS: a server of several names, which knows none of the balancer's.
        self.has_virtual_hosts: bool = False
        self._configured_max_in_flight: int = 0
        self._board: Board = board
        self._state_at: int = board.state(spec.row)
        self._report_at: int = board.report(spec.row)
        self._reported_us: int = 0  # when the report taken last was made
        self._report_counts: bool = False
        self._colds: int = board.cells[self._report_at + R_COLD]
        self._foreign: int = 0  # requests there that are not this balancer's, by that report
        self._all_loads: range = range(0)  # of the workers that run
        self._alone: bool = True  # no other worker, and no other balancer that is known
        self._others_at: int = board.others(spec.row) if board.shared else -1
        self._others: int = 0  # what other balancers have in flight there
        self._env: Env = loop.env
        self._elsewhere_at: float = -1.0
        self._quiet_elsewhere: float = 0.0  # as ``quiet_since``, by other workers; 0.0: no debt
        self._quiet_read_at: float = -1.0
        self._kv_reported: int = 0  # tokens of others in its cache, by its report
        self.habits: EngineHabits = EngineHabits()
        self.long_lived: LongLived = LongLived()
        self.slots: EngineSlots | None = None  # of its engine, while prompts are given theirs
        self.count_workers()

    def count_workers(self) -> None:
        """Other workers run than before: sum over them."""
        board = self._board
        first = board.load(self.row, board.first_index)
        end = board.load(self.row, board.end_index)
        self._all_loads = range(first, end, LOAD_CELLS)
        self._alone = board.end_index - board.first_index == 1 and self._others_at < 0
        self._elsewhere_at = -1.0
        if self._alone:
            self.elsewhere = 0
            self._quiet_elsewhere = 0.0
        else:
            self.slots = None
            write_tokens(self._cells, self._load_at, self.tokens)

    def configure(
        self,
        spec: snapshot.Endpoint,
        settings: ConnectionSettings,
        addresses: list[Address],
        tls: ssl.SSLContext | None,
        tls_spec: snapshot.EndpointTls,
    ) -> None:
        """Take over what a snapshot says."""
        if self.connector.configure(spec, settings, addresses, tls, tls_spec):
            self.habits.forget()
            self.slots = None
        default = 443 if spec.tls else 80
        host = host_field(spec.host, spec.port)
        self.host_header = host.removesuffix(f":{default}").encode()
        self.base_path = spec.base_path.encode("latin-1")
        self.edits = [
            ("set", name.encode("latin-1"), name.lower().encode("latin-1"), value.encode())
            for name, value in spec.headers
        ]
        self.has_virtual_hosts = spec.tls and not _is_address(spec.host)
        self.removed = False
        self._configured_max_in_flight = self.max_in_flight = spec.max_in_flight
        self.guard()
        self.priority = BACKUP if spec.backup else spec.priority
        self.zone = spec.zone

    def shown_address(self) -> str:
        return self.connector.shown_address()

    def remove(self) -> None:
        """It is configured no longer: it finishes what it has."""
        self.removed = True
        self.connector.removed = True
        self.connector.close_idle()
        self.publish()

    def configure_breaker(self, spec: snapshot.Breaker | None, owner: EndpointOwner | None) -> None:
        """Have a circuit breaker, or none, and tell this pool of it."""
        self._owner = owner
        self.protect(spec)

    def read_state(self) -> None:
        """Take over what the supervisor says on the board."""
        cells = self._cells
        at = self._state_at
        self.health = cells[at + S_HEALTH]
        self.draining = cells[at + S_DRAINING] != 0
        self._keeps_clients = cells[at + S_KEEPS_CLIENTS] != 0
        self.ejected = cells[at + S_EJECTED] != 0
        self.weight = cells[at + S_WEIGHT_PPM] / 1e6
        asked = cells[at + S_MAX_IN_FLIGHT]
        self.max_in_flight = asked - 1 if asked else self._configured_max_in_flight
        self.guard()
        self.hit_distrust = cells[at + S_HIT_DISTRUST_PPM] / 1e6
        self.exact_slot = cells[at + S_EXACT] - 1

    def stays(self) -> bool:
        """Whether requests that are bound to it still go there though others do not."""
        if self.health == DOWN or self.ejected or self.cut_out or self.connector.removed:
            return False
        return self._keeps_clients

    def take_report(self) -> LoadReport | None:
        """What its engine said since this was asked last; None if it said nothing."""
        cells = self._cells
        at = self._report_at
        made = cells[at + R_AT_US]
        if made == self._reported_us or made == 0:
            return None
        self._reported_us = made
        self._report_counts = True
        self._foreign = cells[at + R_FOREIGN]
        first = at + R_LOADED_HASHES
        self.reported.loaded = [cells[first + index] for index in range(cells[at + R_LOADED])]
        running = cells[at + R_RUNNING]
        waiting = cells[at + R_WAITING]
        usage = cells[at + R_KV_PPM]
        colds = cells[at + R_COLD]
        cold = colds != self._colds
        self._colds = colds
        if cold:
            self.habits.forget()  # it may run with other options
            self.slots = None
        self._count_slots(cells[at + R_SLOTS])
        self.reported.waiting = waiting
        self.habits.ids.way = cells[at + R_IDS_WAY]
        self.habits.never_hit = cells[at + R_PREFIX_HITS] == 0
        return LoadReport(
            made / 1e6,
            in_flight=float(running + max(waiting, 0)) if running >= 0 else -1.0,
            queued=float(waiting),
            utilisation=usage / 1e6 if usage >= 0 else -1.0,
            most_running=cells[at + R_MOST_RUNNING],
            kv_tokens=cells[at + R_KV_TOKENS],
            kv_capacity=cells[at + R_KV_CAPACITY],
            cached_tokens=cells[at + R_CACHED] - 1,
            cold=cold,
        )

    def _count_slots(self, count: int) -> None:
        """Its engine has so many. Several workers would not know of each other's prompts."""
        if not self._alone or not 2 <= count <= MAX_SLOTS:
            self.slots = None
        elif self.slots is None or self.slots.count != count:
            self.slots = EngineSlots(count)
        elif self._foreign == 0:
            self.slots.told_idle()

    def choose_slot(self, conversation: int, found: Inspection) -> int:
        """Which slot of its engine a prompt is sent to; see ``EngineSlots.choose``."""
        slots = self.slots
        if slots is None or self._foreign > 0:
            return ANY  # others' requests are in slots that are not known
        return slots.choose(conversation, found.blocks, found.answered)

    def give_slot(self, ticket: Ticket, slot: int = ANY, conversation: int = 0) -> None:
        """The request of this ticket is sent there, or wherever its engine chooses."""
        slots = self.slots
        if slots is not None and ticket.slots is None:
            slots.take(slot, conversation, ticket.request.blocks)
            ticket.slots = slots
            ticket.slot = slot

    def report_taken(self) -> None:
        """The policy has made of the report what it makes of it."""
        self._kv_reported = self.tokens_elsewhere.held

    def expire_report(self, now: float, max_age_s: float) -> None:
        """Go back to own counts when the engine has been silent for so long."""
        if self._report_counts and now - self._reported_us / 1e6 > max_age_s:
            self._report_counts = False
            self._foreign = 0
            self.reported.waiting = -1
            self.habits.never_hit = False
            self.reported.loaded = []
            self.slots = None
            self.reported.at = -1.0
            self._kv_reported = 0
            self.tokens_elsewhere.held = 0

    def load(self) -> int:
        if not self._alone and self._env.now - self._elsewhere_at > _ELSEWHERE_MAX_AGE_S:
            self._read_elsewhere()
        return self.in_flight + self.elsewhere + self._others + self._foreign

    def silence_s(self, now: float) -> float:
        """What any worker hears counts; one that has nothing there learns from the others."""
        if self._alone:
            return max(now - self.quiet_since, 0.0) if self.owed > 0 else 0.0
        if now - self._quiet_read_at > _QUIET_MAX_AGE_S:
            self._quiet_read_at = now
            self._read_quiet_elsewhere()
        since = self._quiet_elsewhere
        if self.owed > 0:
            since = max(since, self.quiet_since)
        return max(now - since, 0.0) if since > 0.0 else 0.0

    def has_room(self) -> bool:
        if self.breaker is not None and self.breaker.is_full(self._env.now):
            return False
        if self.max_in_flight == 0:
            return True
        if not self._alone:
            self._read_elsewhere()
        return self.in_flight + self.elsewhere < self._bound()

    def tokens_changed(self) -> None:
        if not self._alone:
            write_tokens(self._cells, self._load_at, self.tokens)

    def read_tokens_elsewhere(self) -> None:
        """Take over what other workers count there; the engine's report may know of more."""
        elsewhere = self.tokens_elsewhere
        read_tokens(self._cells, self._all_loads, self.tokens, elsewhere, self._others_at)
        elsewhere.held = max(elsewhere.held, self._kv_reported)

    def is_overfull(self) -> bool:
        """Whether, after ``acquire``, workers together went over ``max_in_flight``.

        Each worker writes its own count before it reads the others', so of two that race for the
        last place at least one sees the other, and gives way: near the bound, where a store that
        the processor still holds back could matter, after a barrier. It holds back some dozens of
        stores at most, and an attempt makes hundreds, so no worker hides more than one.
        """
        if self.max_in_flight == 0:
            return False
        if not self._alone:
            self._read_elsewhere()
            if self.in_flight + self.elsewhere + len(self._all_loads) > self._bound():
                fence()
                self._read_elsewhere()
        return self.in_flight + self.elsewhere > self._bound()

    def _bound(self) -> int:
        """``max_in_flight``, or what this balancer leased of it."""
        if self._others_at >= 0:
            places: int = self._cells[self._others_at + O_PLACES]
            if 0 < places <= self.max_in_flight:
                return places - 1
        return self.max_in_flight

    def circuit_changed(self, change: BreakerChange | None) -> None:
        self.tally.changed = True
        owner = self._owner
        if owner is None:
            return
        owner.eligibility_changed()
        if change is not None:
            text = f"the circuit of {self.name} is {STATE_NAMES[change.state]}: {change.reason}"
            owner.note("endpoint.circuit", text, self.name)

    def _read_quiet_elsewhere(self) -> None:
        cells = self._cells
        latest = 0
        for at in self._all_loads:
            since = cells[at + L_QUIET_SINCE_US]
            if since > latest and at != self._load_at:
                latest = since
        self._quiet_elsewhere = latest / 1e6

    def _read_elsewhere(self) -> None:
        cells = self._cells
        total = -self.in_flight
        for at in self._all_loads:
            total += cells[at]
        self.elsewhere = total
        if self._others_at >= 0:
            self._others = cells[self._others_at + O_IN_FLIGHT]
        self._elsewhere_at = self._env.now
