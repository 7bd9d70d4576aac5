"""A request whose prompt one endpoint computes and another answers: both halves or neither.

The answering endpoint is chosen first and holds its place; then the prompt is computed; then it
goes to the answering endpoint with what the other told. Where that one cannot be reached, the next
gets the same, as long as the computing engine keeps it (its lease). Where no engine can compute it
apart, it runs whole where it is answered. Source: vLLM, docs/design/nixl_kv_cache_lease.md.
"""

from typing import Final

from mypy_extensions import trait

from penstock.core.request import Request
from penstock.core.snapshot import Split
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.split.prefill_leg import PrefillLeg, PrefillOwner
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.chunked import ChunkedReader, as_one_chunk
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.handover.connector import Connector
from penstock.wire.handover.nixl import Nixl
from penstock.wire.http1 import RequestHead

# A request that arrives as its lease ends would be answered from blocks that are gone.
_MARGIN_S: Final = 5.0
CONNECTORS: Final[dict[str, Connector]] = {Nixl.name: Nixl()}

_UNDECIDED: Final = 0
_COMPUTING: Final = 1
_COMPUTED: Final = 2
_WHOLE: Final = 3


@trait
class SplitOwner:
    """The exchange that it is part of."""

    def on_prompt_ready(self) -> None:
        """The attempt that was held may begin."""
        raise NotImplementedError


class SplitPrompt(PrefillOwner):
    """Of one exchange, whatever number of attempts it makes."""

    leg: PrefillLeg | None = None
    why: str = ""  # it runs whole though it was to be split
    _state: int = _UNDECIDED
    _handed_over: bytes = b""
    _computed_at: float = 0.0
    _given: bool = False  # to an endpoint, which may have pulled it: a cache is pulled once
    _beginning: bool = False

    def __init__(
        self,
        context: Context,
        owner: SplitOwner,
        spec: Split,
        pool: LivePool,
        plan: PoolPlan,
        head: RequestHead,
        request_id: bytes,
        inspection: Inspection,
    ) -> None:
        """``pool``: that computes prompts."""
        self._context: Context = context
        self._owner: SplitOwner = owner
        self._spec: Split = spec
        self._pool: LivePool = pool
        self._plan: PoolPlan = plan
        self._head: RequestHead = head
        self._request_id: bytes = request_id
        self._inspection: Inspection = inspection
        self._connector: Connector = CONNECTORS[spec.connector]

    def holds(self, attempt: Attempt) -> bool:
        """Whether that attempt is to wait: ``on_prompt_ready`` follows."""
        if self._state == _COMPUTED:
            kept_until = self._computed_at + max(self._spec.lease_s - _MARGIN_S, 0.0)
            if self._context.env.now < kept_until and not self._given:
                return False
            self._state = _UNDECIDED
            self._handed_over = b""
            self._given = False
        if self._state == _COMPUTING:
            return True
        if self._state == _WHOLE or not self._is_worth_it(attempt):
            self._state = _WHOLE
            return False
        self._compute(attempt)
        return self._state == _COMPUTING

    def _is_worth_it(self, attempt: Attempt) -> bool:
        """Whether enough of the prompt is not cached where it is answered."""
        prompt = self._inspection.prompt
        if prompt is None or not prompt.may_be_split():
            return False
        ticket = attempt.ticket
        return ticket.request.prompt_tokens - ticket.hit_tokens >= self._spec.threshold

    def _compute(self, attempt: Attempt) -> None:
        prompt = self._inspection.prompt
        body = self._connector.prefill_body(prompt.json) if prompt is not None else b""
        if not body:
            self._state = _WHOLE
            return
        self._state = _COMPUTING
        leg = PrefillLeg(
            self._context,
            self,
            self._pool,
            self._plan,
            _of_one_token(attempt.ticket.request),
            self._head,
            self._request_id,
            body,
            attempt.expires_at,
        )
        self.leg = leg
        self._beginning = True
        leg.begin()
        self._beginning = False

    def on_computed(self, answer: bytes) -> None:
        self.leg = None
        self._handed_over = self._connector.handed_over(answer)
        self._computed_at = self._context.env.now
        self._state = _COMPUTED if self._handed_over else _WHOLE
        if not self._handed_over:
            self.why = "the computing endpoint handed nothing over"
        self._go_on()

    def on_not_computed(self, why: str) -> None:
        self.leg = None
        self.why = why
        self._state = _WHOLE
        self._go_on()

    def _go_on(self) -> None:
        if not self._beginning:
            self._owner.on_prompt_ready()

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

    def give_up(self, outcome: int) -> None:
        """The exchange ends: neither half goes on."""
        leg = self.leg
        self.leg = None
        if leg is not None:
            leg.give_up(outcome)


def _of_one_token(request: Request) -> Request:
    """The same prompt, for an answer of one token."""
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
        streams=False,
        caller=request.caller,
    )
