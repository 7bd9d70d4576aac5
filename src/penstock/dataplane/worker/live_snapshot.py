"""A snapshot at work in a worker: pools, endpoints, and the planner of requests."""

from penstock.core import snapshot
from penstock.core.prefixes.answer_endpoints import AnswerEndpoints
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.snapshot import Snapshot
from penstock.core.snapshot.changes import EndpointChanges, PoolChange, changed
from penstock.dataplane.board.layout import H_EPOCH, H_REPORTS, W_IDLE_ENDPOINT_CONNECTIONS
from penstock.dataplane.board.memory import Board
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.address_race import Address, addresses_of
from penstock.dataplane.io.loop import report_bug
from penstock.dataplane.llm.exact_prefixes import FactsReader
from penstock.dataplane.llm.routed_prefixes import Believer, RoutedPrefixes
from penstock.dataplane.pool.admission import Admission
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.pool.served_models import served_by
from penstock.dataplane.pool.setup import PoolSetup
from penstock.dataplane.route.planner import Planner


class LiveSnapshot:
    """Built from one snapshot; what stays is taken over from the one before."""

    def __init__(self, spec: Snapshot, before: "LiveSnapshot | None", context: Context) -> None:
        """Raises OSError, ssl.SSLError or ValueError when the snapshot cannot be run.

        Nothing of the one before is changed until ``configure``.
        """
        self.spec: Snapshot = spec
        self.pools: dict[str, LivePool] = {}
        # Removed with requests still under way; one that comes back goes on with its counts.
        self.finishing: list[LiveEndpoint] = []
        self._context: Context = context
        self._board: Board = context.board
        self._cells: memoryview = context.board.cells
        self._before: LiveSnapshot | None = before
        self._by_row: dict[int, tuple[LivePool, LiveEndpoint]] = {}  # the members of all pools
        self._epoch: int = -1  # H_EPOCH and H_REPORTS up to which all is read; -1: nothing is
        self._reports: int = -1
        self._routed: RoutedPrefixes | None = (
            None  # of what other workers send, where there are any
        )
        self._believers: dict[int, Believer] = {}
        self._facts: FactsReader = FactsReader(context.board)
        self._indexes: list[PrefixIndex] = []
        self._admissions: list[Admission] = []
        self._retired: list[LivePool] = []  # configured no more, with requests that wait in them
        if before is not None:
            self._routed = before._routed
            self._facts = before._facts
        elif context.board.workers > 1:
            self._routed = RoutedPrefixes(context.board, context.worker)
        self._setups: list[PoolSetup] = [
            PoolSetup(pool, context.board.sharers, context.tls) for pool in spec.pools
        ]
        for setup in self._setups:
            pool = before.pools.get(setup.spec.name) if before is not None else None
            if pool is None or pool.row != setup.spec.row:
                pool = LivePool(setup, context.board, context.worker, context.loop)
            self.pools[pool.name] = pool
        self.planner: Planner = Planner(spec, self.pools, context.tenants)

    def configure(self) -> None:
        """Run from here on. Endpoints that are configured no more finish what they have."""
        self._context.prompt_room = self.spec.prompt_bytes
        self._context.tenants.configure(self.spec)
        self._context.tokens.configure(self.spec)
        self._context.limits.configure(self.spec, self._board.sharers)
        gone: dict[int, LiveEndpoint] = {}
        if self._before is not None:
            for endpoint in self._before.finishing:
                gone[endpoint.row] = endpoint
            for before in self._before.pools.values():
                for endpoint in before.members:
                    gone[endpoint.row] = endpoint
        for setup in self._setups:
            pool = self.pools[setup.spec.name]
            pool.configure(setup)
            pool.waits.supervisor = self._context.supervisor
            pool.members = [
                self._endpoint(spec, addresses, pool, gone.pop(spec.row, None))
                for spec, addresses in zip(setup.spec.endpoints, setup.addresses, strict=True)
            ]
            for endpoint in pool.members:
                self._by_row[endpoint.row] = (pool, endpoint)
        self._setups = []
        for pool in self.pools.values():
            if pool.spec.split is not None:
                pool.prefill_pool = self.pools[pool.spec.split.prefill]
        self.planner.configure()
        self.finishing = []
        for endpoint in gone.values():
            self._remove(endpoint)
        for pool in self.pools.values():
            self._share_prefixes(pool)
        self._epoch = -1
        self.refresh()
        replaced = self._before
        self._before = None
        if replaced is not None:
            gone_pools = [p for n, p in replaced.pools.items() if self.pools.get(n) is not p]
            self._retired = [p for p in replaced._retired + gone_pools if p.holds_any()]
            for pool in gone_pools:
                pool.recorder.log.configure("off", "")
        for pool in self.pools.values():
            pool.let_go_on()
            if pool.admission is not None:
                self._admissions.append(pool.admission)
                pool.admission.go_on()  # into room that this snapshot brings

    def _endpoint(
        self,
        spec: snapshot.Endpoint,
        addresses: list[Address],
        pool: LivePool,
        kept: LiveEndpoint | None,
    ) -> LiveEndpoint:
        context = self._context
        endpoint = kept
        if endpoint is None or endpoint.name != spec.name or endpoint.pool != pool.name:
            endpoint = LiveEndpoint(
                spec, pool.name, pool.settings, context.board, context.worker, context.loop
            )
        tls = pool.tls if spec.tls else None
        endpoint.configure(spec, pool.settings, addresses, tls, pool.spec.tls)
        endpoint.connector.tls_over_http1 = pool.tls_over_http1 if spec.tls else None
        endpoint.times_silence = pool.times_silence
        endpoint.long_lived.configure(pool.spec.drain)
        endpoint.configure_breaker(pool.spec.breaker, pool)
        endpoint.models = served_by(pool.spec, spec)
        endpoint.models_awaited = spec.name in pool.spec.awaited
        return endpoint

    def configure_endpoints(self, changes: EndpointChanges) -> None:
        """Let endpoints come, go or be others where nothing else changed.

        Raises ValueError when the changes are not of the snapshot that runs; then nothing changed.

        Plans that connections remember stay valid, or each would plan its next request anew. That
        is safe where a plan holds nothing of endpoints, so not in pools of language models (it may
        hold their list, and decides by them how much of a body is read), in pools with sticky
        cookies (it holds the endpoint that a cookie names), and when an endpoint has a base path or
        headers of its own (it keeps the head made for that one, by its name).
        """
        spec = changed(self.spec, changes)
        addresses = [
            [addresses_of(endpoint) for _, endpoint in change.placed] for change in changes.pools
        ]
        self.spec = spec
        if changes.found_tenants is not None:
            self._context.tenants.configure(spec)
            self._context.tokens.configure(spec)
            self._context.limits.configure(spec, self._board.sharers)
        self.finishing = [endpoint for endpoint in self.finishing if endpoint.in_flight]
        specs = {pool.name: pool for pool in spec.pools}
        stale = changes.found_tenants is not None  # what of a query is a key is another now
        for change, of_placed in zip(changes.pools, addresses, strict=True):
            pool = self.pools[change.pool]
            self._change_pool(pool, specs[change.pool], change, of_placed)
            apart = [e for _, e in change.placed if e.base_path or e.headers]
            stale = stale or pool.learning is not None or pool.sticky is not None or len(apart) > 0
        if stale:
            self.planner.generation = spec.generation

    def _change_pool(
        self,
        pool: LivePool,
        spec: snapshot.Pool,
        change: PoolChange,
        addresses: list[list[Address]],
    ) -> None:
        members = {endpoint.name: endpoint for endpoint in pool.members}
        finishing = {endpoint.row: endpoint for endpoint in self.finishing}
        pool.configure_endpoints(spec)
        gone = [members.pop(name) for name in change.removed]
        for (_, placed), reached_at in zip(change.placed, addresses, strict=True):
            kept = members.get(placed.name)
            if kept is not None and kept.row != placed.row:
                gone.append(kept)
            if kept is None or kept.row != placed.row:
                kept = finishing.get(placed.row)
            endpoint = self._endpoint(placed, reached_at, pool, kept)
            _read_state(pool, endpoint)
            members[placed.name] = endpoint
            if endpoint in self.finishing:
                self.finishing.remove(endpoint)
        if change.discovered or change.undiscovered:
            for each in spec.endpoints:
                if each.name in change.discovered or each.name in change.undiscovered:
                    members[each.name].models = served_by(spec, each)
        if change.awaited is not None:
            awaited = set(change.awaited)
            for endpoint in members.values():
                endpoint.models_awaited = endpoint.name in awaited
        pool.members = [members[each.name] for each in spec.endpoints]
        for endpoint in gone:
            self._by_row.pop(endpoint.row, None)
            self._believers.pop(endpoint.row, None)
            self._remove(endpoint)
        for _, placed in change.placed:
            endpoint = members[placed.name]
            self._by_row[endpoint.row] = (pool, endpoint)
        self._share_prefixes(pool)
        self._tell_policy(pool)
        self._take_reports([members[placed.name] for _, placed in change.placed], pool)

    def _remove(self, endpoint: LiveEndpoint) -> None:
        """It is configured no more, and finishes what it has."""
        endpoint.remove()
        if endpoint.in_flight:
            self.finishing.append(endpoint)

    def refresh(self) -> None:
        """See what others changed on the board; two look-ups while nobody did."""
        cells = self._cells
        if cells[H_EPOCH] != self._epoch:
            self._refresh_states()
        if cells[H_REPORTS] != self._reports:
            self._refresh_reports()
        if self._believers and self._routed is not None:
            self._routed.refresh(self._believers)  # what other workers sent where
        if self._indexes:
            self._facts.refresh(self._indexes)  # what the supervisor knows to be gone
        if self._admissions:
            for admission in self._admissions:
                admission.go_on()  # into room that other workers made

    def on_woken(self) -> None:
        """Another worker has somebody who waits for a place, or freed one."""
        for admission in self._admissions:
            admission.on_woken()

    def count_workers(self) -> None:
        """Other workers run than before."""
        for pool in self.pools.values():
            for endpoint in pool.members:
                endpoint.count_workers()
            pool.count_workers()
        for endpoint in self.finishing:
            endpoint.count_workers()

    def _refresh_states(self) -> None:
        """The supervisor changed the state of an endpoint, or of several."""
        epoch = self._cells[H_EPOCH]
        rows = self._board.states_since(self._epoch)
        self._epoch = epoch
        for pool, endpoints in self._by_pool(rows).items():
            for endpoint in endpoints:
                _read_state(pool, endpoint)
            self._tell_policy(pool)

    def _by_pool(self, rows: list[int] | None) -> dict[LivePool, list[LiveEndpoint]]:
        """The members in those rows; None: all of all pools."""
        if rows is None:
            return {pool: pool.members for pool in self.pools.values()}
        found: dict[LivePool, list[LiveEndpoint]] = {}
        for row in dict.fromkeys(rows):
            member = self._by_row.get(row)
            if member is not None:
                pool, endpoint = member
                found.setdefault(pool, []).append(endpoint)
        return found

    def _tell_policy(self, pool: LivePool) -> None:
        """Members, or their states, are others."""
        try:
            pool.replace_endpoints(list(pool.members))
        except Exception:  # noqa: BLE001 - a user's policy must not keep the others back
            report_bug(f"in the policy {pool.spec.policy.name} of pool {pool.name}")

    def _share_prefixes(self, pool: LivePool) -> None:
        """An index of a policy that believes in prefixes tells other workers, and hears from them
        and from the supervisor; so does a pool that knows who made an answer, but for the
        supervisor."""
        index = pool.policy.prefix_index
        if index is not None:
            index.exact = self._facts.table
            index.journal = self._routed
            if index not in self._indexes:
                self._indexes.append(index)
        answer_endpoints: AnswerEndpoints | None = None
        if pool.learning is not None:
            answer_endpoints = pool.learning.answer_endpoints
            pool.learning.journal = self._routed
        if self._routed is not None and (index is not None or answer_endpoints is not None):
            for endpoint in pool.members:
                self._believers[endpoint.row] = Believer(endpoint, index, answer_endpoints)

    def _refresh_reports(self) -> None:
        """Tell policies what engines said."""
        reports = self._cells[H_REPORTS]
        rows = self._board.reports_since(self._reports)
        self._reports = reports
        for pool, endpoints in self._by_pool(rows).items():
            self._take_reports(endpoints, pool)

    def _take_reports(self, endpoints: list[LiveEndpoint], pool: LivePool) -> None:
        for endpoint in endpoints:
            try:
                pool.take_report(endpoint)
            except Exception:  # noqa: BLE001 - a user's policy must not keep the others back
                report_bug(f"in the policy {pool.spec.policy.name} of pool {pool.name}")

    def on_sweep(self, now: float) -> None:
        """What waits for time to pass: engines fall silent, circuits close, queues stand."""
        for pool in self.pools.values():
            pool.expire_reports(now)
            pool.on_sweep(now)
        for pool in self._retired:
            pool.on_sweep(now)
        for endpoint in self.finishing:
            lasting = endpoint.long_lived
            if lasting.tunnels or lasting.streams:
                lasting.drain(now, draining=endpoint.draining, removed=endpoint.connector.removed)

    def on_models_known(self, pool: str) -> None:
        """The supervisor has asked that pool's endpoints once more; what they say is applied."""
        if pool in self.pools:
            self.pools[pool].waits.go_on()

    def take_notices(self) -> list[dict[str, object]]:
        """What the supervisor is to log."""
        notices: list[dict[str, object]] = []
        for pool in self.pools.values():
            notices += pool.notices
            pool.notices = []
        return notices

    def dropped_decisions(self) -> int:
        """Lines that decision logs did not write."""
        dropped = 0
        for pool in self.pools.values():
            dropped += pool.recorder.log.dropped
        return dropped

    def publish(self) -> None:
        """Copy pools' and endpoints' counters to the board."""
        idle = 0
        for pool in self.pools.values():
            pool.publish()
            for endpoint in pool.members:
                endpoint.publish()
                idle += len(endpoint.connector.idle)
        self._context.counters.values[W_IDLE_ENDPOINT_CONNECTIONS] = idle


def _read_state(pool: LivePool, endpoint: LiveEndpoint) -> None:
    """What the supervisor says of it on the board."""
    slot = endpoint.exact_slot
    endpoint.read_state()
    if endpoint.exact_slot >= 0 and endpoint.exact_slot != slot:
        index = pool.policy.prefix_index
        if index is not None:
            index.review(endpoint)
