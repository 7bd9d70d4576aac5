"""Replays recorded decisions: what other policies would have picked, and its estimated cost.

The records are the JSON lines of a pool's ``decisions: {file: …}`` or of ``penstock ctl decisions
--json``. At each decision the policies see the candidates as they were seen then. Afterwards they
are told what was picked and how it ended, so they learn what the balancer's own policy learned.
Picks are compared one at a time, at the recorded loads: had another policy been followed all the
time, loads would have been others, which is a question for a simulation with a workload.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from struct import unpack

import msgspec

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.policy.base import Policy
from penstock.core.request import Request
from penstock.core.snapshot import PolicyChoice
from penstock.core.ticket import OUTCOMES, Ticket
from penstock.dataplane.record.recorder import judge_of, known_cost
from penstock.sim.kernel.recorded import RecordedEndpoint, RecordedIndex


class Candidate(msgspec.Struct):
    endpoint: str
    in_flight: int
    weight: float = 1.0
    queued_tokens: int = 0
    kv_tokens: int = 0
    kv_capacity: int = 0
    most_running: int = 0
    decoding: int = 0
    report_age_s: float = -1.0
    terms: dict[str, float | None] = {}


class RecordedRequest(msgspec.Struct):
    method: str = "GET"
    host: str = ""
    path: str = "/"
    key: str = "0"
    session: str = "0"
    model: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    streams: bool = True
    blocks: str = ""
    block_ends: list[int] = []
    block_tokens: int = 0

    def request(self) -> Request:
        """As the policies saw it."""
        return Request(
            method=self.method,
            host=self.host,
            path=self.path,
            key_hash=int(self.key, 16),
            session_hash=int(self.session, 16),
            model=self.model,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            streams=self.streams,
            blocks=list(unpack(f">{len(self.blocks) // 16}Q", bytes.fromhex(self.blocks))),
            block_ends=self.block_ends,
            block_tokens=self.block_tokens,
        )


class CameTrue(msgspec.Struct):
    total_s: float
    first_byte_s: float | None = None
    ttft_s: float | None = None  # the same in older records, and now of streams only
    cached_tokens: int | None = None
    output_tokens: int = 0
    status: int = 0
    end: str = "done"


class Record(msgspec.Struct):
    """What ``dataplane.decision`` writes; the fields that a replay needs."""

    id: str
    time: float
    pool: str
    policy: str
    request: RecordedRequest
    candidates: list[Candidate]
    picked: str
    came_true: CameTrue | None = None


class Summary(msgspec.Struct):
    """One policy on the decisions of one pool. Costs are means over ``judged``, in seconds."""

    pool: str
    recorded: str  # the policy that decided
    policy: str
    decisions: int = 0
    different: int = 0
    judged: int = 0
    recorded_cost_s: float = 0.0
    cost_s: float = 0.0
    picks: dict[str, str] = {}  # by request id: where it differs


def read_records(path: Path) -> list[Record]:
    """The records of a file in the order of their decisions. Raises ValueError naming the line."""
    decoder = msgspec.json.Decoder(Record)
    records: list[Record] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                records.append(decoder.decode(line))
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}:{number}: not a recorded decision: {error}") from error
    records.sort(key=lambda record: record.time)
    return records


def replay(
    records: Sequence[Record], policies: Sequence[PolicyChoice], *, seed: int = 1
) -> list[Summary]:
    """Each policy on each pool's decisions."""
    summaries: list[Summary] = []
    for pool in dict.fromkeys(record.pool for record in records):
        own = [record for record in records if record.pool == pool]
        for choice in policies:
            policy = create(choice.name, dict(choice.options))
            summaries.append(_replay_one(own, choice.name, policy, seed))
    return summaries


def _replay_one(records: Sequence[Record], name: str, policy: Policy, seed: int) -> Summary:
    serving = any(record.request.prompt_tokens for record in records)
    judge = _Player(judge_of("llm" if serving else "http"), seed)
    player = _Player(policy, seed)
    summary = Summary(records[0].pool, records[0].policy, name)
    for record in records:
        picked = player.pick(record)
        if picked is None:
            continue
        summary.decisions += 1
        if picked != record.picked:
            summary.different += 1
            summary.picks[record.id] = picked
        costs = judge.costs(record)
        if picked in costs and record.picked in costs:
            summary.judged += 1
            summary.recorded_cost_s += costs[record.picked]
            summary.cost_s += costs[picked]
        player.learn(record)
        judge.learn(record)
    if summary.judged:
        summary.recorded_cost_s /= summary.judged
        summary.cost_s /= summary.judged
    return summary


