"""The configured world as a worker runs it: pools, endpoints, and the planner of requests."""

from penstock.core import snapshot
from penstock.core.prefixes.answer_homes import AnswerHomes
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.layout import H_EPOCH, H_REPORTS, W_IDLE_ENDPOINT_CONNECTIONS
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.address_race import Address
from penstock.dataplane.io.loop import report_bug
from penstock.dataplane.llm.exact_prefixes import FactsReader
from penstock.dataplane.llm.routed_prefixes import Believer, RoutedPrefixes
from penstock.dataplane.pool.admission import Admission
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool, PoolSetup, served_by
from penstock.dataplane.route.planner import Planner


class World:
    """Built from one snapshot; what stays is taken over from the world before."""

    def __init__(self, spec: Snapshot, before: "World | None", context: Context) -> None:
        """Raises OSError, ssl.SSLError or ValueError when the snapshot cannot be run.

        Nothing of the world before is changed until ``enter``.
        """
        self.spec: Snapshot = spec
        self.generation: int = spec.generation
        self.pools: dict[str, LivePool] = {}
        # Removed with requests still under way; one that comes back goes on with its counts.
        self.finishing: list[LiveEndpoint] = []
        self._context: Context = context
        self._cells: memoryview = context.board.cells
        self._before: World | None = before
        self._epoch: int = -1
        self._reports: int = 0
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
            PoolSetup(pool, context.board.workers, context.tls) for pool in spec.pools
        ]
        for setup in self._setups:
            pool = before.pools.get(setup.spec.name) if before is not None else None
            if pool is None or pool.row != setup.spec.row:
                pool = LivePool(setup, context.board, context.worker, context.loop)
            self.pools[pool.name] = pool
        self.planner: Planner = Planner(spec, self.pools)

    def enter(self) -> None:
        """Become the world that runs. Endpoints no longer configured finish what they have."""
        self._context.prompt_room = self.spec.prompt_bytes
        gone: dict[int, LiveEndpoint] = {}
        if self._before is not None:
            for endpoint in self._before.finishing:
                gone[endpoint.row] = endpoint
            for before in self._before.pools.values():
                for endpoint in before.members:
                    gone[endpoint.row] = endpoint
        for setup in self._setups:
            pool = self.pools[setup.spec.name]
            pool.adopt(setup)
            pool.waits.supervisor = self._context.supervisor
            pool.members = [
                self._endpoint(spec, addresses, pool, gone.pop(spec.row, None))
                for spec, addresses in zip(setup.spec.endpoints, setup.addresses, strict=True)
            ]
        self._setups = []
        self.planner.prepare()
        for endpoint in gone.values():
            endpoint.remove()
        self.finishing = [endpoint for endpoint in gone.values() if endpoint.in_flight]
        self._share_prefixes()
        self._epoch = -1
        self.follow()
        replaced = self._before
        self._before = None
        if replaced is not None:
            gone_pools = [p for n, p in replaced.pools.items() if self.pools.get(n) is not p]
            self._retired = [p for p in replaced._retired + gone_pools if p.holds_any()]
            for pool in gone_pools:
                pool.recorder.log.configure("off", "")
        for pool in self.pools.values():
            pool.settle_in()
            if pool.admission is not None:
                self._admissions.append(pool.admission)

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
        endpoint.times_silence = pool.times_silence
        endpoint.configure_breaker(pool.spec.breaker, pool)
        endpoint.models = served_by(pool.spec, spec)
        endpoint.models_awaited = spec.name in pool.spec.awaited
        return endpoint

    def follow(self) -> None:
        """Take over what others changed on the board; two look-ups while nobody did."""
        cells = self._cells
        if cells[H_EPOCH] != self._epoch:
            self._epoch = cells[H_EPOCH]
            self._follow_states()
        if cells[H_REPORTS] != self._reports:
            self._reports = cells[H_REPORTS]
            self._follow_reports()
        if self._believers and self._routed is not None:
            self._routed.take(self._believers)  # what other workers sent where
        if self._indexes:
            self._facts.take(self._indexes)  # what the supervisor knows to be gone
        if self._admissions:
            for admission in self._admissions:
                admission.go_on()  # into room that other workers made

    def _follow_states(self) -> None:
        """The supervisor changed the state of an endpoint, or of several."""
        for pool in self.pools.values():
            for endpoint in pool.members:
                slot = endpoint.exact_slot
                endpoint.read_state()
                if endpoint.exact_slot >= 0 and endpoint.exact_slot != slot:
                    index = pool.policy.prefix_index
                    if index is not None:
                        index.review(endpoint)
            try:
                pool.replace_endpoints(list(pool.members))
            except Exception:  # noqa: BLE001 - a user's policy must not keep the others back
                report_bug(f"in the policy {pool.spec.policy.name} of pool {pool.name}")

    def _share_prefixes(self) -> None:
        """Indexes of policies that believe in prefixes tell other workers, and hear from them and
        from the supervisor; so do pools that know who made an answer, but for the supervisor."""
        for pool in self.pools.values():
            index = pool.policy.prefix_index
            if index is not None:
                index.exact = self._facts.table
                index.journal = self._routed
                self._indexes.append(index)
            homes: AnswerHomes | None = None
            if pool.insight is not None:
                homes = pool.insight.homes
                pool.insight.journal = self._routed
            if self._routed is not None and (index is not None or homes is not None):
                for endpoint in pool.members:
                    self._believers[endpoint.row] = Believer(endpoint, index, homes)

    def _follow_reports(self) -> None:
        """Tell policies what engines said."""
        for pool in self.pools.values():
            try:
                pool.take_reports()
            except Exception:  # noqa: BLE001 - a user's policy must not keep the others back
                report_bug(f"in the policy {pool.spec.policy.name} of pool {pool.name}")

    def on_sweep(self, now: float) -> None:
        """What waits for time to pass: engines fall silent, circuits close, queues stand."""
        for pool in self.pools.values():
            pool.expire_reports(now)
            pool.on_sweep(now)
        for pool in self._retired:
            pool.on_sweep(now)

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
