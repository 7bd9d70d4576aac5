"""A pool at work: the core's pool with its settings, retry budget and counters."""

import ssl
from math import ceil
from typing import Final

from penstock.core import snapshot
from penstock.core.env import Env
from penstock.core.hedge import HedgeRules
from penstock.core.limits.rules import Rule, rules_of
from penstock.core.pool.models import ModelNames
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.core.retry import RetryBudget
from penstock.dataplane.board.counters import PoolCounters
from penstock.dataplane.board.layout import P_LIMIT_MILLI, P_WAITING
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.model_counters import ModelCounters
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop, report_bug
from penstock.dataplane.llm.learning import LlmLearning
from penstock.dataplane.llm.sightings import SightingRing
from penstock.dataplane.pool.admission import Admission, AdmissionOwner
from penstock.dataplane.pool.allowed_origins import AllowedOrigins
from penstock.dataplane.pool.header_edits import edits_of
from penstock.dataplane.pool.live_endpoint import EndpointOwner, LiveEndpoint
from penstock.dataplane.pool.load_probing import LoadProber
from penstock.dataplane.pool.model_waits import ModelWaits
from penstock.dataplane.pool.orca import ASKED, HIDDEN, report_of
from penstock.dataplane.pool.served_models import listed_models
from penstock.dataplane.pool.server_ids import ServerIds
from penstock.dataplane.pool.session_cookie import SessionCookie
from penstock.dataplane.pool.setup import PoolSetup
from penstock.dataplane.record.recorder import Recorder
from penstock.dataplane.record.request_log import json_text
from penstock.wire.forwarding import Edit
from penstock.wire.http1 import ResponseHead
from penstock.wire.networks import Networks
from penstock.wire.orca import load_metrics

# How old what other workers count of an endpoint's tokens may be, as of its requests.
TOKENS_MAX_AGE_S: Final = 0.001
MAX_NOTICES: Final = 100  # kept between two sweeps
_KEYS: Final = frozenset(("authorization", "x-api-key", "api-key"))


