"""A request whose prompt one endpoint computes and another answers: both halves or neither.

The answering endpoint is chosen first and holds its place; then the prompt is computed; then it
goes to the answering endpoint with what the other told. Where that one cannot be reached, the next
gets the same, as long as the computing engine keeps it (its lease). Where no engine can compute it
apart, it runs whole where it is answered. Source: vLLM, docs/design/nixl_kv_cache_lease.md.

Engines that meet (SGLang, Mooncake) are asked at once, as soon as one that computes was reached;
where a half fails before the answer began, both are made anew, in another room, and in the end it
runs whole where the engines can do so.
"""

from typing import Final

from mypy_extensions import trait

from penstock.core.apart import compute_elsewhere, compute_here, hand_over, is_apart
from penstock.core.request import Request
from penstock.core.snapshot import Split
from penstock.core.snapshot.split import BY_COST
from penstock.core.ticket import ABANDONED
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.passage import Passage
from penstock.dataplane.exchange.split.prefill_leg import PrefillLeg, PrefillOwner
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.chunked import ChunkedReader, as_one_chunk
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.handover.connector import Connector
from penstock.wire.handover.mooncake import Mooncake
from penstock.wire.handover.nixl import Nixl
from penstock.wire.handover.sglang import Sglang
from penstock.wire.http1 import RequestHead

# A request that arrives as its lease ends would be answered from blocks that are gone.
_MARGIN_S: Final = 5.0
CONNECTORS: Final[dict[str, Connector]] = {
    Nixl.name: Nixl(),
    Sglang.name: Sglang(),
    Mooncake.name: Mooncake(),
}

_UNDECIDED: Final = 0
_COMPUTING: Final = 1
_COMPUTED: Final = 2
_WHOLE: Final = 3
_MEETING: Final = 4  # both halves have the request
_FAILED: Final = 5  # nobody computes it, and nobody can do without that
_MOST_MEETINGS: Final = 3  # of one request, as halves of it fail
_ROOM_BITS: Final = 63


@trait
class SplitOwner:
    """The exchange that it is part of."""

    def begin_attempt(self, attempt: Attempt) -> None:
        """One that was held."""
        raise NotImplementedError

    def needs_prompt(self) -> bool:
        """Whether its answer has not begun."""
        raise NotImplementedError

    def on_prompt_failed(self, why: str) -> None:
        """No endpoint computes it."""
        raise NotImplementedError


