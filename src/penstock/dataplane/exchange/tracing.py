"""What an exchange knows for its trace: ids, and its attempts. Made only where traces are on."""

from typing import Final

from penstock.core.ticket import OUTCOMES
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.record.log_shape import LogShape
from penstock.dataplane.record.time_of_day import wall_clock
from penstock.dataplane.record.tracer import Tracer
from penstock.dataplane.route.plan import Plan
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.http1 import RequestHead
from penstock.wire.traceparent import (
    TRACEPARENT,
    TraceParent,
    form_traceparent,
)

_MOST_ATTEMPTS: Final = 16  # that have a span
# Of what clients choose, and of reasons: the supervisor keeps thousands.
_MOST_CHARACTERS: Final = 256
_MOST_OF_PATH: Final = 1024


class RequestTrace:
    """Of one request, from its first attempt or its end."""

    _trace_id: bytes = b""  # as soon as somebody is told
    _attempts: list[Attempt] | None = None
    _spans: list[bytes] | None = None  # ids of the attempts' spans; b"": not told yet

    def __init__(self, tracer: Tracer, plan: Plan) -> None:
        parent = plan.trace_parent
        self._tracer: Tracer = tracer
        self._parent: TraceParent | None = parent
        if parent is not None and parent.believed:
            self.sampled: bool = parent.sampled
        else:
            self.sampled = tracer.samples()

    def begin(self, attempt: Attempt) -> None:
        """An endpoint was chosen."""
        attempts = self._attempts
        spans = self._spans
        if attempts is None or spans is None:
            self._attempts = [attempt]
            self._spans = [b""]
        elif len(attempts) < _MOST_ATTEMPTS:
            attempts.append(attempt)
            spans.append(b"")

    def told(self, head: ForwardedHead, attempt: Attempt) -> ForwardedHead:
        """The head of that attempt, whose span is the parent of whatever the endpoint makes.

        Without a trace to continue, only one that is sampled is told.
        """
        parent = self._parent
        if parent is None and not self.sampled:
            return head
        value = form_traceparent(
            self._trace(),
            self._span_of(attempt),
            self.sampled,
            parent.flags if parent is not None else 0,
        )
        return head.with_trace((TRACEPARENT, TRACEPARENT, value), parent is not None)

    def wants(self, status: int, ended: str, took_s: float) -> bool:
        """Whether it is told, now that it is over."""
        tracer = self._tracer
        return (self.sampled or tracer.wants(status, ended, took_s)) and tracer.has_room()

    def tell(self, outcome: Outcome, now: float, shape: LogShape) -> None:
        """Hand over what became of it; times are seconds, from ``began`` on."""
        head = outcome.head
        plan = outcome.plan
        route = plan.route
        parent = self._parent
        began = outcome.began
        told: dict[str, object] = {
            "trace": self._trace().decode(),
            "span": self._tracer.new_span_id().decode(),
            "began": wall_clock() - (now - began),
            "took": now - began,
            "queued": outcome.queued_s,
            "method": _text(head.method),
            "path": _path_of(head),
            "host": _text(head.host),
            "version": _text(head.version),
            "client": shape.client(plan.source),
            "id": _text(outcome.request_id),
            "route": route.name if route is not None else "",
            "pool": outcome.pool.decode("latin-1"),
            "status": outcome.status,
            "end": outcome.ended,
            "why": outcome.why[:_MOST_CHARACTERS],
            "attempts": self._told_attempts(began, now),
        }
        if parent is not None:
            told["parent"] = parent.span_id.decode()
        prompt = outcome.prompt
        if prompt is not None:
            told["asked"] = (prompt.asked or prompt.found.model)[:_MOST_CHARACTERS]
            told["model"] = prompt.found.model[:_MOST_CHARACTERS]
        answer = outcome.answer
        if answer is not None and outcome.tells_usage:
            meter = answer.meter
            told["input_tokens"] = meter.prompt_tokens
            told["cached_tokens"] = meter.cached_tokens
            told["output_tokens"] = meter.output_tokens
            told["first_token"] = answer.first_token_s()
            told["finish"] = meter.finish_reason[:_MOST_CHARACTERS]
        self._tracer.tell(told)

    def _told_attempts(self, began: float, now: float) -> list[dict[str, object]]:
        told: list[dict[str, object]] = []
        attempts = self._attempts
        if attempts is None:
            return told
        for attempt in attempts:
            ticket = attempt.ticket
            over = ticket.outcome >= 0
            told.append(
                {
                    "span": self._span_of(attempt).decode(),
                    "endpoint": attempt.endpoint.name,
                    "peer": attempt.peer.decode("latin-1"),
                    "began": ticket.opened_at - began,
                    "took": (ticket.settled_at if over else now) - ticket.opened_at,
                    "connect": attempt.connect_s,
                    "outcome": OUTCOMES[ticket.outcome] if over else "",
                    "status": ticket.status,
                }
            )
        return told

    def _trace(self) -> bytes:
        if not self._trace_id:
            parent = self._parent
            self._trace_id = parent.trace_id if parent is not None else self._tracer.new_trace_id()
        return self._trace_id

    def _span_of(self, attempt: Attempt) -> bytes:
        attempts = self._attempts
        spans = self._spans
        if attempts is not None and spans is not None:
            for at in range(len(attempts)):
                if attempts[at] is attempt:
                    if not spans[at]:
                        spans[at] = self._tracer.new_span_id()
                    return spans[at]
        return self._tracer.new_span_id()  # beyond those that have one


def _path_of(head: RequestHead) -> str:
    """Without the query, in which there may be keys."""
    return head.target.partition(b"?")[0][:_MOST_OF_PATH].decode("latin-1")


def _text(value: bytes) -> str:
    return value[:_MOST_CHARACTERS].decode("latin-1")