class LivePool(Pool, EndpointOwner, AdmissionOwner):
    """One object for as long as a pool of that name is configured."""

    def __init__(self, setup: PoolSetup, board: Board, worker: int, loop: Loop) -> None:
        super().__init__(setup.spec.name, setup.policy)
        self._loop: Loop = loop
        self._env: Env = loop.env
        self.load_prober: LoadProber | None = None  # of pools whose policy asks endpoints
        self.admission: Admission | None = None  # of pools that configure any
        self.limits: list[Rule] = []
        self._limits: tuple[snapshot.Limit, ...] = ()
        self._outgoing: Admission | None = None  # its requests go on when the snapshot runs
        self.notices: list[dict[str, object]] = []  # for the supervisor's log
        self.row: int = setup.spec.row
        self._board: Board = board
        self._worker: int = worker
        self.log_name: bytes = json_text(self.name.encode())
        self.counters: PoolCounters = PoolCounters(board, self.row, worker)
        self.members: list[LiveEndpoint] = []
        self.budget = RetryBudget(0.0, 0.0)
        self._budgeted: int = self.counters.requests  # requests the budget knows of
        self.recorder: Recorder = Recorder(self, self.counters, board.sharers)
        self.learning: LlmLearning | None = None  # of pools that serve a language model
        self.origins: AllowedOrigins = AllowedOrigins()
        self.waits: ModelWaits = ModelWaits(self.name, loop.env)
        self._tokens_at: float = -1.0
        self.hedge: HedgeRules | None = None
        self.configure(setup)

    def configure(self, setup: PoolSetup) -> None:
        """Do what a snapshot says; a policy that was not changed keeps its state."""
        spec = setup.spec
        self._chosen: snapshot.PolicyChoice
        if self.policy is setup.policy or self._chosen != spec.policy:
            self.policy = setup.policy
            self._chosen = spec.policy
        self.spec: snapshot.Pool = spec
        self._counts_tokens: bool = False
        self.count_workers()
        self._configure_prober(spec.probe)
        self.names = ModelNames(
            dict(spec.models.aliases), dict(spec.models.fallbacks), spec.models.default
        )
        if spec.kind != "llm":
            self.learning = None
        elif self.learning is None:
            self.learning = LlmLearning(
                self.counters,
                ModelCounters(self._board, self.row, self._worker),
                SightingRing(self._board, self._worker),
            )
        if self.learning is not None:
            self.learning.usage = spec.usage
            self.learning.models.known = listed_models(spec)
        self.refuses_malformed: bool = spec.malformed == "refuse"
        self.prefill_pool: LivePool | None = None  # that computes prompts for this one
        self.refuses_transfers: bool = spec.kv_transfers == "refuse"
        self.prompt_bytes: int = spec.prompt_bytes
        self.request_buffer: int = spec.request_buffer
        self.answers_as_asked: bool = spec.models.answers == "asked"
        # What a request's key is made of: for the policy, or else for one in the shadow.
        self.key: str = setup.key
        self.recorder.configure(spec)
        self.tls: ssl.SSLContext | None = setup.tls
        self.tls_over_http1: ssl.SSLContext | None = setup.tls_over_http1
        self.rules = setup.rules
        self.budget.allow(spec.retry.budget_share, setup.budget_min_per_s)
        self.sticky: SessionCookie | None = setup.sticky
        self.server_ids: ServerIds | None = None
        if spec.quic_connection_ids:
            self.server_ids = ServerIds(spec.quic_connection_ids)
            self.server_ids.replace_endpoints(spec.endpoints)
        self.panic_threshold = spec.panic_threshold
        self._configure_admission(spec.admission)
        # Whose header tells a priority.
        self.priority_clients: Networks = Networks(spec.admission.priority_clients)
        if spec.limits != self._limits:
            self._limits = spec.limits
            self.limits = rules_of(spec.limits)
        # Whether requests that are bound to an endpoint wait for it while it is full.
        self.waits_for_bound: bool = spec.admission.queue is not None and (
            spec.sticky is None or spec.sticky.when_full == "wait"
        )
        self.maintenance: snapshot.Maintenance | None = spec.maintenance
        self.host_header: str = spec.host_header
        self.request_edits: list[Edit] = edits_of(spec.request_headers)
        self.response_edits: list[Edit] = edits_of(spec.response_headers)
        # Whether its engines want a key, as what reads their load and models has one.
        self.wants_key: bool = spec.engine is not None and any(
            [name.lower() in _KEYS for name, _ in spec.engine.headers]
        )
        self.orca: bool = spec.engine is not None and spec.engine.orca
        if self.orca:
            self.request_edits.append(ASKED)
            self.response_edits += HIDDEN
        # Policies, live or shadow, ask for it if they learn at all, and outlier detection may.
        self.times_silence: bool = (
            spec.kind == "llm"
            or self.policy.observes
            or len(spec.shadow) > 0
            or (spec.outlier.enabled and spec.outlier.silence_s > 0.0)
        )
        self.settings: ConnectionSettings = ConnectionSettings(
            spec.timeouts, spec.connections, spec.protocol, spec.proxy_protocol
        )
        self.request_s: float = spec.timeouts.request_s
        # Whether attempts are watched: for their tokens, or for when they answer.
        timeouts = spec.timeouts
        self.watches: bool = spec.hedge is not None or (
            spec.kind == "llm"
            and (
                timeouts.first_token_s > 0.0
                or timeouts.token_s > 0.0
                or spec.first_token_header is not None
                or (spec.admission.queue is not None and spec.admission.queue.preemptions > 0)
                or spec.resume is not None
            )
        )
        self.asks_ids: bool = spec.resume is not None and spec.resume.token_ids
        if spec.hedge is None:
            self.hedge = None
        elif self.hedge is None or self.hedge.settings != spec.hedge:
            self.hedge = HedgeRules(spec.hedge)

    def configure_endpoints(self, spec: snapshot.Pool) -> None:
        """Take over other endpoints where nothing else that a snapshot says of the pool changed."""
        self.spec = spec
        if self.learning is not None:
            self.learning.models.known = listed_models(spec)
        if self.sticky is not None:
            self.sticky.replace_endpoints(spec)
        if self.server_ids is not None:
            self.server_ids.replace_endpoints(spec.endpoints)

    def count_workers(self) -> None:
        """Whether there are others to hear of, whose tokens count too."""
        others = self._board.end_index - self._board.first_index > 1 or self._board.shared
        self._counts_tokens = others and self.policy.prefix_index is not None
        self.catches_up = self._counts_tokens or self.load_prober is not None
        if self.admission is not None:
            self.admission.count_workers()

    def _configure_prober(self, spec: snapshot.Probe) -> None:
        if not self.policy.probes:
            self.load_prober = None
        elif (
            self.load_prober is None
            or self.load_prober.spec != spec
            or self.load_prober.policy != self.policy
        ):
            self.load_prober = LoadProber(spec, self.policy, self.counters, self._loop)
        self.catches_up = self._counts_tokens or self.load_prober is not None

    def _configure_admission(self, spec: snapshot.Admission) -> None:
        admission = self.admission
        if spec == (admission.spec if admission is not None else snapshot.Admission()):
            return
        self._outgoing = admission
        if admission is not None:
            admission.replace()
        self.counters.values[P_WAITING] = 0
        self.counters.values[P_LIMIT_MILLI] = 0
        self._board.clear_queue(self.row, self._worker)
        self.admission = None
        if spec != snapshot.Admission():
            self.admission = Admission(
                spec,
                self.name,
                self.counters,
                self,
                self._loop,
                self._board,
                self.row,
                self._worker,
            )
            self.admission.on_change()

    def let_go_on(self) -> None:
        """The snapshot runs: those that waited by settings of before go on by these."""
        outgoing = self._outgoing
        self._outgoing = None
        if outgoing is not None:
            outgoing.dissolve(self.admission)

    def holds_any(self) -> bool:
        """Whether requests wait in it for a place."""
        if len(self.waits) > 0:
            return True
        return self.admission is not None and self.admission.waiting() > 0

    def eligibility_changed(self) -> None:
        """An endpoint was cut out, or is tried again."""
        try:
            self.refresh()
        except Exception:  # noqa: BLE001 - a user's policy must not spoil the request under way
            report_bug(f"in the policy {self.spec.policy.name} of pool {self.name}")

    def note(self, kind: str, message: str, endpoint: str = "") -> None:
        """Have the supervisor log that something changed."""
        if len(self.notices) < MAX_NOTICES:
            notice: dict[str, object] = {"event": kind, "message": message, "pool": self.name}
            if endpoint:
                notice["endpoint"] = endpoint
            self.notices.append(notice)

    def on_sweep(self, now: float) -> None:
        """Four times a second."""
        self._note_requests(now)
        self.waits.on_sweep(now)
        if self.admission is not None:
            self.admission.on_sweep()
        breaks = self.spec.breaker is not None
        for endpoint in self.members:
            if breaks:
                endpoint.try_again(now)
            lasting = endpoint.long_lived
            if lasting.tunnels or lasting.streams:
                lasting.drain(now, draining=endpoint.draining, removed=endpoint.connector.removed)

    def takes_retry(self, now: float) -> bool:
        """Take the right to retry once from the budget; False when there is none left."""
        self._note_requests(now)
        return self.budget.take(now)

    def _note_requests(self, now: float) -> None:
        """Tell the budget of the requests that came since the last time: one by one would cost
        every request what only a retry needs."""
        came = self.counters.requests
        self.budget.request(now, came - self._budgeted)
        self._budgeted = came

    def retry_after_s(self) -> int:
        """When a request may be tried again that found no endpoint, as far as is known."""
        soonest_s = 0.0
        for endpoint in self.members:
            if endpoint.breaker is not None and endpoint.cut_out:
                left_s = endpoint.breaker.retry_after_s(self._env.now)
                soonest_s = min(soonest_s, left_s) if soonest_s else left_s
        return max(ceil(soonest_s), 1)

    def refresh(self) -> None:
        super().refresh()
        self.recorder.refresh()

    def publish(self) -> None:
        """Copy the counters to the board, and hand on recorded decisions."""
        self.counters.publish()
        log = self.recorder.log
        log.on_sweep(self._env.now)
        for notice in log.take_notices():
            self.notices.append({"pool": self.name, **notice})

    def catch_up(self, env: Env) -> None:
        if self.load_prober is not None:
            self.load_prober.send_due(env)
        if self._counts_tokens and env.now - self._tokens_at > TOKENS_MAX_AGE_S:
            self._tokens_at = env.now
            for endpoint in self.members:
                endpoint.read_tokens_elsewhere()

    def why_none(self, request: Request) -> str:
        """Why no endpoint can be picked for it; without our names, because clients see it."""
        if not self.endpoints:
            return "there are no endpoints"
        if not self.eligible and all([endpoint.cut_out for endpoint in self.members]):
            return "the circuit breaker of every endpoint is open"
        if not self.eligible:
            return "no endpoint is available"
        if request.model and not self.serving(request.model):
            return f"no available endpoint serves the model {request.model}"
        return "every available endpoint is at its max_in_flight"

    def take_report(self, endpoint: LiveEndpoint) -> None:
        """Tell the policy what the engine of this member said since it was told last.

        Raises what the policy does.
        """
        if self.spec.engine is None:
            return
        report = endpoint.take_report()
        if report is not None:
            self.knows_loaded = self.knows_loaded or len(endpoint.reported.loaded) > 0
            self.policy.on_report(endpoint, report)
            endpoint.report_taken()
            self.recorder.on_report(endpoint, report)

    def take_orca(self, endpoint: LiveEndpoint, head: ResponseHead, now: float) -> None:
        """Tell the policy what a response's head says of the load, if it says anything."""
        told = load_metrics(head.fields)
        if not told:
            return
        report = report_of(told, endpoint.reported.kv_capacity, now)
        try:
            self.policy.on_report(endpoint, report)
            endpoint.report_taken()
            self.recorder.on_report(endpoint, report)
        except Exception:  # noqa: BLE001 - a user's policy must not spoil the response
            report_bug(f"in the policy {self.spec.policy.name} of pool {self.name}")

    def expire_reports(self, now: float) -> None:
        """Believe no engine that has been silent for too long."""
        engine = self.spec.engine
        if engine is not None:
            for endpoint in self.members:
                endpoint.expire_report(now, engine.silent_after_s)
            self.recorder.expire_reports(now, engine.silent_after_s)

    def answer_endpoint(self, request: Request) -> LiveEndpoint | None:
        """The endpoint that made the answer from which the request goes on, if that is known and
        it may go there, whether or not there is room."""
        if self.learning is None or not request.continues:
            return None
        home = self.learning.answer_endpoints.of(request.continues)
        return home if isinstance(home, LiveEndpoint) and self._keeps(home, request) else None

    def named_by(self, cookie: str) -> LiveEndpoint | None:
        """The member that a sticky cookie's value names, if it names one."""
        return self.member_called(self.sticky.endpoint_of(cookie)) if self.sticky else None

    def made_by(self, data: bytes) -> LiveEndpoint | None:
        """The member that made the connection id of a QUIC datagram, if that is known."""
        return self.member_called(self.server_ids.endpoint_of(data)) if self.server_ids else None

    def member_called(self, name: str) -> LiveEndpoint | None:
        """The endpoint of that name; None where there is none."""
        if name:
            for endpoint in self.members:
                if endpoint.name == name:
                    return endpoint
        return None

    def sticky_endpoint(self, home: LiveEndpoint | None, request: Request) -> LiveEndpoint | None:
        """The endpoint that a request's cookie names, if it may go there, whether or not there is
        room."""
        return home if home is not None and self._keeps(home, request) else None

    def _keeps(self, endpoint: LiveEndpoint, request: Request) -> bool:
        """Whether requests that are bound to the endpoint still go there."""
        if not endpoint.stays() and endpoint not in self.eligible:
            return False
        return not request.model or endpoint.serves(request.model)

    def cookie_for(self, endpoint: LiveEndpoint, cookie: str) -> bytes:
        """The Set-Cookie that binds a client to the endpoint; b"" when its cookie does already."""
        if self.sticky is None or endpoint.connector.removed:
            return b""
        return self.sticky.binding(endpoint.name, cookie)