class SplitPrompt(PrefillOwner):
    """Of one exchange, whatever number of attempts it makes."""

    leg: PrefillLeg | None = None
    why: str = ""  # it runs whole though it was to be split
    _asked: bytes = b""  # the last endpoint that was asked to compute, as the log shows it
    _state: int = _UNDECIDED
    _json: bytes = b""  # the request's body
    _handed_over: bytes = b""
    _computed_at: float = 0.0
    _given: bool = False  # to an endpoint, which may have pulled it: a cache is pulled once
    _beginning: bool = False
    _meetings: int = 0
    _moved: bool = False

    def __init__(
        self,
        owner: SplitOwner,
        dispatch: Dispatch,
        spec: Split,
        pool: LivePool,
        plan: PoolPlan,
        head: RequestHead,
        inspection: Inspection,
        passage: Passage | None,
    ) -> None:
        """``pool``: that computes prompts."""
        self._context: Context = dispatch.context
        self._owner: SplitOwner = owner
        self._dispatch: Dispatch = dispatch  # of the answering half
        self._spec: Split = spec
        self._pool: LivePool = pool
        self._plan: PoolPlan = plan
        self._head: RequestHead = head
        self._inspection: Inspection = inspection
        self._passage: Passage | None = passage  # of the answer
        self._connector: Connector = CONNECTORS[spec.connector]

    def holds(self, attempt: Attempt) -> bool:
        """Whether that attempt is to wait: ``begin_attempt`` follows, or another method."""
        if self._state == _COMPUTED:
            kept_until = self._computed_at + max(self._spec.lease_s - _MARGIN_S, 0.0)
            if self._context.env.now < kept_until and not self._given:
                compute_elsewhere(attempt.ticket, self._context.env.now)
                hand_over(attempt.ticket, self._context.env.now)
                return False
            self._begin_anew()
        elif self._state == _MEETING and self._moved:
            self._moved = False
            return False  # to the room where another one computes by now
        elif self._state == _MEETING:
            self.give_up(ABANDONED)  # who was to meet the attempt before waits in its room
            self._begin_anew()
        if self._state == _COMPUTING:
            self._leave(attempt)
            return True
        if self._state == _WHOLE or not self._is_worth_it(attempt):
            self._state = _WHOLE
            return False
        self._compute(attempt)
        return self._state == _COMPUTING or self._state == _FAILED

    def _begin_anew(self) -> None:
        self._state = _UNDECIDED
        self._handed_over = b""
        self._given = False

    def _is_worth_it(self, attempt: Attempt) -> bool:
        """Whether enough of the prompt is not cached where it is answered."""
        prompt = self._inspection.prompt
        if prompt is None or not prompt.may_be_split():
            return False
        if not self._connector.alone:
            return True
        ticket = attempt.ticket
        request = ticket.request
        if self._spec.threshold == BY_COST:
            computing = self._pool
            eligible = computing.candidates(request)
            policy = self._dispatch.pool.policy
            return is_apart(ticket, policy, computing.policy, eligible, self._context.env)
        return request.prompt_tokens - ticket.hit_tokens >= self._spec.threshold

    def _leave(self, attempt: Attempt) -> None:
        """Its prompt is computed elsewhere. Of engines that meet, nobody can tell how long that
        takes from how long the cache does."""
        if not self._connector.at_once:
            compute_elsewhere(attempt.ticket, self._context.env.now)

    def _compute(self, attempt: Attempt) -> None:
        prompt = self._inspection.prompt
        self._json = prompt.json if prompt is not None else b""
        if not self._connector.prefill_body(self._json, b"{}"):
            self._state = _WHOLE  # it cannot be written: the engine tells what is wrong with it
            return
        self._meetings += 1
        self._state = _COMPUTING
        self._leave(attempt)
        leg = PrefillLeg(
            self._context,
            self,
            self._pool,
            self._plan,
            _of_one_token(attempt.ticket.request, not self._connector.at_once),
            self._head,
            self._dispatch.request_id,
            attempt.expires_at,
        )
        self.leg = leg
        self._beginning = True
        leg.begin()
        self._beginning = False
        if self._state == _FAILED:
            self._owner.on_prompt_failed(self.why)

    # --- what comes of it (PrefillOwner) --------------------------------------------------------

    def prefill_body(self, endpoint: LiveEndpoint) -> bytes:
        meeting = b"{}"
        self._asked = endpoint.log_name
        if self._connector.at_once:
            spec = self._spec
            addresses = endpoint.connector.in_order()
            host = str(addresses[0].sockaddr[0]) if addresses else ""
            port = spec.bootstrap_ports.get(endpoint.name, spec.bootstrap_port)
            room = self._context.env.rng.getrandbits(_ROOM_BITS)
            engine = spec.engine_ids.get(endpoint.name, endpoint.name)
            meeting = self._connector.meeting(host, port, room, engine)
            self._handed_over = meeting
        return self._connector.prefill_body(self._json, meeting)

    def is_needed(self) -> bool:
        return self._owner.needs_prompt()

    def on_asked(self) -> None:
        if not self._connector.at_once:
            return
        if self._state == _MEETING:  # another computes: the attempt under way waits in vain
            self._moved = True
            self._make_anew()
            return
        self._state = _MEETING
        self._go_on()

    def on_computed(self, answer: bytes) -> None:
        self.leg = None
        if self._state == _MEETING:
            return
        self._handed_over = self._connector.handed_over(answer)
        self._computed_at = self._context.env.now
        self._state = _COMPUTED if self._handed_over else _WHOLE
        if not self._handed_over:
            self.why = "the computing endpoint handed nothing over"
        self._go_on()

    def on_not_computed(self, why: str) -> None:
        self.leg = None
        self.why = why
        if self._state == _MEETING:
            self._lose()
        elif not self._connector.alone:
            self._fail()
        else:
            self._state = _WHOLE
            self._go_on()

    def _lose(self) -> None:
        if self._meetings < _MOST_MEETINGS:
            self._make_anew()
        elif self._connector.alone:
            self._state = _WHOLE
            self._handed_over = b""
            self._make_anew()
        else:
            self._fail()

    def _fail(self) -> None:
        self.give_up(ABANDONED)
        self._state = _FAILED
        if not self._beginning:
            self._owner.on_prompt_failed(self.why)

    def _make_anew(self) -> None:
        """The attempt that began, unless it answers already; it is held again."""
        dispatch = self._dispatch
        attempt = dispatch.attempt
        if not self._owner.needs_prompt() or attempt is None or attempt.is_settled():
            return
        attempt.give_up()
        attempt.settle(ABANDONED, self._context.env.now)
        if self._passage is not None:
            self._passage.forget(attempt)
        dispatch.try_again_at(attempt.endpoint)

    def _go_on(self) -> None:
        """The attempt that was held may begin."""
        attempt = self._dispatch.attempt
        if attempt is None or attempt.is_settled():
            return
        if self._state == _COMPUTED:
            hand_over(attempt.ticket, self._context.env.now)
        elif self._state == _WHOLE:
            compute_here(attempt.ticket, self._context.env.now)
        if not self._beginning:
            self._owner.begin_attempt(attempt)

    def sent(self, head: ForwardedHead, body: bytes) -> tuple[ForwardedHead, bytes]:
        """What the answering endpoint gets in the place of these, in the client's framing."""
        if not self._handed_over:
            return head, body
        chunked = self._head.chunked
        json = ChunkedReader(False, 400).feed(body) if chunked else body
        json = self._connector.decode_body(json, self._handed_over)
        if not json:
            return head, body
        self._given = True
        told = as_one_chunk(json) if chunked else json
        return head.for_other_body(len(told), False), told

    def tell(self, outcome: Outcome) -> None:
        """For the log: the endpoint that did; none where it ran whole."""
        if self._state == _COMPUTED or self._state == _MEETING:
            outcome.prefill = self._asked
        outcome.why = outcome.why or self.why

    def give_up(self, outcome: int) -> None:
        """The exchange ends: neither half goes on."""
        leg = self.leg
        self.leg = None
        if leg is not None:
            leg.give_up(outcome)


def split_of(
    owner: SplitOwner,
    dispatch: Dispatch | None,
    plan: PoolPlan,
    head: RequestHead,
    inspection: Inspection | None,
    passage: Passage | None,
) -> SplitPrompt | None:
    """The prompt of such a request, whose body is whole, where its pool has another compute them
    and it was read."""
    computing = plan.pool.prefill_pool
    spec = plan.pool.spec.split
    if computing is None or spec is None or dispatch is None or inspection is None:
        return None
    return SplitPrompt(owner, dispatch, spec, computing, plan, head, inspection, passage)


def _of_one_token(request: Request, tells: bool) -> Request:
    """The same prompt, for an answer of one token. ``tells``: that comes when it is computed."""
    return Request(
        method=request.method,
        host=request.host,
        path=request.path,
        source=request.source,
        key_hash=request.key_hash,
        model=request.model,
        prompt_tokens=request.prompt_tokens,
        output_tokens=1,
        blocks=request.blocks,
        block_ends=request.block_ends,
        block_tokens=request.block_tokens,
        session_hash=request.session_hash,
        streams=tells,
        caller=request.caller,
    )