class _Player:
    """A policy with endpoints of its own, taken from record to record."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self._policy = policy
        self._env = Env(Random(seed))
        self._endpoints: dict[str, RecordedEndpoint] = {}
        self._candidates: list[Endpoint] = []
        self._weights: list[float] = []
        self._request = Request()
        self._due: list[tuple[float, int, Ticket, CameTrue, bool]] = []
        self._opened = 0
        self._index: RecordedIndex | None = None
        if policy.prefix_index is not None:
            self._index = RecordedIndex()
            policy.use_prefix_index(self._index)

    def pick(self, record: Record) -> str | None:
        self._see(record)
        if self._index is not None:
            self._index.hits = _hits(record, self._endpoints, seeded=True)
        picked = self._policy.pick(self._request, self._candidates, self._env)
        return picked.name if picked is not None else None

    def costs(self, record: Record) -> dict[str, float]:
        """What is known of the cost of each candidate, in seconds."""
        self._see(record)
        explained = self._policy.explain(self._request, self._candidates, self._env)
        costs: dict[str, float] = {}
        for endpoint, terms in explained:
            cost = known_cost(terms)
            if cost >= 0.0:
                costs[endpoint.name] = cost
        return costs

    def learn(self, record: Record) -> None:
        """What was really picked, and, when its time comes, what came of it."""
        endpoint = self._endpoints.get(record.picked)
        if endpoint is None or not self._policy.observes:
            return
        endpoint.seen += 1  # with this one, until the next record tells
        ticket = Ticket(endpoint, self._policy, self._request, record.time)
        true = record.came_true
        if true is None:
            return
        self._opened += 1
        first_byte_s = true.first_byte_s if true.first_byte_s is not None else true.ttft_s
        if first_byte_s is not None:
            self._at(record.time + first_byte_s, ticket, true, ends=False)
        self._at(record.time + true.total_s, ticket, true, ends=True)

    def _at(self, time: float, ticket: Ticket, true: CameTrue, *, ends: bool) -> None:
        heappush(self._due, (time, 2 * self._opened + ends, ticket, true, ends))

    def _see(self, record: Record) -> None:
        """The world as it was when this was decided."""
        self._settle_until(record.time)
        self._env.now = record.time
        self._request = record.request.request()
        candidates: list[Endpoint] = [self._seen(each, record.time) for each in record.candidates]
        weights = [candidate.weight for candidate in candidates]
        if candidates != self._candidates or weights != self._weights:
            self._candidates, self._weights = candidates, weights
            self._policy.replace_members(list(self._endpoints.values()))
            self._policy.rebuild(candidates)
        if self._index is not None:
            self._index.hits = _hits(record, self._endpoints, seeded=False)

    def _seen(self, each: Candidate, now: float) -> RecordedEndpoint:
        endpoint = self._endpoints.get(each.endpoint)
        if endpoint is None:
            endpoint = RecordedEndpoint(each.endpoint)
            endpoint.order = len(self._endpoints)
            self._endpoints[each.endpoint] = endpoint
        endpoint.seen = each.in_flight
        endpoint.weight = each.weight
        endpoint.tokens.pending_prefill = each.queued_tokens
        endpoint.tokens.held = each.kv_tokens
        endpoint.reported.kv_capacity = each.kv_capacity
        endpoint.reported.most_running = each.most_running
        endpoint.tokens.decoding = each.decoding
        endpoint.reported.at = now - each.report_age_s if each.report_age_s >= 0.0 else -1.0
        return endpoint

    def _settle_until(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            at, _, ticket, true, ends = heappop(self._due)
            ticket.status = true.status
            if not ends:
                ticket.first_byte(at)
                continue
            ticket.output_tokens = true.output_tokens
            ticket.settle(OUTCOMES.index(true.end), at)


def _hits(
    record: Record, endpoints: dict[str, RecordedEndpoint], *, seeded: bool
) -> dict[Endpoint, int] | None:
    """What was believed to be cached, or what endpoints counted for that were to be seeded; None
    when the policy that decided did not count it."""
    hits: dict[Endpoint, int] = {}
    for each in record.candidates:
        cached = each.terms.get("cached_tokens")
        if cached is None:
            return None
        if seeded and (counted := each.terms.get("seeded_tokens")) is not None:
            cached = counted
        hits[endpoints[each.endpoint]] = int(cached)
    return hits
